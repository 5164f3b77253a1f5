"""Bytes that a sequence keeps in memory between tokens: keys and values, latents, indexer keys, recurrent states.

Sources: grouped-query attention 2·n_kv·d values a layer, Ainslie et al. 2023, arXiv 2305.13245; latent attention
r_kv + d_rope values a layer, DeepSeek-V2, arXiv 2405.04434, section 2.1.4 and Table 1; compressed caches,
DeepSeek-V4 report, section 2.3; indexer keys, DeepSeek-V3.2, arXiv 2512.02556.
"""

from math import ceil
from typing import Final

from planner.sizing.stages import pipeline_stages
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.attention.base import Attention
from provider_catalog.precision import BITS_PER_VALUE, Precision

BLOCK_TOKENS: Final = 16
"""Tokens per block of a paged cache: vLLM's default (Kwon et al. 2023, arXiv 2309.06180, section 7.2)."""


def kv_cache_bytes_per_token(arch: ModelArchitecture, precision: Precision) -> float:
    """Bytes that one more token adds to one copy of the cache of all layers, while no sliding window is full.

    The number is a fraction where layers compress several tokens into one entry. Recurrent states are not part of it.
    """
    values = sum(
        group.count
        * (group.attention.cache_values_per_token + group.attention.indexer_values_per_token)
        / group.attention.cache_compression
        for group in arch.layers
    )
    return values * BITS_PER_VALUE[precision] / 8


def kv_cache_bytes(
    arch: ModelArchitecture, tokens: int, sequences: int, precision: Precision, *, block_tokens: int = 1
) -> int:
    """Bytes of one copy of the whole cache for `sequences` sequences of `tokens` tokens each.

    Sliding-window layers hold at most their window. Each sequence adds its recurrent states once. A paged cache hands
    out whole blocks of `block_tokens`, so that tokens and windows are rounded up to blocks (PagedAttention, Kwon et
    al. 2023, arXiv 2309.06180, section 4.1).

    Raises:
        ValueError: A count is negative, or a block has less than one token.
    """
    _check(tokens, sequences, block_tokens)
    bits = sum(group.count * _layer_bits(group.attention, tokens, precision, 1, block_tokens) for group in arch.layers)
    return -(-sequences * bits // 8)


def kv_cache_bytes_per_gpu(
    arch: ModelArchitecture,
    tokens: int,
    sequences: int,
    precision: Precision,
    tensor: int,
    pipeline: int,
    *,
    attention_data: int = 1,
    block_tokens: int = 1,
) -> int:
    """Bytes on the fullest GPU under tensor and pipeline parallelism.

    Tensor parallelism divides key/value heads among ranks; with more ranks than heads, ranks hold copies. A latent
    cache, one entry that all heads read, and indexer keys are whole on every rank. Recurrent states divide by heads.

    Data-parallel attention cuts the `tensor` ranks into `attention_data` groups. Each group holds the cache of its own
    sequences only, divided among its tensor / attention_data ranks (SGLang `--enable-dp-attention`, `--dp-size`). It
    avoids the copies of a latent cache.

    Raises:
        ValueError: A count is negative, a degree is below 1, attention_data does not divide tensor, or there are more
            stages than layers.
    """
    _check(tokens, sequences, block_tokens)
    if tensor < 1:
        raise ValueError(f"tensor is {tensor}; allowed: 1 or more")
    if attention_data < 1 or tensor % attention_data:
        raise ValueError(f"attention_data is {attention_data}; allowed: a divisor of tensor ({tensor})")
    ranks = tensor // attention_data
    per_group = [_layer_bits(group.attention, tokens, precision, ranks, block_tokens) for group in arch.layers]
    worst = max(sum(per_group[index] * count for index, count in stage) for stage in pipeline_stages(arch, pipeline))
    return -(-ceil(sequences / attention_data) * worst // 8)


def _layer_bits(attention: Attention, tokens: int, precision: Precision, tensor: int, block_tokens: int) -> int:
    """Bits that one layer holds for one sequence on one tensor-parallel rank."""
    held = _whole_blocks(tokens, block_tokens)
    seen = held if attention.window is None else min(held, _whole_blocks(attention.window, block_tokens))
    entries = -(-seen // attention.cache_compression)
    per_entry = attention.cache_values_per_token
    if tensor > 1 and attention.kv_heads > 1:
        per_entry = per_entry * -(-attention.kv_heads // tensor) // attention.kv_heads
    state = attention.state_values_on_rank(tensor) * BITS_PER_VALUE[attention.state_precision]
    values = entries * (per_entry + attention.indexer_values_per_token)
    values += min(held, _whole_blocks(attention.local_window, block_tokens)) * per_entry
    return values * BITS_PER_VALUE[precision] + state


def _whole_blocks(tokens: int, block_tokens: int) -> int:
    """Tokens rounded up to whole blocks."""
    return -(-tokens // block_tokens) * block_tokens


def _check(tokens: int, sequences: int, block_tokens: int) -> None:
    for name, value in (("tokens", tokens), ("sequences", sequences)):
        if value < 0:
            raise ValueError(f"{name} is {value}; allowed: 0 or more")
    if block_tokens < 1:
        raise ValueError(f"block_tokens is {block_tokens}; allowed: 1 or more")
