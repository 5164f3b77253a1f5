"""The entry point of the readers: from a config.json to a ModelArchitecture."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from provider_catalog.architecture import ModelArchitecture
from provider_catalog.errors import CatalogError
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.parts import Parts
from provider_catalog.model_config.published_formats import published_formats
from provider_catalog.model_config.towers import audio_parameters, vision_parameters
from provider_catalog.model_config.unread import unread_warnings
from provider_catalog.text import harmless, kind_of, one_line

MAX_PARAMETERS: Final = 10**15
"""Largest accepted number of parameters: a thousand times the largest published decoder."""

MAX_NESTING: Final = 4
"""Largest accepted depth of the decoder's object; in an omni model it is two (thinker_config, text_config)."""

FamilyReader = Callable[[ConfigFields, str], Parts]

_FAMILIES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "deepseek",
        "read",
        (
            *("deepseek", "deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm_moe_dsa", "glm4_moe_lite"),
            *("mistral4", "mistral_large4_text"),
        ),
    ),
    ("deepseek", "read_longcat", ("longcat_flash",)),
    ("deepseek_v4", "read", ("deepseek_v4",)),
    (
        "classic",
        "read",
        ("gpt2", "gpt_bigcode", "gpt_neo", "gptj", "codegen", "gpt_neox", "opt", "bloom", "mpt", "phi"),
    ),
    ("classic", "read_falcon", ("falcon",)),
    (
        "hybrid",
        "read_qwen",
        ("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text", "olmo_hybrid"),
    ),
    ("hybrid", "read_kimi_linear", ("kimi_linear", "glm5_next", "glm5_next_text")),
    ("hybrid", "read_minimax", ("minimax", "minimax_text_01", "minimax_m1")),
    ("hybrid", "read_bailing_hybrid", ("bailing_hybrid",)),
    ("mamba", "read_mamba", ("mamba", "falcon_mamba", "mamba2")),
    ("mamba", "read_nemotron_h", ("nemotron_h",)),
    ("mamba", "read_granite_hybrid", ("granitemoehybrid", "bamba")),
    ("mamba", "read_falcon_h1", ("falcon_h1",)),
    ("mamba", "read_jamba", ("jamba",)),
    ("mixed_heads", "read_mimo", ("mimo_v2", "mimo_v2_flash")),
    ("mixed_heads", "read_step", ("step3p5", "step3p7", "step3p7_text")),
    ("mixed_heads", "read_step3", ("step3_text", "step3_vl")),
    ("convolution", "read", ("lfm2", "lfm2_moe")),
    ("gemma3n", "read", ("gemma3n", "gemma3n_text")),
    ("gemma4", "read", ("gemma4", "gemma4_text")),
    ("llama4", "read", ("llama4", "llama4_text")),
    ("generic", "read_renamed", ("chatglm", "qwen", "dbrx", "exaone")),
    ("llama_like", "read_hunyuan_experts", ("hunyuan_v1_moe",)),
    ("llama_like", "read_arctic", ("arctic",)),
    ("llama_like", "read_granite_shared", ("granitemoeshared",)),
)
"""The module of this package, its function, and the values of `model_type` that it reads. `llama_like.read` also reads
the families of `llama_traits.TRAITS`, which are not repeated here."""

READERS: Final = {family: (module, name) for module, name, families in _FAMILIES for family in families}


def is_known(model_type: str) -> bool:
    """Whether a family has a reader other than the generic one."""
    from provider_catalog.model_config.llama_traits import TRAITS

    return model_type in READERS or model_type in TRAITS


def family_reader(model_type: str) -> FamilyReader:
    """The reader of a family, or the generic reader for an unknown family; only its module is imported."""
    module, name = READERS.get(model_type, ("llama_like", "read"))
    if model_type not in READERS:
        from provider_catalog.model_config.llama_traits import TRAITS

        if model_type not in TRAITS:
            module = "generic"
    found = getattr(import_module(f"{__package__}.{module}"), name)
    return cast(FamilyReader, found)


def read_config(config: Mapping[str, object], name: str) -> ModelArchitecture:
    """Read the architecture that a Hugging Face config.json describes.

    Args:
        config: the parsed JSON object.
        name: the name of the model in messages and in the result.

    Raises:
        CatalogError: the configuration is not an object, or a key is missing, has a wrong type or is out of bounds.
    """
    if not isinstance(config, Mapping):
        raise CatalogError(f"{name}: config.json holds {kind_of(config)}; allowed: a JSON object")
    name = harmless(name)
    root = ConfigFields(config, name)
    text = _text_fields(root)
    model_type = text.text("model_type", default="") or root.text("model_type", default="")
    if not is_known(model_type) and is_known(f"{model_type}_text"):
        # A decoder nested without a type of its own has that of its model, such as minimax_m3_vl.
        model_type = f"{model_type}_text"
    parts = family_reader(model_type)(text, model_type)
    vision, vision_warnings = vision_parameters(root, parts.hidden)
    audio, audio_warnings = audio_parameters(root, parts.hidden)
    groups, order = blocks.group_layers(parts.layers)
    published = published_formats(root, text, groups, order, parts.hidden)
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
        published_precision=published.precision,
        published_formats=published.formats,
        active_leaves_out=parts.active_leaves_out,
        # They quote keys and values of the configuration.
        warnings=tuple(
            map(
                one_line,
                (
                    *parts.warnings,
                    *published.warnings,
                    *vision_warnings,
                    *audio_warnings,
                    *unread_warnings(root, text, model_type),
                ),
            ),
        ),
    )
    if architecture.total_parameters > MAX_PARAMETERS:
        raise CatalogError(
            f"{name}: the configuration describes {architecture.total_parameters:.3g} parameters; allowed: at most "
            f"{MAX_PARAMETERS:.0e}. Check hidden_size, num_hidden_layers, vocab_size and the number of experts"
        )
    return architecture


def _text_fields(root: ConfigFields, depth: int = 0) -> ConfigFields:
    """The object that describes the decoder: the root, or a nested object in a multimodal model."""
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
    """Apply the root's `tie_word_embeddings`, if it is set, to the nested decoder of a multimodal model."""
    if "tie_word_embeddings" not in root:
        return text
    tied = root.flag("tie_word_embeddings", default=False)
    return text.replaced(tie_word_embeddings=tied)
