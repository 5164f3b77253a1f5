"""Attention: the questions that sizing, training and serving ask about the token-mixing block of a layer.

Each kind of attention is one class that answers them. Everything outside this package reads the answers and never asks
which kind it has. A new kind is one class here, one reader in `model_config`, and one test.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from math import ceil
from typing import ClassVar

from provider_catalog.matrices import Matrix, ProductShape, RankShare, Split, Vector
from provider_catalog.precision import Precision


@dataclass(frozen=True)
class Attention(ABC):
    """The token-mixing block of a layer. A kind lists its matrices and vectors, and overrides what differs for it."""

    kind: ClassVar[str]
    """Short name of the kind, for people and for tests of the readers."""
    mixes_tokens: ClassVar[bool] = True
    """False where the layer has no such block."""
    recurrent: ClassVar[bool] = False
    """Whether a scan over the sequence takes the place of scores between tokens."""
    has_latent_cache: ClassVar[bool] = False
    """Whether all heads read one latent cache entry per token, which tensor parallelism repeats on every rank."""

    hidden: int
    """Width of the residual stream."""
    heads: int
    """Query heads."""
    kv_heads: int
    """Key/value heads."""
    head_dim: int
    """Width of a query or key head."""
    _: KW_ONLY
    value_head_dim: int = 0
    """Width of a value head; 0 means `head_dim`."""
    window: int | None = None
    """Tokens that a sliding-window or chunked layer can see; None sees all."""
    state_precision: Precision = "bf16"
    """Format of the recurrent state, whatever the KV cache is stored in."""

    @abstractmethod
    def list_matrices(self) -> Iterator[Matrix]:
        """Yields every weight matrix of the block, in the order in which a token passes through them."""

    @abstractmethod
    def list_vectors(self) -> Iterator[Vector]:
        """Yields every vector of the block: norms, biases, convolutions. The layer's own norms are not part of it."""

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """All matrices of the block."""
        return tuple(self.list_matrices())

    @cached_property
    def vectors(self) -> tuple[Vector, ...]:
        """All vectors of the block."""
        return tuple(self.list_vectors())

    @cached_property
    def projections(self) -> tuple[Matrix, ...]:
        """The main matrices, without gates and indexers: those that quantization names and optimizers factorize."""
        return tuple(matrix for matrix in self.matrices if matrix.main)

    @property
    def timed_projections(self) -> tuple[Matrix, ...]:
        """The projections as adapters are put on them and as kernels are timed."""
        return self.projections

    @cached_property
    def parameters(self) -> int:
        """Every weight of the block."""
        return self._parameters_of_matrices + self.high_precision_parameters

    @cached_property
    def high_precision_parameters(self) -> int:
        """Weights in vectors, which no quantization touches."""
        return sum(vector.parameters for vector in self.vectors)

    @cached_property
    def key_value_parameters(self) -> int:
        """Key and value projections with their biases, which tensor parallelism divides by at most `kv_heads`."""
        return self._parameters_split("columns_by_key_value_head")

    @cached_property
    def replicated_parameters(self) -> int:
        """Weights that every tensor-parallel rank holds whole."""
        return self._parameters_split("whole")

    @property
    def value_dim(self) -> int:
        """Width of a value head."""
        return self.value_head_dim or self.head_dim

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def value_width(self) -> int:
        """Width of the values of all heads together, which the output projection reads."""
        return self.heads * self.value_dim

    # The KV cache and the recurrent state

    @property
    def cache_values_per_token(self) -> int:
        """Values that the layer adds to the KV cache per entry, before any sharding."""
        return 0

    @property
    def cache_compression(self) -> int:
        """Tokens that share one cache entry."""
        return 1

    @property
    def local_window(self) -> int:
        """Latest tokens that a compressed cache also keeps uncompressed."""
        return 0

    @property
    def indexer_values_per_token(self) -> int:
        """Values that a sparse-attention indexer caches per entry."""
        return 0

    @property
    def state_values(self) -> int:
        """Fixed recurrent state per sequence, in values."""
        return 0

    def state_values_on_rank(self, tensor: int) -> int:
        """Values of the recurrent state on one of `tensor` ranks."""
        return self.state_values

    # What training keeps and moves

    @property
    def kept_values_per_token(self) -> int:
        """Values that the backward pass needs, beside the input of the block, its latents and its scores."""
        return 0

    @property
    def latent_width(self) -> int:
        """Width of all low-rank latents, which are kept before and after their norm on every rank."""
        return 0

    @property
    def shared_key_width(self) -> int:
        """Width of a key that all heads share and every rank keeps whole."""
        return 0

    @property
    def rebuilt_values_per_token(self) -> int:
        """Kept values that selective recompute drops, because they are cheap to expand again from a latent."""
        return 0

    @property
    def training_kv_heads(self) -> int:
        """Key/value heads that a training pass works with, after latents are expanded; 0 without keys."""
        return 0

    # Arithmetic

    @property
    def score_heads(self) -> int:
        """Heads that compute a score between every two tokens."""
        return 0

    @property
    def score_flops_per_context_token(self) -> float:
        """Forward FLOPs per token and per token that it attends to."""
        return 0.0

    def decode_flops_per_entry(self, heads: int) -> float:
        """FLOPs of `heads` heads per decoded token and cache entry."""
        return 0.0

    def selected_flops_per_entry(self, heads: int) -> float:
        """FLOPs of `heads` heads per token and cache entry that an indexer has selected in a prompt."""
        return self.decode_flops_per_entry(heads)

    def products(self, share: RankShare, *, fuses_whole: bool) -> Iterator[ProductShape]:
        """Yields the products that one tensor-parallel rank runs for the projections.

        Args:
            share: what the rank holds.
            fuses_whole: whether an undivided matrix is fused with a divided one that reads the same vector, as serving
                engines do; Megatron-LM fuses matrices only when both are divided or both are whole.
        """
        groups: dict[tuple[str, bool], list[Matrix]] = {}
        for matrix in self.timed_projections:
            apart = matrix.split == "whole" and not fuses_whole
            groups.setdefault((matrix.reads, apart), []).append(matrix)
        for fused in groups.values():
            yield ProductShape(self._inputs(fused[0], share), self._outputs(fused, share), fused[0].recomputed)

    def _inputs(self, matrix: Matrix, share: RankShare) -> float:
        if matrix.split == "rows_by_head":
            return share.heads * (matrix.inputs // self.heads)
        return matrix.inputs

    def _outputs(self, fused: list[Matrix], share: RankShare) -> float:
        """Outputs of fused matrices on a rank."""
        per_head = sum(m.outputs // self.heads for m in fused if m.split == "columns_by_head")
        per_kv_head = sum(m.outputs // self.kv_heads for m in fused if m.split == "columns_by_key_value_head")
        width = share.heads * per_head + share.key_value_heads * per_kv_head
        for matrix in fused:
            if matrix.split == "columns":
                even = matrix.outputs if share.whole_columns else matrix.parameters / matrix.inputs
                width += ceil(even / share.ranks) if share.whole_columns else even / share.ranks
            elif matrix.split in ("whole", "rows_by_head", "rows"):
                width += matrix.outputs
        return width

    @cached_property
    def _parameters_of_matrices(self) -> int:
        return sum(matrix.parameters for matrix in self.matrices)

    def _parameters_split(self, split: Split) -> int:
        weights: tuple[Matrix | Vector, ...] = (*self.matrices, *self.vectors)
        return sum(weight.parameters for weight in weights if weight.split == split)


class NoAttention(Attention):
    """A layer without a token-mixing block."""

    kind = "none"
    mixes_tokens = False

    def __init__(self) -> None:
        super().__init__(hidden=0, heads=0, kv_heads=0, head_dim=0)

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields nothing."""
        return iter(())

    def list_vectors(self) -> Iterator[Vector]:
        """Yields nothing."""
        return iter(())


@dataclass(frozen=True)
class SoftmaxAttention(Attention):
    """Attention with a score between every two tokens; kinds differ in how keys and values come about."""

    @property
    def training_kv_heads(self) -> int:
        """Key/value heads that a training pass works with."""
        return self.kv_heads

    @property
    def kept_values_per_token(self) -> int:
        """Queries, keys, values and the input of the output projection.

        These are the 8·h of Korthikanti et al. 2022 (arXiv 2205.05198), section 4.1, with the width of each.
        """
        key_value_width = self.training_kv_heads * (self.head_dim + self.value_dim)
        return self.query_width + key_value_width + self.value_width

    @property
    def score_heads(self) -> int:
        """Every head computes scores."""
        return self.heads

    @property
    def score_flops_per_context_token(self) -> float:
        """QK^T and the weighted sum of V, 2 FLOPs a multiply-add."""
        return 2.0 * self.heads * (self.head_dim + self.value_dim)

    def decode_flops_per_entry(self, heads: int) -> float:
        """QK^T and the weighted sum of V of `heads` heads."""
        return 2.0 * heads * (self.head_dim + self.value_dim)


@dataclass(frozen=True)
class RecurrentAttention(Attention):
    """Linear attention and state space: input projections, a scan that updates a fixed state, an output projection."""

    recurrent = True

    @cached_property
    def projections(self) -> tuple[Matrix, ...]:
        """All input matrices as one of their total size, gates included, and the output projection.

        Checkpoints split the input side in many ways; its width here is the mean that its parameters make.
        """
        read = self._parameters_of_matrices - self.value_width * self.hidden
        return (
            Matrix("in_proj", self.hidden, read // self.hidden, "columns", weights=read),
            Matrix("out_proj", self.value_width, self.hidden, "rows_by_head", "values"),
        )

    def state_values_on_rank(self, tensor: int) -> int:
        """The state is divided by heads."""
        if tensor == 1:
            return self.state_values
        return -(-self.state_values * -(-self.heads // tensor) // self.heads)
