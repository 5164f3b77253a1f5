"""State-space blocks: Mamba, Mamba-2, and the short gated convolution of LFM2.

Sources: Mamba, Gu and Dao 2023, arXiv 2312.00752; Mamba-2, Dao and Gu 2024, arXiv 2405.21060; shapes as in Hugging Face
transformers 5.23.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from provider_catalog.attention.base import RecurrentAttention
from provider_catalog.matrices import Matrix, Vector


@dataclass(frozen=True)
class StateSpace(RecurrentAttention):
    """A block whose scan is one fused kernel."""

    kind = "ssm"

    @property
    def kept_values_per_token(self) -> int:
        """The projected input and the output of the scan.

        The fused kernels recompute states, convolution and gate (Mamba, arXiv 2312.00752, section 3.3.2; Mamba-2,
        arXiv 2405.21060).
        """
        return self.projections[0].outputs + self.value_width


@dataclass(frozen=True)
class Mamba2(StateSpace):
    """Mamba-2: a state of head width x n values per head, and a short convolution (arXiv 2405.21060, section 7).

    `kv_heads` are the groups of heads that share input and output matrices of the state space.
    """

    _: KW_ONLY
    state: int
    """Values of the state per channel, the n of the paper."""
    kernel: int
    """Tokens that the convolution spans."""
    bias: bool
    """Biases on the input and output projections."""
    conv_bias: bool
    normed: bool = True
    """Whether the output passes through a gated norm."""

    @property
    def convolved(self) -> int:
        """Width of what the convolution runs over."""
        return self.value_width + 2 * self.kv_heads * self.state

    @property
    def _in_width(self) -> int:
        return self.value_width + self.convolved + self.heads

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields the input and the output projection."""
        yield Matrix("in_proj", self.hidden, self._in_width, "columns")
        yield Matrix("out_proj", self.value_width, self.hidden, "rows_by_head", "values")

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the convolution, the rates and steps of every head, the norm and the biases."""
        yield Vector("conv1d", self.convolved * (self.kernel + (1 if self.conv_bias else 0)), "columns")
        yield Vector("A_log, D and dt_bias", 3 * self.heads, "columns")
        if self.normed:
            yield Vector("norm", self.value_width, "columns")
        if self.bias:
            yield Vector("in_proj.bias", self._in_width, "columns")
            yield Vector("out_proj.bias", self.hidden, "columns")

    @property
    def state_values(self) -> int:
        """The state of every head and the last inputs of the convolution."""
        return self.value_width * self.state + self.convolved * (self.kernel - 1)


@dataclass(frozen=True)
class Mamba1(StateSpace):
    """Mamba (arXiv 2312.00752, section 3.4): channels do not mix, so that each counts as a head of width 1."""

    _: KW_ONLY
    state: int
    """Values of the state per channel."""
    kernel: int
    """Tokens that the convolution spans."""
    rank: int
    """Width of the latent that the step sizes are computed from."""
    bias: bool
    """Biases on the input and output projections."""
    conv_bias: bool
    normed: bool
    """Whether step, input and output matrices of the state are normalised (Jamba)."""

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields the input, the parameters of the state space, the step sizes and the output."""
        inner = self.value_width
        yield Matrix("in_proj", self.hidden, 2 * inner, "columns")
        yield Matrix("x_proj", inner, self.rank + 2 * self.state, "rows", "channels")
        yield Matrix("dt_proj", self.rank, inner, "columns", "step latent")
        yield Matrix("out_proj", inner, self.hidden, "rows_by_head", "values")

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the convolution, the rates and steps of every channel, norms and biases."""
        inner = self.value_width
        yield Vector("conv1d", inner * (self.kernel + (1 if self.conv_bias else 0)), "columns")
        yield Vector("A_log, D and dt_proj.bias", inner * (self.state + 2), "columns")
        if self.normed:
            yield Vector("norms", self.rank + 2 * self.state, "columns")
        if self.bias:
            yield Vector("in_proj.bias", 2 * inner, "columns")
            yield Vector("out_proj.bias", self.hidden, "columns")

    @property
    def state_values(self) -> int:
        """The state of every channel and the last inputs of the convolution."""
        return self.value_width * (self.state + self.kernel - 1)


@dataclass(frozen=True)
class ShortConvolution(StateSpace):
    """LFM2: a projection to two gates and a value, a convolution per channel, and a projection back."""

    _: KW_ONLY
    kernel: int
    """Tokens that the convolution spans."""
    bias: bool
    """Biases on the convolution and on both projections."""

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields the input and the output projection."""
        yield Matrix("in_proj", self.hidden, 3 * self.hidden, "columns")
        yield Matrix("out_proj", self.hidden, self.hidden, "rows_by_head", "values")

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the convolution and the biases."""
        yield Vector("conv", self.hidden * self.kernel, "columns")
        if self.bias:
            yield Vector("biases", 5 * self.hidden, "columns")

    @property
    def state_values(self) -> int:
        """The last inputs of the convolution."""
        return self.hidden * self.kernel
