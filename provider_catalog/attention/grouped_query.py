"""Multi-head, grouped-query and multi-query attention (Ainslie et al. 2023, arXiv 2305.13245), and Mamba beside it.

Which biases, norms and gates a family has follows its reference implementation in Hugging Face transformers.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from provider_catalog.attention.base import SoftmaxAttention
from provider_catalog.attention.state_space import Mamba2
from provider_catalog.matrices import Matrix, Split, Vector


@dataclass(frozen=True)
class GroupedQueryAttention(SoftmaxAttention):
    """Query heads in groups that share a key head and a value head."""

    kind = "gqa"

    _: KW_ONLY
    query_bias: bool = False
    """Biases on the query, key and value projections."""
    output_bias: bool = False
    """A bias on the output projection."""
    norm: int = 0
    """Parameters of query and key norms together."""
    sinks: bool = False
    """One learned sink logit per head."""
    output_gate: bool = False
    """The query projection also makes a gate of its own width."""
    head_gate: bool = False
    """A projection of the input makes one gate per head."""
    keys_are_values: bool = False
    """One projection makes both keys and values; both are still cached."""
    owns_cache: bool = True
    """False where the layer reads the keys and values of an earlier one and has no projections for them."""
    indexer_heads: int = 0
    """Query heads of an indexer that selects blocks of tokens, with norms on its queries and keys (MiniMax-M3)."""
    indexer_dim: int = 0
    """Width of a head of the indexer, which caches one key per token."""
    q_lora_rank: int | None = None
    """Width of the latent that queries are computed from (Step-3, arXiv 2507.19427, section 3); None has no latent."""

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields queries, keys, values, the output and the gates.

        Adapters and kernels are sized as if a layer had key and value projections even where it shares or lacks them.
        """
        if self.q_lora_rank:
            yield Matrix("q_a_proj", self.hidden, self.q_lora_rank)
            yield Matrix("q_b_proj", self.q_lora_rank, self.query_width, "columns_by_head", "query latent")
        else:
            yield self._direct_query
        keys, values = self.kv_heads * self.head_dim, self.kv_heads * self.value_dim
        split: Split = "columns_by_key_value_head"
        yield Matrix("k_proj", self.hidden, keys, split, weights=None if self.owns_cache else 0)
        has_values = self.owns_cache and not self.keys_are_values
        yield Matrix("v_proj", self.hidden, values, split, weights=None if has_values else 0)
        yield Matrix("o_proj", self.value_width, self.hidden, "rows_by_head", "values")
        if self.output_gate:
            yield Matrix("q_gate", self.hidden, self.query_width, "columns_by_head", main=False)
        if self.head_gate:
            yield Matrix("g_proj", self.hidden, self.heads, "columns_by_head", main=False)
        if self.indexer_heads:
            yield Matrix("index_q_proj", self.hidden, self.indexer_heads * self.indexer_dim, main=False)
            yield Matrix("index_k_proj", self.hidden, self.indexer_dim, main=False)

    @property
    def timed_projections(self) -> tuple[Matrix, ...]:
        """The projections; queries from a latent are timed and adapted as one direct product."""
        if not self.q_lora_rank:
            return self.projections
        return (self._direct_query, *self.projections[2:])

    def list_vectors(self) -> Iterator[Vector]:
        """Yields norms, sinks and biases."""
        yield Vector("q_norm and k_norm", self.norm)
        if self.indexer_heads:
            yield Vector("index_q_norm and index_k_norm", 2 * self.indexer_dim)
        if self.sinks:
            yield Vector("sinks", self.heads, "columns_by_head")
        if self.query_bias:
            for matrix in self.matrices:
                if matrix.parameters and matrix.name in ("q_proj", "q_gate", "k_proj", "v_proj"):
                    yield Vector(f"{matrix.name}.bias", matrix.outputs, matrix.split)
        if self.output_bias:
            yield Vector("o_proj.bias", self.hidden)

    @property
    def cache_values_per_token(self) -> int:
        """Keys and values of every key/value head: 2·n_kv·d where both are equally wide."""
        return self.kv_heads * (self.head_dim + self.value_dim) if self.owns_cache else 0

    @property
    def indexer_values_per_token(self) -> int:
        """One key of the indexer per token."""
        return self.indexer_dim

    @property
    def latent_width(self) -> int:
        """The query latent, where there is one."""
        return self.q_lora_rank or 0

    @property
    def _direct_query(self) -> Matrix:
        return Matrix("q_proj", self.hidden, self.query_width, "columns_by_head")


@dataclass(frozen=True)
class AttentionBesideMamba(GroupedQueryAttention):
    """Attention and Mamba-2 side by side on the same input (Falcon-H1, arXiv 2507.22448, section 2)."""

    _: KW_ONLY
    mamba: Mamba2

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields the matrices of attention, then those of Mamba, which count as weights only."""
        yield from super().list_matrices()
        for matrix in self.mamba.matrices:
            yield matrix._replace(main=False)

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the vectors of both."""
        yield from super().list_vectors()
        yield from self.mamba.vectors

    @property
    def state_values(self) -> int:
        """The state of Mamba, which every rank is taken to hold whole."""
        return self.mamba.state_values
