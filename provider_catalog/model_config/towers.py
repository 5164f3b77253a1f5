"""Parameters of the encoders beside a decoder: vision and audio towers with their projectors.

The counts are exact for the families in `VISION`, by their modeling files in Hugging Face transformers 5.23. Other
towers are counted as a plain transformer encoder, with a warning.
"""

from collections.abc import Callable
from typing import Final

from provider_catalog.model_config.fields import ConfigFields


def vision_parameters(config: ConfigFields, decoder_hidden: int) -> tuple[int, tuple[str, ...]]:
    """The parameters of the vision tower, which are 0 without one, and warnings about assumptions."""
    vision = config.child("vision_config")
    if vision is None or not vision.values:
        return 0, ()
    family = config.text("model_type", default="")
    count = VISION.get(family)
    if count is not None:
        return count(vision, decoder_hidden), ()
    return _encoder(vision, "vision", decoder_hidden)


def audio_parameters(config: ConfigFields, decoder_hidden: int) -> tuple[int, tuple[str, ...]]:
    """The parameters of the audio tower, which are 0 without one, and warnings about assumptions."""
    audio = config.child("audio_config")
    if audio is None or not audio.values:
        return 0, ()
    return _encoder(audio, "audio", decoder_hidden)


def _qwen(vision: ConfigFields, decoder_hidden: int) -> int:
    """Count Qwen3-VL and Qwen3.5: a ViT with biases, learned positions, a merger, and a merger per deep-stack level."""
    hidden = vision.integer("hidden_size")
    inner = vision.integer("intermediate_size")
    depth = vision.count("depth")
    patch = vision.integer("patch_size", default=16)
    frames = vision.integer("temporal_patch_size", default=2)
    channels = vision.integer("in_channels", default=3)
    out = vision.integer("out_hidden_size", default=decoder_hidden)
    merged = hidden * vision.integer("spatial_merge_size", default=2) ** 2
    layer = 4 * hidden + hidden * 3 * hidden + 3 * hidden + hidden * hidden + hidden
    layer += 2 * hidden * inner + inner + hidden
    merger = merged * merged + merged + merged * out + out
    levels = len(vision.integers("deepstack_visual_indexes") or ())
    embedding = channels * frames * patch * patch * hidden + hidden
    embedding += vision.integer("num_position_embeddings", default=2304) * hidden
    return depth * layer + embedding + (merger + 2 * hidden) + levels * (merger + 2 * merged)


def _gemma4(vision: ConfigFields, decoder_hidden: int) -> int:
    """Count Gemma 4: gated blocks with four norms, query and key norms, and a table of positions for each axis."""
    hidden = vision.integer("hidden_size")
    inner = vision.integer("intermediate_size")
    heads = vision.count("num_attention_heads")
    kv_heads = vision.count("num_key_value_heads", default=heads)
    head_dim = vision.integer("head_dim", default=64)
    patch = vision.integer("patch_size", default=16)
    layer = hidden * head_dim * (2 * heads + 2 * kv_heads) + 2 * head_dim + 3 * hidden * inner + 4 * hidden
    embedding = 3 * patch * patch * hidden + 2 * vision.integer("position_embedding_size", default=10240) * hidden
    return vision.count("num_hidden_layers") * layer + embedding + hidden * decoder_hidden


def _gemma3(vision: ConfigFields, decoder_hidden: int) -> int:
    """Count Gemma 3: SigLIP (arXiv 2303.15343) with biases and learned positions, and a projection after a norm."""
    hidden = vision.integer("hidden_size")
    inner = vision.integer("intermediate_size")
    patch = vision.integer("patch_size", default=16)
    patches = (vision.integer("image_size", default=224) // patch) ** 2
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + inner + hidden + 4 * hidden
    embedding = vision.integer("num_channels", default=3) * patch * patch * hidden + hidden + patches * hidden
    projector = hidden * decoder_hidden + hidden
    return vision.count("num_hidden_layers") * layer + embedding + 2 * hidden + projector


VISION: Final[dict[str, Callable[[ConfigFields, int], int]]] = {
    "qwen3_vl": _qwen,
    "qwen3_vl_moe": _qwen,
    "qwen3_5": _qwen,
    "qwen3_5_moe": _qwen,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
}


def _encoder(tower: ConfigFields, kind: str, decoder_hidden: int) -> tuple[int, tuple[str, ...]]:
    """Count a plain encoder: attention 4·h² and feed-forward 2·h·f with biases and norms, and a projection."""
    hidden = tower.optional_integer("hidden_size", "d_model", "width", "embed_dim", "encoder_hidden_size")
    depth = tower.optional_integer("num_hidden_layers", "depth", "encoder_layers", "layers")
    if hidden is None or depth is None:
        return 0, (f"the {kind} tower states no width or depth and is not counted",)
    inner = tower.integer("intermediate_size", "encoder_ffn_dim", default=4 * hidden)
    layer = 4 * hidden * hidden + 2 * hidden * inner + 9 * hidden + inner
    patch = (
        tower.integer("patch_size", default=0, minimum=0)
        if not isinstance(tower.values.get("patch_size"), (list, tuple))
        else 0
    )
    total = depth * layer + 3 * patch * patch * hidden + hidden * decoder_hidden
    return total, (f"the {kind} tower is counted as a plain transformer encoder ({total / 1e6:.0f}M parameters)",)
