"""read_config(): the one way from a config.json to a ModelArchitecture."""

from collections.abc import Callable, Mapping
from typing import Final

from provider_catalog.architecture import ModelArchitecture
from provider_catalog.facts import CatalogError
from provider_catalog.model_config import (
    blocks,
    classic,
    deepseek,
    deepseek_v4,
    gemma4,
    generic,
    hybrid,
    llama4,
    llama_like,
    llama_traits,
    mamba,
    mixed_heads,
)
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.formats import expert_precision, published_precision, unquantized_blocks
from provider_catalog.model_config.parts import Parts
from provider_catalog.model_config.towers import audio_parameters, vision_parameters

MAX_PARAMETERS: Final = 10**15
"""Refused above: a thousand times the largest published decoder is a slip, not a model."""

MAX_NESTING: Final = 4
"""Objects around the decoder's: an omni model has two (thinker_config, text_config)."""

FamilyReader = Callable[[ConfigFields, str], Parts]

READERS: Final[dict[str, FamilyReader]] = {
    **dict.fromkeys(llama_traits.TRAITS, llama_like.read),
    **dict.fromkeys(
        (
            "deepseek",
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "kimi_k2",
            "glm_moe_dsa",
            "glm4_moe_lite",
            "mistral4",
            "mistral_large4_text",
        ),
        deepseek.read,
    ),
    "deepseek_v4": deepseek_v4.read,
    **dict.fromkeys(classic.FAMILIES, classic.read),
    "falcon": classic.read_falcon,
    **dict.fromkeys(("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"), hybrid.read_qwen),
    "nemotron_h": mamba.read_nemotron_h,
    **dict.fromkeys(("granitemoehybrid", "bamba"), mamba.read_granite_hybrid),
    **dict.fromkeys(("kimi_linear", "glm5_next", "glm5_next_text"), hybrid.read_kimi_linear),
    "longcat_flash": deepseek.read_longcat,
    "falcon_h1": mamba.read_falcon_h1,
    "olmo_hybrid": hybrid.read_qwen,
    **dict.fromkeys(("minimax", "minimax_text_01", "minimax_m1"), hybrid.read_minimax),
    **dict.fromkeys(("mimo_v2", "mimo_v2_flash"), mixed_heads.read_mimo),
    **dict.fromkeys(("step3p5", "step3p7", "step3p7_text"), mixed_heads.read_step),
    **dict.fromkeys(("chatglm", "qwen"), generic.read_renamed),
    "jamba": mamba.read_jamba,
    "hunyuan_v1_moe": llama_like.read_hunyuan_experts,
    "granitemoeshared": lambda config, model_type: llama_like.read(config, "granitemoe"),
    **dict.fromkeys(("gemma4", "gemma4_text"), gemma4.read),
    **dict.fromkeys(("llama4", "llama4_text"), llama4.read),
}
"""model_type -> reader. A family is added here and nowhere else."""


def read_config(config: Mapping[str, object], name: str) -> ModelArchitecture:
    """The architecture that a Hugging Face config.json describes.

    Args:
        config: the parsed JSON object.
        name: what messages and the result call the model.

    Raises:
        CatalogError: the configuration is no object, or a key is missing, of the wrong type or out of bounds.
    """
    if not isinstance(config, Mapping):
        raise CatalogError(f"{name}: config.json holds {type(config).__name__}; allowed: a JSON object")
    root = ConfigFields(config, name)
    text = _text_fields(root)
    model_type = text.text("model_type", default="") or root.text("model_type", default="")
    parts = READERS.get(model_type, generic.read)(text, model_type)
    vision, vision_warnings = vision_parameters(root, parts.hidden)
    audio, audio_warnings = audio_parameters(root, parts.hidden)
    precision, warnings = published_precision(root, text)
    kept = unquantized_blocks(root, text, len(parts.layers))
    groups, order = blocks.group_layers(parts.layers)
    in_sequence = tuple(sorted(order)) == order
    architecture = ModelArchitecture(
        name=name,
        model_type=root.text("model_type", default=model_type) or "unknown",
        hidden_size=parts.hidden,
        vocab_size=parts.vocabulary,
        max_position_embeddings=parts.positions,
        tied_embeddings=parts.tied,
        embedding_parameters=parts.embedding,
        head_parameters=parts.head,
        other_parameters=parts.other,
        layers=groups,
        layer_order=() if in_sequence else order,
        mtp_parameters=parts.mtp_parameters,
        vision_parameters=vision,
        audio_parameters=audio,
        published_precision=precision,
        published_attention_precision="bf16" if "attention" in kept else None,
        published_dense_precision="bf16" if "dense" in kept else None,
        published_expert_precision=expert_precision(root),
        active_leaves_out=parts.active_leaves_out,
        warnings=(*parts.warnings, *warnings, *vision_warnings, *audio_warnings),
    )
    if architecture.total_parameters > MAX_PARAMETERS:
        raise CatalogError(
            f"{name}: the configuration describes {architecture.total_parameters:.3g} parameters; allowed: at most "
            f"{MAX_PARAMETERS:.0e}. Check hidden_size, num_hidden_layers, vocab_size and the number of experts"
        )
    return architecture


def _text_fields(root: ConfigFields, depth: int = 0) -> ConfigFields:
    """The object that describes the decoder: the root, or what is nested under it in a multimodal model."""
    if depth > MAX_NESTING:
        raise CatalogError(
            f"{root.model}: the decoder is nested more than {MAX_NESTING} objects deep; allowed: a text_config in the "
            "configuration of a multimodal model"
        )
    for key in ("text_config", "llm_config", "language_config", "thinker_config"):
        nested = root.child(key)
        if nested is not None:
            return _with_tying(root, _text_fields(nested, depth + 1))
    return root


def _with_tying(root: ConfigFields, text: ConfigFields) -> ConfigFields:
    """A multimodal root says for the nested decoder whether head and embedding are one, where it says so."""
    if "tie_word_embeddings" not in root:
        return text
    tied = root.flag("tie_word_embeddings", default=False)
    return ConfigFields({**text.values, "tie_word_embeddings": tied}, text.model, text.path)
