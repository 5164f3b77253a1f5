"""Bytes of the weights by format, in all and on the fullest GPU.

Below 16 bits, quantization is selective, as in published checkpoints: embeddings, head, norms, biases and routers stay
in bf16. Projections and experts are stored in the format, each with the scales of its blocks.
"""

from functools import lru_cache
from typing import Final, Literal

from planner.sizing.stages import pipeline_stages
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.attention.base import Attention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.measured_architecture import MeasuredArchitecture
from provider_catalog.precision import BITS_PER_VALUE, Precision
from provider_catalog.quantization import StoredAs

Fp8Scales = Literal["block", "tensor"]
"""One scale per 128 x 128 block (DeepSeek-V3), or one per matrix (FP8 Formats for Deep Learning, arXiv 2209.05433,
section 3.2). The latter adds 4 bytes per matrix, which is neglected."""

_UNITS_PER_BIT: Final = 1 << 20
"""Sizes are summed as integers in units of 2^-20 bit, so that shares of one whole add up exactly."""

SCALE_UNITS_PER_VALUE: Final[dict[Precision, int]] = {
    "fp32": 0,
    "bf16": 0,
    "fp16": 0,
    # One fp32 scale per 128 x 128 block: DeepSeek-V3, arXiv 2412.19437, section 3.3.2; its weight_scale_inv tensors
    "fp8": 32 * _UNITS_PER_BIT // (128 * 128),
    # One fp16 scale per group of 128 along the input: GPTQ (arXiv 2210.17323, section 4) and AWQ (arXiv 2306.00978)
    "int8": 16 * _UNITS_PER_BIT // 128,
    "int4": 16 * _UNITS_PER_BIT // 128,
    # One e4m3 scale per 16 values (and one fp32 a tensor): NVIDIA, "Introducing NVFP4", 2025
    "nvfp4": 8 * _UNITS_PER_BIT // 16,
    # One e8m0 scale per 32 values: OCP Microscaling Formats v1.0, Table 1
    "mxfp4": 8 * _UNITS_PER_BIT // 32,
}
"""Size of the scales per value of a quantized matrix, unless the checkpoint states another, in 2^-20 bit."""

_UNITS_PER_VALUE: Final[dict[Precision, int]] = {
    precision: bits * _UNITS_PER_BIT + SCALE_UNITS_PER_VALUE[precision] for precision, bits in BITS_PER_VALUE.items()
}


def bytes_per_value(precision: Precision) -> float:
    """Bytes of one value of a quantized matrix, scales included."""
    return _UNITS_PER_VALUE[precision] / (8 * _UNITS_PER_BIT)


def stored_bytes_per_value(
    arch: ModelArchitecture, precision: Precision, block: Literal["attention", "mlp", "experts", "head"]
) -> float:
    """Mean bytes of a value of one kind of block when the model is held in `precision`, scales included."""
    formats = arch.published_formats if precision == arch.published_precision else None
    if formats is not None:
        stored: StoredAs = getattr(formats, block)
    elif block == "head" and BITS_PER_VALUE[precision] < BITS_PER_VALUE["bf16"]:
        stored = StoredAs(precision="bf16")
    else:
        stored = StoredAs(precision=precision)
    return _stored_units(stored, "block") / (8 * _UNITS_PER_BIT)


def weights_bytes(arch: ModelArchitecture, precision: Precision, *, fp8_scales: Fp8Scales = "block") -> int:
    """Bytes of all decoder weights, without multi-token-prediction layers and vision or audio towers.

    In the published format, each kind of block has the format that the publisher chose for it. If the checkpoint states
    its own size, that size is returned; it covers everything in the checkpoint.
    """
    if isinstance(arch, MeasuredArchitecture) and arch.checkpoint_bytes and precision == arch.published_precision:
        return arch.checkpoint_bytes
    return _measured(arch, _fullest_gpu_bytes(arch, precision, 1, 1, 1, 1, fp8_scales))


def weights_bytes_per_gpu(
    arch: ModelArchitecture,
    precision: Precision,
    tensor: int,
    pipeline: int,
    expert: int,
    *,
    attention_data: int = 1,
) -> int:
    """Bytes of the decoder weights on the fullest GPU.

    Tensor parallelism divides heads (key and value projections at most among kv_heads ranks), feed-forward widths,
    and the vocabulary; latent down-projections, head norms, indexers, routers and layer norms are whole on every
    rank. Experts are divided by `expert` ranks in whole experts. If tensor exceeds expert, each expert is cut further,
    so that the divisor is max(tensor, expert), as in vLLM and SGLang. The first stage holds the embedding and the last
    stage the head; a tied head is a second copy if these stages differ. Data-parallel attention in `attention_data`
    groups divides attention weights by tensor / attention_data only.

    Raises:
        ValueError: A degree is below 1, attention_data does not divide tensor, or there are more stages than layers or
            more expert ranks than experts.
    """
    for name, degree in (("tensor", tensor), ("expert", expert)):
        if degree < 1:
            raise ValueError(f"{name} is {degree}; allowed: 1 or more")
    if attention_data < 1 or tensor % attention_data:
        raise ValueError(f"attention_data is {attention_data}; allowed: a divisor of tensor ({tensor})")
    most = max((group.feed_forward.experts for group in arch.layers), default=0)
    if expert > max(most, 1):
        raise ValueError(f"expert is {expert}; allowed: 1 to the {max(most, 1)} experts of a layer")
    return _measured(arch, _fullest_gpu_bytes(arch, precision, tensor, pipeline, expert, attention_data, "block"))


