"""What a sequence keeps in memory between tokens: keys and values, latents, indexer keys, recurrent states.

Sources: grouped-query attention 2·n_kv·d values a layer, Ainslie et al. 2023, arXiv 2305.13245; latent attention
r_kv + d_rope values a layer, DeepSeek-V2, arXiv 2405.04434, section 2.1.4 and Table 1; compressed caches,
DeepSeek-V4 report, section 2.3; indexer keys, DeepSeek-V3.2, arXiv 2512.02556.
"""

from math import ceil

from planner.sizing.stages import pipeline_stages
from provider_catalog.architecture import Attention, ModelArchitecture
from provider_catalog.precision import BITS_PER_VALUE, Precision


def kv_cache_bytes_per_token(arch: ModelArchitecture, precision: Precision) -> float:
    """Bytes one more token adds while no sliding window is full, all layers, one copy.

    A fraction where layers compress several tokens into one entry. Fixed states are not part of it.
    """
    values = sum(
        group.count
        * (group.attention.cache_values_per_token + group.attention.indexer_values_per_token)
        / group.attention.cache_compression
        for group in arch.layers
    )
    return values * BITS_PER_VALUE[precision] / 8


def kv_cache_bytes(arch: ModelArchitecture, tokens: int, sequences: int, precision: Precision) -> int:
    """Bytes of one copy of the whole cache for `sequences` sequences of `tokens` tokens each.

    Sliding-window layers hold at most their window; recurrent states are added once a sequence.

    Raises:
        ValueError: a negative count.
    """
    _check(tokens, sequences)
    bits = sum(group.count * _layer_bits(group.attention, tokens, precision, 1) for group in arch.layers)
    return ceil(sequences * bits / 8)


def kv_cache_bytes_per_gpu(
    arch: ModelArchitecture, tokens: int, sequences: int, precision: Precision, tensor: int, pipeline: int
) -> int:
    """Bytes on the GPU that holds most, under tensor and pipeline parallelism.

    Tensor parallelism divides key/value heads among ranks; past one head a rank they are repeated. A latent cache
    (one entry that all heads read) and indexer keys are whole on every rank. Recurrent states divide by heads. Under
    data-parallel attention pass the sequences of one rank and tensor=1.

    Raises:
        ValueError: a negative count, a degree below 1, or more stages than layers.
    """
    _check(tokens, sequences)
    if tensor < 1:
        raise ValueError(f"tensor is {tensor}; allowed: 1 or more")
    per_group = [_layer_bits(group.attention, tokens, precision, tensor) for group in arch.layers]
    worst = max(sum(per_group[index] * count for index, count in stage) for stage in pipeline_stages(arch, pipeline))
    return ceil(sequences * worst / 8)


def _layer_bits(attention: Attention, tokens: int, precision: Precision, tensor: int) -> int:
    """Bits one layer holds on one tensor-parallel rank for one sequence."""
    seen = tokens if attention.window is None else min(tokens, attention.window)
    entries = -(-seen // attention.cache_compression)
    per_entry = attention.cache_values_per_token
    state = attention.state_values
    if tensor > 1 and attention.kv_heads > 1:
        per_entry = per_entry * -(-attention.kv_heads // tensor) // attention.kv_heads
    if tensor > 1 and attention.kind in ("linear", "ssm") and attention.heads:
        state = -(-state * -(-attention.heads // tensor) // attention.heads)
    values = entries * (per_entry + attention.indexer_values_per_token)
    values += min(tokens, attention.local_window) * per_entry
    return values * BITS_PER_VALUE[precision] + state * BITS_PER_VALUE[attention.state_precision]


def _check(tokens: int, sequences: int) -> None:
    for name, value in (("tokens", tokens), ("sequences", sequences)):
        if value < 0:
            raise ValueError(f"{name} is {value}; allowed: 0 or more")
