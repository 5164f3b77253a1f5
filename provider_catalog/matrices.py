"""The weights of a block, named one by one: matrices, and the small vectors beside them."""

from typing import Literal, NamedTuple

Split = Literal["whole", "columns", "columns_by_head", "columns_by_key_value_head", "rows", "rows_by_head"]
"""Ways in which tensor parallelism divides a matrix among its ranks.

- `whole`: every rank holds all of it.
- `columns`, `rows`: each rank holds an even share of the outputs, or of the inputs.
- `columns_by_head`, `rows_by_head`: each rank holds the outputs, or the inputs, of whole query heads.
- `columns_by_key_value_head`: each rank holds the outputs of at least one key/value head; ranks beyond the number of
  heads hold copies.
"""


class Matrix(NamedTuple):
    """One weight matrix of a block."""

    name: str
    """Name of its module in checkpoints of Llama and DeepSeek. Families that fuse or rename modules use these too."""
    inputs: int
    outputs: int
    split: Split = "whole"
    reads: str = "hidden"
    """Name of the vector that it multiplies. Engines fuse matrices that read the same vector into one product."""
    main: bool = True
    """Whether adapters can sit on it and a kernel is timed for it. Gates and indexers only count as weights."""
    weights: int | None = None
    """Parameters that the checkpoint holds, where that is not inputs x outputs."""
    recomputed: bool = False
    """Whether selective recompute runs its product again in the backward pass."""

    @property
    def parameters(self) -> int:
        """Parameters of the matrix in the checkpoint."""
        return self.inputs * self.outputs if self.weights is None else self.weights

    @property
    def smaller_side(self) -> int:
        """The smaller one of inputs and outputs, which bounds the rank of an adapter."""
        return min(self.inputs, self.outputs)


class Vector(NamedTuple):
    """Parameters that quantization, adapters and matrix optimizers leave alone: norms, biases, convolutions."""

    name: str
    parameters: int
    split: Split = "whole"


class RankShare(NamedTuple):
    """The part of a block that one tensor-parallel rank holds."""

    heads: float
    key_value_heads: float
    ranks: int
    whole_columns: bool
    """Whether a rank holds whole columns of an evenly divided matrix; else the mean over the ranks is taken."""


class ProductShape(NamedTuple):
    """Shape of the product that one rank runs for matrices that read the same vector."""

    inputs: float
    outputs: float
    recomputed: bool
