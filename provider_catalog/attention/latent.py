"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), and DeepSeek-V4's attention over compressed caches."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

from provider_catalog.attention.base import SoftmaxAttention
from provider_catalog.matrices import Matrix, Split, Vector

SPARSE_RATE: Final = 4
"""Tokens per entry of compressed sparse attention, whose compressor windows overlap and which selects entries."""


@dataclass(frozen=True)
class LatentAttention(SoftmaxAttention):
    """Keys and values from one latent per token (arXiv 2405.04434, eq. 9-19), optionally with a lightning indexer.

    The down-projections and their norms make what every head reads, so tensor parallelism leaves them whole. The
    indexer is that of DeepSeek-V3.2 (arXiv 2512.02556): queries from the query latent, one key head with a LayerNorm,
    and one weight per head.
    """

    kind = "mla"
    has_latent_cache = True

    kv_heads: int = field(default=1, kw_only=True)
    _: KW_ONLY
    kv_lora_rank: int
    """Width of the latent that keys and values are computed from."""
    q_lora_rank: int | None = None
    """Width of the latent that queries are computed from; None computes them from the input."""
    qk_rope_head_dim: int
    """Rotary part of a query or key head; it is the same key for all heads."""
    bias: bool = False
    """Biases on the down-projections and on the output projection."""
    head_gate: bool = False
    """A projection of the input makes one gate per head (Ling 2.5)."""
    output_gate: bool = False
    """A projection of the input makes a gate as wide as the values of all heads (Kimi K3)."""
    indexer_heads: int = 0
    indexer_dim: int = 0
    indexer_pool: int = 1
    """Tokens whose indexer keys are pooled into one by a learned gate and position bias (GLM-5 Next)."""

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields the projections, then the gate and the indexer."""
        if self.q_lora_rank:
            latent = "query latent"
            yield Matrix("q_a_proj", self.hidden, self.q_lora_rank)
            yield Matrix("q_b_proj", self.q_lora_rank, self.query_width, "columns_by_head", latent, recomputed=True)
        else:
            yield Matrix("q_proj", self.hidden, self.query_width, "columns_by_head")
        yield Matrix("kv_a_proj_with_mqa", self.hidden, self.kv_lora_rank + self.qk_rope_head_dim)
        expanded = self.heads * (self.head_dim - self.qk_rope_head_dim) + self.value_width
        yield Matrix("kv_b_proj", self.kv_lora_rank, expanded, "columns_by_head", "latent", recomputed=True)
        yield Matrix("o_proj", self.value_width, self.hidden, "rows_by_head", "values")
        if self.head_gate:
            yield Matrix("g_proj", self.hidden, self.heads, "columns_by_head", main=False)
        if self.output_gate:
            yield Matrix("g_proj", self.hidden, self.value_width, "columns_by_head", main=False)
        if self.indexer_heads:
            reads = self.q_lora_rank or self.hidden
            yield Matrix("indexer.wq_b", reads, self.indexer_heads * self.indexer_dim, main=False)
            yield Matrix("indexer.wk", self.hidden, self.indexer_dim, main=False)
            yield Matrix("indexer.weights_proj", self.hidden, self.indexer_heads, main=False)
        if self.indexer_pool > 1:
            yield Matrix("indexer.pool_gate", self.hidden, self.indexer_dim, main=False)
            yield Matrix("indexer.pool_bias", self.indexer_pool, self.indexer_dim, main=False)

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the norms of the latents and of the indexer, and the biases."""
        yield Vector("kv_a_layernorm", self.kv_lora_rank)
        yield Vector("q_a_layernorm", self.q_lora_rank or 0)
        if self.bias:
            yield Vector("q_a_proj.bias", self.q_lora_rank or 0)
            yield Vector("kv_a_proj_with_mqa.bias", self.kv_lora_rank + self.qk_rope_head_dim)
            yield Vector("o_proj.bias", self.hidden)
        if self.indexer_heads:
            yield Vector("indexer.k_norm", 2 * self.indexer_dim)

    @property
    def cache_values_per_token(self) -> int:
        """The latent and the shared rotary key (arXiv 2405.04434, section 2.1.4 and Table 1)."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def indexer_values_per_token(self) -> int:
        """One key of the indexer per token, or per pool."""
        if not self.indexer_heads and self.indexer_pool == 1:
            return 0
        return -(-self.indexer_dim // self.indexer_pool)

    @property
    def training_kv_heads(self) -> int:
        """Training expands the latent to keys and values of every head (arXiv 2405.04434, section 2.1.2)."""
        return self.heads

    @property
    def latent_width(self) -> int:
        """The latents of queries, keys and values."""
        return (self.q_lora_rank or 0) + self.kv_lora_rank

    @property
    def shared_key_width(self) -> int:
        """The rotary key that all heads share."""
        return self.qk_rope_head_dim

    @property
    def rebuilt_values_per_token(self) -> int:
        """Queries, keys and values of every head, expanded again from their latents."""
        return self.heads * (2 * self.head_dim + self.value_dim)

    def decode_flops_per_entry(self, heads: int) -> float:
        """Scores against latent and rotary part, sums over the latent (arXiv 2405.04434, appendix C)."""
        return 2.0 * heads * (2 * self.kv_lora_rank + self.qk_rope_head_dim)


@dataclass(frozen=True)
class CompressedAttention(SoftmaxAttention):
    """DeepSeek-V4: multi-query attention whose one key is also the value, over a cache of compressed entries.

    Source: DeepSeek-V4 technical report, 2026, section 2.3; shapes as in Hugging Face transformers 5.23. A compressor
    projects keys and gates, and learns a position bias and a norm; with overlap (rate 4) both are twice as wide. Only
    the sparse layers (rate 4) select entries, by an indexer with a compressor of its own.
    """

    kind = "gqa"

    kv_heads: int = field(default=1, kw_only=True)
    _: KW_ONLY
    q_lora_rank: int
    """Width of the latent that queries are computed from."""
    o_lora_rank: int
    """Width of the latent of each output group."""
    output_groups: int
    """Groups of heads that the output projection first maps to a latent each."""
    qk_rope_head_dim: int
    rate: int
    """Tokens per compressed entry; 0 keeps a sliding window alone."""
    latest_tokens: int
    """Tokens that the layer sees uncompressed."""
    indexer_heads: int = 0
    indexer_dim: int = 0

    @property
    def selects(self) -> bool:
        """Whether the layer selects entries with an indexer."""
        return self.rate == SPARSE_RATE

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields the low-rank query, the shared key, the grouped output, the compressor and the indexer."""
        yield Matrix("q_a_proj", self.hidden, self.q_lora_rank)
        yield Matrix("q_b_proj", self.q_lora_rank, self.query_width, "columns_by_head", "query latent")
        yield Matrix("kv_proj", self.hidden, self.head_dim)
        yield Matrix("o_a_proj", self.value_width, self.o_lora_rank, "rows_by_head", "values")
        yield Matrix("o_b_proj", self.output_groups * self.o_lora_rank, self.hidden, "rows", "output latent")
        if self.selects:
            yield Matrix("compressor", self.hidden, 4 * self.head_dim)
            yield Matrix("indexer.compressor", self.hidden, 4 * self.indexer_dim)
            yield Matrix("indexer.q_b_proj", self.q_lora_rank, self.indexer_heads * self.indexer_dim)
            yield Matrix("indexer.weights_proj", self.hidden, self.indexer_heads)
        elif self.rate:
            yield Matrix("compressor", self.hidden, 2 * self.head_dim)

    @property
    def projections(self) -> tuple[Matrix, ...]:
        """The projections of plain multi-query attention with a low-rank query, by which this kind is sized."""
        query = self.matrices[:2]
        return (*query, *self._plain_key_value_and_output)

    @property
    def timed_projections(self) -> tuple[Matrix, ...]:
        """The projections of plain multi-query attention with a direct query, by which this kind is timed."""
        query = Matrix("q_proj", self.hidden, self.query_width, "columns_by_head")
        return (query, *self._plain_key_value_and_output)

    @property
    def _plain_key_value_and_output(self) -> tuple[Matrix, ...]:
        key_value: Split = "columns_by_key_value_head"
        return (
            Matrix("k_proj", self.hidden, self.head_dim, key_value),
            Matrix("v_proj", self.hidden, self.value_dim, key_value),
            Matrix("o_proj", self.value_width, self.hidden, "rows_by_head", "values"),
        )

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the norms, the sinks, and what compressors learn beside their projections."""
        yield Vector("norms", self.q_lora_rank + self.head_dim)
        yield Vector("sinks", self.heads)
        if self.selects:
            yield Vector("position biases and norms", (2 * self.rate + 1) * (self.head_dim + self.indexer_dim))
        elif self.rate:
            yield Vector("position bias and norm", (self.rate + 1) * self.head_dim)

    @property
    def cache_values_per_token(self) -> int:
        """One vector, which is both key and value."""
        return self.head_dim

    @property
    def cache_compression(self) -> int:
        """Tokens that share one cache entry."""
        return self.rate or 1

    @property
    def local_window(self) -> int:
        """The sliding-window branch beside the compressed cache."""
        return self.latest_tokens if self.rate else 0

    @property
    def indexer_values_per_token(self) -> int:
        """One key of the indexer per entry."""
        return self.indexer_dim if self.selects else 0

    @property
    def latent_width(self) -> int:
        """The query latent."""
        return self.q_lora_rank

    def selected_flops_per_entry(self, heads: int) -> float:
        """FLOPs over the rotary part alone, which is less than the kernel computes."""
        return 2.0 * heads * self.qk_rope_head_dim
