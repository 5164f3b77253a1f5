"""Keys of a config.json that may change sizes and that no reader has asked for."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from provider_catalog.model_config.fields import ConfigFields, Reads

MOST_NAMED: Final = 6
"""Keys that a warning names."""

_SIZED: Final = re.compile(
    r"(^|_)(size|dim|dims|width|rank|heads?|layers?|depth|experts?|latent|modules|kernel|state|states|expand|ngram|embd?|"
    r"embedding|embeddings|vocab|memory|gated?|bias|mlp|proj|lora|shared|compress|compression|ratio|ratios|conv|mtp|nextn|"
    r"streams|blocks?|groups?|channels|copies|repeat|interval|pattern|tables?)(_|$)"
)
"""Names of keys that may change numbers of parameters or the size of a cache."""
_HARMLESS: Final = re.compile(
    r"_token_(id|index)$|^summary|eps(ilon)?$|rope|rotary|theta|dropout|init|scal|_prob$|coef|loss|softcap|_limit$|alpha$|^use_cache"
    r"|topk|top_k|^time_step|interleave|^ep_size|^pretraining|sinkhorn|logits_to_keep|chunk_size|max_window_layers"
    r"|_renormalize$|^n_group$|^num_expert_group$|^num_hash_layers|^rescale|kernels$|^use_gemma_norm|routing_bias"
    r"|_tokens_per_image|^force_image|projector|downsample|_context_length|_nope$|local_block|init_block|block_size$"
    r"|projection_hidden|merged_hidden|spatial_merge|overlap$|multipliers$|before_gate$|_affine$|score|balance|aux|jitter|parallel|_mode$|prefill|speculat|max_position|_length$|image|video|audio|vision"
)
"""Names of keys that change arithmetic, training or sampling, but neither parameters nor caches; `block_size` is the
granularity of a selection."""
_DERIVED: Final[dict[str, frozenset[str]]] = {
    # Latent attention has one key/value head and states the parts of a head. Mixtures of experts state the width of a
    # dense block that they may lack, and dense variants of them the experts of a token. Kinds and windows of layers are
    # stated as a list beside the interval that makes it.
    "": frozenset(
        {
            *("num_key_value_heads", "head_dim", "qk_head_dim", "intermediate_size", "num_experts_per_tok"),
            *("full_attention_interval", "sliding_window_pattern", "_sliding_window_pattern", "window_size"),
            *("global_attn_every_n_layers", "num_nextn_predict_layers", "kda_layers"),
        }
    ),
    "falcon": frozenset({"num_kv_heads"}),  # multi-query models have one, whatever it says
    "gpt_oss": frozenset({"experts_per_token"}),  # stated twice
    "llama4_text": frozenset({"intermediate_size_mlp", "use_qk_norm"}),  # no dense layer; a norm without weights
    # MiniMax-M3: one of the modules is published; the width of all shared experts is stated; a layer without
    # sparse_attention_config has no indexer
    "minimax_m3_vl_text": frozenset(
        {"num_mtp_modules", "n_shared_experts", "index_head_dim", "index_n_heads", "dense_intermediate_size"}
    ),
    "mistral_large4_text": frozenset({"kv_source_layers"}),
    "mpt": frozenset({"learned_pos_emb", "no_bias"}),  # MPT has ALiBi and no biases
    "gemma4_text": frozenset({"vocab_size_per_layer_input"}),  # without embeddings by layer
    "nemotron_h": frozenset({"expand", "time_step_rank"}),  # heads and their width are stated
    "bamba": frozenset({"mamba_d_head"}),
    "granitemoehybrid": frozenset({"mamba_d_head"}),
    "falcon_h1": frozenset({"mamba_d_head", "mamba_expand"}),
}
"""Keys by family that it states although others that are read decide the size; those under "" hold for all."""
_APART: Final = frozenset(
    {"quantization_config", "rope_scaling", "rope_parameters", "task_specific_params", "auto_map"}
)


def unread_warnings(root: ConfigFields, text: ConfigFields, model_type: str) -> tuple[str, ...]:
    """Return a warning that names keys which may change sizes and were not read; none if there are no such keys."""
    derived = _DERIVED[""] | _DERIVED.get(model_type, frozenset())
    found = dict(_unread(text.values, text.reads, text.path, derived))
    if text.reads is not root.reads:
        found |= {name: value for name, value in _unread(root.values, root.reads, "", derived) if "." not in name}
    if not found:
        return ()
    named = ", ".join(f"{name} = {value}" for name, value in sorted(found.items())[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return (
        f"config keys that may change sizes are not read for model_type {model_type!r}: {named}{more}; compare the"
        " parameters with the published number",
    )


def _unread(
    values: Mapping[str, object], reads: Reads, path: str, derived: frozenset[str]
) -> Iterator[tuple[str, object]]:
    for key in list(values):
        value = dict.get(values, key) if isinstance(values, dict) else values[key]
        if isinstance(value, Mapping):
            if key in reads.nested and key not in _APART:
                yield from _unread(value, reads.nested[key], f"{path}{key}.", derived)
            continue
        if key not in reads.keys and key not in derived and _may_size(key, value):
            yield f"{path}{key}", value if not isinstance(value, list | tuple) else "a list"


def _may_size(key: str, value: object) -> bool:
    if _HARMLESS.search(key) or not _SIZED.search(key):
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, list | tuple):
        return bool(value) and not isinstance(value[0], str | Mapping)
    return isinstance(value, int) and value > 1
