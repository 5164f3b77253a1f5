"""The KV cache as a serving engine lays it out: pages of layer groups, tokens, longest request, requests in flight.

Sources: vLLM 0.19.0 and 0.33.0, v1/core/kv_cache_utils.py and kv_cache_planning.py (groups of layers that share pages
of one size), v1/kv_cache_interface.py (blocks of a request), models/deepseek_v4 (pages of compressed caches);
SGLang 0.5.23, mem_cache/kv_cache_configurator.py.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from planner.sizing.stages import pipeline_stages
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.attention.base import Attention
from provider_catalog.attention.latent import SPARSE_RATE, CompressedAttention, LatentAttention
from provider_catalog.engine_memory import EngineMemory
from provider_catalog.precision import BITS_PER_VALUE, Precision

MOST_LIKE_THE_LEAST: Final = 1.5
"""Ratio of layer counts below which the larger count is the group size (vLLM, `_get_kv_cache_groups_uniform_page_size`;
since 0.12)."""
SPARSE_LATENT_FP8_BYTES: Final = 656
"""Bytes of a token in the fp8 cache of sparse latent attention: 512 values, 4 fp32 scales, 64 rotary values in bf16."""
INDEXER_SCALE_BYTES: Final = 4
"""Bytes of the fp32 scale beside the 8-bit key of an indexer."""
LATENT_BLOCK_TOKENS: Final = 64
"""Tokens of a block of a latent cache: FlashMLA's block size, which vLLM takes on Hopper and Blackwell."""
V4_BLOCK_TOKENS: Final = 256
"""Tokens of a block of DeepSeek-V4's compressed caches; its latest tokens lie in blocks of 64."""
V4_PAGE_ALIGNMENT: Final = 576
V4_ENTRY_BYTES: Final = 584
"""Bytes of an entry of DeepSeek-V4's cache: 448 values in fp8 with scales, 64 rotary values in bf16."""

Holds = Literal["all", "window", "state"]


@dataclass(frozen=True)
class CacheGroup:
    """Layers that share a block table: a block has `block_tokens` tokens of each of them."""

    block_tokens: int
    holds: Holds
    """What a request keeps: all tokens, a sliding window beside the tokens of an iteration, or one recurrent state."""
    window: int = 0

    def blocks(self, tokens: int, batched_tokens: int) -> int:
        """Return the blocks that a request of `tokens` tokens needs at most."""
        if self.holds == "state":
            return 1
        if self.holds == "all":
            return ceil(tokens / self.block_tokens)
        return ceil(min(self.window - 1 + batched_tokens, tokens) / self.block_tokens) + 1


@dataclass(frozen=True)
class CacheLayout:
    """The KV cache of one rank."""

    block_bytes: int
    """Bytes of a block, which any group may take."""
    groups: tuple[CacheGroup, ...]
    batched_tokens: int
    logged_tokens: Literal["blocks", "concurrency"] = "blocks"

    def blocks(self, pool_bytes: int) -> int:
        """Return the blocks of a pool."""
        return max(0, pool_bytes) // self.block_bytes if self.block_bytes else 0

    def request_blocks(self, tokens: int) -> int:
        """Return the blocks that a request of `tokens` tokens needs at most."""
        return sum(group.blocks(tokens, self.batched_tokens) for group in self.groups)

    def request_bytes(self, tokens: int) -> int:
        """Return the bytes that a request of `tokens` tokens needs at most."""
        return self.request_blocks(tokens) * self.block_bytes

    def tokens(self, pool_bytes: int, longest: int) -> int:
        """Return the tokens that the engine logs for a pool.

        Args:
            pool_bytes: Bytes of the pool.
            longest: Longest context that the engine is started with.
        """
        blocks = self.blocks(pool_bytes)
        if not self.groups:
            return 0
        if self.logged_tokens == "blocks":
            return blocks // len(self.groups) * min(group.block_tokens for group in self.groups)
        return int(blocks / self.request_blocks(longest) * longest)

    def in_flight(self, pool_bytes: int, tokens: int) -> int:
        """Return the requests of `tokens` tokens that a pool holds at once."""
        needed = self.request_blocks(tokens)
        return self.blocks(pool_bytes) // needed if needed else 0

    def longest_request(self, pool_bytes: int, limit: int) -> int:
        """Return the tokens of the longest request that a pool holds, at most `limit`; 0 if none fits."""
        blocks, low, high = self.blocks(pool_bytes), 0, limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.request_blocks(middle) <= blocks else (low, middle - 1)
        return low


