"""Weights as an engine loads them: the decoder on the fullest GPU, and what is loaded beside it."""

from math import ceil

from planner.plan.layout import Layout
from planner.sizing.engine_settings import EngineSettings
from planner.sizing.weights import stored_bytes_per_value, weights_bytes_per_gpu
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.attention.base import Attention
from provider_catalog.attention.latent import CompressedAttention, LatentAttention
from provider_catalog.precision import BITS_PER_VALUE, Precision

SIXTEEN_BIT_BYTES = 2
"""Bytes of a value of towers and of multi-token-prediction layers, which published quantized checkpoints keep in 16
bits. 3.07 GB a GPU of DeepSeek-R1's layer at TP8 are measured, 2.9 GB are counted."""


def loaded_weights(
    arch: ModelArchitecture, weights: Precision, layout: Layout, settings: EngineSettings, *, drafts: bool
) -> dict[str, int]:
    """Return the bytes of the weights on the fullest GPU by part.

    Args:
        arch: The model.
        weights: Format of the weights.
        layout: How a replica is split.
        settings: The engine.
        drafts: Whether the multi-token-prediction layers are loaded to draft tokens.

    Raises:
        ValueError: A degree of the layout is not possible for the model.
    """
    parts = {
        "decoder": weights_bytes_per_gpu(
            arch,
            weights,
            layout.tensor,
            layout.pipeline,
            layout.expert,
            attention_data=layout.attention_data,
        ),
        "expert_padding": _expert_padding(arch, weights, layout, settings),
        "towers": ceil((arch.vision_parameters + arch.audio_parameters) * SIXTEEN_BIT_BYTES / layout.tensor),
        "rotary_tables": _rotary_tables(arch, weights),
        "mtp": ceil(arch.mtp_parameters * SIXTEEN_BIT_BYTES / layout.tensor) if drafts else 0,
    }
    return {name: size for name, size in parts.items() if size}


def expert_widths(
    arch: ModelArchitecture, weights: Precision, layout: Layout, settings: EngineSettings
) -> tuple[float, float]:
    """Return factors by which kernels widen the inner and the hidden width of routed experts; 1 without padding."""
    experts = weights if arch.published_formats is None or weights != arch.published_precision else None
    stored = experts or (arch.published_formats.experts.precision if arch.published_formats else weights)
    multiples = settings.memory.mxfp4_padding.get(settings.generation)
    widths = [g.feed_forward.expert_intermediate_size for g in arch.layers if g.feed_forward.experts]
    if stored != "mxfp4" or multiples is None or not widths:
        return 1.0, 1.0
    inner = max(widths) / max(1, layout.tensor // layout.expert)
    hidden = max(g.feed_forward.expert_hidden or arch.hidden_size for g in arch.layers if g.feed_forward.experts)
    return _padded(inner, multiples[0]) / inner, _padded(hidden, multiples[1]) / hidden


def _expert_padding(arch: ModelArchitecture, weights: Precision, layout: Layout, settings: EngineSettings) -> int:
    """Return the bytes that padding adds to the routed experts of the fullest GPU."""
    inner, hidden = expert_widths(arch, weights, layout, settings)
    if inner * hidden == 1.0:
        return 0
    each = stored_bytes_per_value(arch, weights, "experts") * arch.routed_expert_parameters
    return ceil(each * (inner * hidden - 1) / max(layout.tensor, layout.expert) / layout.pipeline)


def _rotary_tables(arch: ModelArchitecture, weights: Precision) -> int:
    """Return the bytes of the sine and cosine tables, one for each rotary width and every position."""
    widths = {_rotary_width(group.attention) for group in arch.layers if group.attention.cache_values_per_token}
    size = 4 if BITS_PER_VALUE[weights] > 16 else SIXTEEN_BIT_BYTES
    return sum(widths) * (arch.max_position_embeddings or 0) * size if len(widths) < 4 else 0


def _rotary_width(attention: Attention) -> int:
    if isinstance(attention, LatentAttention | CompressedAttention):
        return attention.qk_rope_head_dim
    return attention.head_dim


def _padded(width: float, multiple: int) -> int:
    return ceil(width / multiple) * multiple