def checkpoint_warning(arch: ModelArchitecture) -> str | None:
    """A warning if the stated size of a quantized checkpoint differs from the count by more than 1 %, else None.

    16- and 32-bit checkpoints are compared in values when the model is loaded. A quantized checkpoint may also hold
    multi-token prediction and towers; their values count two bytes, or the average of the decoder.
    """
    if not isinstance(arch, MeasuredArchitecture) or not arch.checkpoint_bytes or arch.measured_parameters is not None:
        return None
    counted = _fullest_gpu_bytes(arch, arch.published_precision, 1, 1, 1, 1, "block")
    average = counted / arch.total_parameters
    towers = arch.vision_parameters + arch.audio_parameters
    sizes = [
        counted + mtp * width + tower * 2
        for mtp in {0, arch.mtp_parameters}
        for width in (average, 2)
        for tower in {0, towers}
    ]
    nearest = min(sizes, key=lambda size: abs(size - (arch.checkpoint_bytes or 0)))
    if abs(nearest - arch.checkpoint_bytes) <= 0.01 * arch.checkpoint_bytes:
        return None
    return (
        f"model.safetensors.index.json states {arch.checkpoint_bytes} bytes, which are used; config.json in "
        f"{arch.published_precision} counts {nearest:.0f} ({nearest / arch.checkpoint_bytes - 1:+.1%})"
    )


def _measured(arch: ModelArchitecture, counted_bytes: int) -> int:
    """Counted bytes, scaled to the parameters that the checkpoint or an instantiation gives, if they are known."""
    if not isinstance(arch, MeasuredArchitecture) or arch.measured_parameters in (None, arch.counted_parameters):
        return counted_bytes
    return -(-counted_bytes * arch.total_parameters // arch.counted_parameters)


@lru_cache(maxsize=8192)
def _fullest_gpu_bytes(
    arch: ModelArchitecture,
    precision: Precision,
    tensor: int,
    pipeline: int,
    expert: int,
    attention_data: int,
    fp8_scales: Fp8Scales,
) -> int:
    high: Precision = precision if BITS_PER_VALUE[precision] >= 16 else "bf16"
    formats = arch.published_formats if precision == arch.published_precision else None
    attention = _stored_units(formats.attention, fp8_scales) if formats else _units(precision, fp8_scales)
    dense = _stored_units(formats.mlp, fp8_scales) if formats else _units(precision, fp8_scales)
    experts = _stored_units(formats.experts, fp8_scales) if formats else _units(precision, fp8_scales)
    embedding_units = _stored_units(formats.embedding, fp8_scales) if formats else _units(high)
    head_units = _stored_units(formats.head, fp8_scales) if formats else _units(high)
    units = [
        (
            _attention_units(group.attention, attention, _units(high), tensor // attention_data)
            + _feed_forward_units(
                group.feed_forward,
                dense,
                experts,
                _units(high),
                tensor,
                expert,
            )
            + group.norm_parameters * _units(high)
        )
        for group in arch.layers
    ]
    stages = pipeline_stages(arch, pipeline)
    totals = [sum(units[index] * count for index, count in stage) for stage in stages]
    embedding = -(-arch.embedding_parameters // tensor)
    head = -(-arch.head_parameters // tensor)
    if pipeline > 1 and arch.tied_embeddings and not arch.head_parameters:
        head = -(-arch.vocab_size * arch.hidden_size // tensor)
    totals[0] += embedding * embedding_units
    totals[-1] += head * head_units + arch.other_parameters * _units(high)
    return -(-max(totals) // (8 * _UNITS_PER_BIT))


def _units(precision: Precision, fp8_scales: Fp8Scales = "block") -> int:
    """Size of one value with its share of the scales, in 2^-20 bit."""
    if precision == "fp8" and fp8_scales == "tensor":
        return BITS_PER_VALUE["fp8"] * _UNITS_PER_BIT
    return _UNITS_PER_VALUE[precision]


def _stored_units(stored: StoredAs, fp8_scales: Fp8Scales) -> int:
    """Mean size of one value of a kind of block, in 2^-20 bit."""
    units = _units(stored.precision, fp8_scales)
    if stored.scale is not None and not (stored.precision == "fp8" and fp8_scales == "tensor"):
        bits, values = stored.scale
        units = BITS_PER_VALUE[stored.precision] * _UNITS_PER_BIT + bits * _UNITS_PER_BIT // values
    high = max(units, _units("bf16"))
    return units + round((high - units) * stored.unquantized_share)


def _attention_units(attention: Attention, units: int, high_units: int, tensor: int) -> int:
    """Size of the attention block of one layer on one rank, in 2^-20 bit."""
    whole = attention.replicated_parameters
    key_value = attention.key_value_parameters
    divided = attention.parameters - whole - key_value
    held = whole
    if attention.kv_heads:
        held += key_value * -(-attention.kv_heads // tensor) // attention.kv_heads
    if attention.heads:
        held += -(-divided * -(-attention.heads // tensor) // attention.heads)
    else:
        held += divided
    small = min(attention.high_precision_parameters, held)
    return (held - small) * units + small * high_units


def _feed_forward_units(
    block: FeedForward, dense_units: int, expert_units: int, high_units: int, tensor: int, expert: int
) -> int:
    """Size of the feed-forward block of one layer on one rank, in 2^-20 bit."""
    small = block.router_parameters + block.high_precision_parameters
    dense = -(-(block.parameters - block.routed_expert_parameters - small) // tensor)
    routed = 0
    if block.experts:
        ranks = min(expert, block.experts)
        each = block.routed_expert_parameters // block.experts
        routed = -(-block.experts // ranks) * -(-each // max(1, tensor // ranks))
    return dense * dense_units + routed * expert_units + small * high_units
