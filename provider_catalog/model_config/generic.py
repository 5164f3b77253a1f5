"""Unknown families: read as the Llama-like decoder that their keys describe, with a warning about assumptions."""

from dataclasses import replace
from typing import Final

from provider_catalog.errors import CatalogError
from provider_catalog.model_config import classic, deepseek, llama_like
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.llama_traits import Traits
from provider_catalog.model_config.parts import Parts

RECURRENT_PREFIXES: Final = ("mamba_", "ssm_", "conv_", "linear_")
UNGATED: Final = ("relu2", "relu_squared", "gelu_new", "relu")
"""Activations that decoders rarely combine with a gate."""
SHARED_KEYS: Final = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
EXPERT_KEYS: Final = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def read(config: ConfigFields, model_type: str) -> Parts:
    """Count a model of an unknown family by its keys.

    Raises:
        CatalogError: the keys do not describe a decoder.
    """
    if not any(key in config for key in classic.HIDDEN):
        raise CatalogError(
            f"{config.model}: config key '{config.path}hidden_size' is missing, and model_type "
            f"{model_type!r} is unknown; allowed: the config.json of a decoder language model"
        )
    label = f"model_type {model_type!r} is unknown" if model_type else "the configuration states no model_type"
    if "kv_lora_rank" in config:
        parts = deepseek.read(config, model_type)
        return _with_warning(parts, f"{label}: read as DeepSeek-style latent attention without further parameters")
    gated = not any(key in config.values for key in ("n_inner", "ffn_dim"))
    gated = gated and config.values.get("hidden_act") not in UNGATED
    renamed = ConfigFields(renamed_keys(config), config.model, config.path)
    experts = tuple(key for key in EXPERT_KEYS if key in renamed)
    widths = ("moe_intermediate_size", "expert_intermediate_size", "intermediate_size")
    traits = Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        mlp_bias="mlp_bias",
        query_norm="head",
        query_norm_key="qk_norm" if "qk_norm" in config else "use_qk_norm",
        gated=gated,
        experts=experts,
        expert_width=widths,
        shared_width="shared_expert_intermediate_size",
        shared_count=next((key for key in SHARED_KEYS if key in config), None),
    )
    parts = llama_like.read(renamed, model_type, traits)
    recurrent = sorted(key for key in config.values if key.startswith(RECURRENT_PREFIXES))
    assumed = (
        f"{label}: read as a Llama-like decoder with {'a gated' if gated else 'an ungated'} feed-forward block, "
        "two norms a layer, biases and query norms only where attention_bias, mlp_bias and use_qk_norm say so"
        + (f", experts of width {next(key for key in widths if key in renamed)}" if experts else "")
        + (f"; {', '.join(recurrent[:3])} hint at recurrent layers, which are not counted" if recurrent else "")
    )
    return _with_warning(parts, assumed)


def read_renamed(config: ConfigFields, model_type: str) -> Parts:
    """Count a Llama-like family whose keys have older names, such as ChatGLM and the first Qwen."""
    values = renamed_keys(config)
    width = values.get("intermediate_size")
    if model_type == "qwen" and isinstance(width, int):
        values["intermediate_size"] = width // 2
    return llama_like.read(config.replaced(**values), model_type)


def renamed_keys(config: ConfigFields) -> dict[str, object]:
    """The values of the configuration with old key names replaced by the current ones."""
    values = dict(config.values)
    for nested in ("attn_config", "ffn_config"):
        inner = config.child(nested)
        if inner is not None:
            values = {**inner.values, **values}
    for name, others in (
        ("hidden_size", classic.HIDDEN),
        ("num_hidden_layers", classic.LAYERS),
        ("num_attention_heads", classic.HEADS),
        ("intermediate_size", classic.INNER),
        ("max_position_embeddings", classic.POSITIONS),
        ("num_key_value_heads", ("num_kv_heads", "n_head_kv", "kv_n_heads", "multi_query_group_num")),
        ("head_dim", ("kv_channels",)),
        ("vocab_size", ("padded_vocab_size",)),
        ("num_experts_per_tok", (*llama_like.TOP_K, "top_k_experts", "top_k")),
    ):
        found = next((values[key] for key in (name, *others) if values.get(key) is not None), None)
        if found is not None:
            values[name] = found
    hidden = values.get("hidden_size")
    if values.get("intermediate_size") is None and isinstance(hidden, int):
        values["intermediate_size"] = 4 * hidden
    return values


def _with_warning(parts: Parts, warning: str) -> Parts:
    return replace(parts, warnings=(*parts.warnings, warning))