@dataclass(frozen=True)
class _Kind:
    """What layers of one kind keep on a rank."""

    holds: Holds
    bytes_per_token: float
    window: int = 0
    state_bytes: int = 0


def cache_layout(
    arch: ModelArchitecture,
    memory: EngineMemory,
    kv_cache: Precision,
    tensor: int,
    pipeline: int,
    batched_tokens: int,
) -> CacheLayout:
    """Return the layout of the KV cache on the rank that needs most.

    Args:
        arch: The model.
        memory: Memory of the engine.
        kv_cache: Format of the KV cache.
        tensor: Tensor-parallel ranks over which the cache is divided.
        pipeline: Pipeline stages.
        batched_tokens: Token budget of an iteration, which sliding-window layers keep beside their window.
    """
    layouts = []
    for stage in pipeline_stages(arch, pipeline):
        layers = [(arch.layers[index].attention, count) for index, count in stage]
        layouts.append(_stage_layout(layers, memory, kv_cache, tensor, batched_tokens))
    return max(layouts, key=lambda layout: layout.request_bytes(arch.max_position_embeddings or 8192))


def _stage_layout(
    layers: list[tuple[Attention, int]], memory: EngineMemory, kv_cache: Precision, tensor: int, batched_tokens: int
) -> CacheLayout:
    compressed = [(attention, count) for attention, count in layers if isinstance(attention, CompressedAttention)]
    if compressed and memory.hybrid_cache == "groups":
        return _packed_layout(compressed, memory, batched_tokens)
    kinds: dict[_Kind, int] = {}
    for attention, count in layers:
        for kind in _kinds(attention, kv_cache, tensor):
            kinds[kind] = kinds.get(kind, 0) + count
    latent = any(attention.has_latent_cache for attention, _ in layers)
    block = max(memory.block_tokens, LATENT_BLOCK_TOKENS) if latent and memory.engine == "vllm" else memory.block_tokens
    if len({(kind.holds, kind.window) for kind in kinds}) <= 1:
        return _one_group(kinds, block, batched_tokens, memory)
    if memory.hybrid_cache == "pools":
        return _pools(kinds, memory, batched_tokens)
    return _grouped(kinds, block, batched_tokens, memory)


def _kinds(attention: Attention, kv_cache: Precision, tensor: int) -> list[_Kind]:
    """Return what a layer keeps; nothing for a layer without a cache."""
    bits = BITS_PER_VALUE[kv_cache]
    found = []
    values: float = attention.cache_values_per_token / attention.cache_compression
    if tensor > 1 and attention.kv_heads > 1:
        values = values * ceil(attention.kv_heads / tensor) / attention.kv_heads
    held = values * bits / 8
    if attention.indexer_values_per_token:
        if isinstance(attention, LatentAttention) and bits == BITS_PER_VALUE["fp8"]:
            held = SPARSE_LATENT_FP8_BYTES
        held += attention.indexer_values_per_token + INDEXER_SCALE_BYTES
    if held:
        window = attention.window
        found.append(_Kind("all", held) if window is None else _Kind("window", held, window))
    if attention.state_values:
        state_bits = attention.state_values_on_rank(tensor) * BITS_PER_VALUE[attention.state_precision]
        found.append(_Kind("state", 0.0, state_bytes=ceil(state_bits / 8)))
    return found


def _one_group(kinds: dict[_Kind, int], block: int, batched_tokens: int, memory: EngineMemory) -> CacheLayout:
    """Return the layout where all layers keep the same: one group, whose layers may differ in width."""
    if not kinds:
        return CacheLayout(0, (), batched_tokens, memory.logged_tokens)
    first = next(iter(kinds))
    each = sum(count * (kind.state_bytes or block * kind.bytes_per_token) for kind, count in kinds.items())
    group = CacheGroup(block, first.holds, first.window)
    return CacheLayout(ceil(each), (group,), batched_tokens, memory.logged_tokens)


def _grouped(kinds: dict[_Kind, int], block: int, batched_tokens: int, memory: EngineMemory) -> CacheLayout:
    """Return the layout of groups with equal numbers of layers, whose pages have one size.

    Blocks of attention are widened until a page holds a recurrent state. A kind with smaller pages gets more tokens a
    block if its page divides the largest one; else its page is padded.
    """
    state = max((kind.state_bytes for kind in kinds), default=0)
    widest = max(kind.bytes_per_token for kind in kinds)
    if state:
        block = max(block, ceil(state / widest / block) * block)
    page = max(state, ceil(block * widest))
    counts = list(kinds.values())
    size = max(counts) if max(counts) < min(counts) * MOST_LIKE_THE_LEAST else min(counts)
    groups: list[CacheGroup] = []
    for kind, count in kinds.items():
        tokens = block
        if kind.bytes_per_token and page % (block * kind.bytes_per_token) == 0:
            tokens = int(page / kind.bytes_per_token)
        groups += [CacheGroup(tokens, kind.holds, kind.window)] * ceil(count / size)
    return CacheLayout(page * size, tuple(groups), batched_tokens, memory.logged_tokens)


def _pools(kinds: dict[_Kind, int], memory: EngineMemory, batched_tokens: int) -> CacheLayout:
    """Return the layout of one pool for all tokens and one for windows, in a fixed ratio of tokens."""
    ratio = memory.swa_full_tokens_ratio or 1.0
    each = sum(
        count * kind.bytes_per_token * (ratio if kind.holds == "window" else 1.0) for kind, count in kinds.items()
    )
    block = memory.block_tokens
    groups = [CacheGroup(block, "all")]
    state = sum(count * kind.state_bytes for kind, count in kinds.items())
    if state:
        # A request takes its state once, counted here in tokens of the cache.
        groups.append(CacheGroup(ceil(state / each), "window", window=1))
    return CacheLayout(ceil(each * block), tuple(groups), 0 if state else batched_tokens, memory.logged_tokens)


def _packed_layout(
    layers: list[tuple[CompressedAttention, int]], memory: EngineMemory, batched_tokens: int
) -> CacheLayout:
    """Return the layout of DeepSeek-V4: entries, compressor states and latest tokens share blocks of one size.

    A block holds 256 tokens of the entries of all compressed layers, or a few tokens of the fp32 state of all
    compressors, or 64 latest tokens of some layers. The states of all tokens of an iteration are kept.
    """
    sparse = sum(count for layer, count in layers if layer.selects)
    dense = sum(count for layer, count in layers if layer.rate and not layer.selects)
    page = _aligned(64 * V4_ENTRY_BYTES)
    entries: dict[int, int] = {}
    for layer, _ in layers:
        if layer.rate:
            held = V4_BLOCK_TOKENS // layer.rate
            keys = _aligned(held * (layer.indexer_dim + INDEXER_SCALE_BYTES)) if layer.selects else 0
            entries[layer.rate] = _aligned(held * V4_ENTRY_BYTES) + keys
    windows = sum(count for _, count in layers)
    repeats = _least_padding([n for n in (sparse, dense, windows) if n], max(sparse, 1))
    groups = [CacheGroup(V4_BLOCK_TOKENS, "all")] if entries else []
    groups += [CacheGroup(4, "window", window=2 * SPARSE_RATE)] if sparse else []
    groups += [CacheGroup(8, "window", window=rate) for rate in entries if rate != SPARSE_RATE]
    window = max(layer.latest_tokens or layer.window or 0 for layer, _ in layers)
    if memory.packed_cache == "tuples":
        block_bytes = repeats * max([page, *entries.values()])
        groups += [CacheGroup(64, "window", window=window)] * ceil((windows + dense) / repeats)
    else:
        held_bytes = sum(count * entries[layer.rate] for layer, count in layers if layer.rate)
        block_bytes = max(held_bytes, min(windows, repeats) * page)
        groups += [CacheGroup(64, "window", window=window)] * ceil(windows / repeats)
    return CacheLayout(block_bytes, tuple(groups), batched_tokens, memory.logged_tokens)


def _least_padding(counts: list[int], least: int) -> int:
    """Return the group size, at least `least`, that pads the counts least; the largest of equal ones."""
    sizes = range(least, max([least, *counts]) + 1)
    return min(sizes, key=lambda size: (sum(-count % size for count in counts), -size))


def _aligned(size: int) -> int:
    return -(-size // V4_PAGE_ALIGNMENT) * V4_PAGE_ALIGNMENT
