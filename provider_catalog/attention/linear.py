"""Linear attention: gated delta networks, Kimi Delta Attention and lightning attention.

Sources: gated delta networks, Yang et al. 2024, arXiv 2412.06464; Kimi Delta Attention, arXiv 2510.26692; lightning
attention, MiniMax-01, arXiv 2501.08313; shapes as in Hugging Face transformers 5.23.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from provider_catalog.attention.base import RecurrentAttention
from provider_catalog.matrices import Matrix, Vector


@dataclass(frozen=True)
class LinearAttention(RecurrentAttention):
    """A matrix state of key width x value width per head."""

    kind = "linear"

    @property
    def kept_values_per_token(self) -> int:
        """Projections before and after the convolution, the output before and after its gated norm.

        Linear attention runs as separate kernels, and states of the chunks are recomputed (Gated DeltaNet, arXiv
        2412.06464, section 3.3).
        """
        return 2 * (self.projections[0].outputs + self.value_width)


@dataclass(frozen=True)
class GatedDelta(LinearAttention):
    """Gated delta rule: a short convolution over q, k and v, and one decay per value head. `heads` are value heads."""

    _: KW_ONLY
    kernel: int
    """Tokens that the convolution spans."""

    @property
    def convolved(self) -> int:
        """Width of queries, keys and values, which the convolution runs over."""
        return 2 * self.kv_heads * self.head_dim + self.value_width

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields queries, keys and values with the gate, the decay with the step, and the output."""
        yield Matrix("in_proj_qkvz", self.hidden, self.convolved + self.value_width, "columns")
        yield Matrix("in_proj_ba", self.hidden, 2 * self.heads, "columns")
        yield Matrix("out_proj", self.value_width, self.hidden, "rows_by_head", "values")

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the convolution, the decay rates and the norm."""
        yield Vector("conv1d", self.convolved * self.kernel, "columns")
        yield Vector("A_log and dt_bias", 2 * self.heads, "columns")
        yield Vector("norm", self.value_dim)

    @property
    def state_values(self) -> int:
        """A matrix per value head and the last inputs of the convolution."""
        return self.value_width * self.head_dim + self.convolved * (self.kernel - 1)


@dataclass(frozen=True)
class KimiDelta(LinearAttention):
    """Delta rule with a decay per channel, forget and output gates, and short convolutions over q, k and v."""

    _: KW_ONLY
    kernel: int
    """Tokens that the convolutions span."""
    low_rank_gates: bool = True
    """Whether the gates pass through a latent of `head_dim` (Kimi Linear) or are whole (Ling 2.5)."""
    whole_output_gate: bool = False
    """Whether the output gate is whole although the forget gate passes through a latent (Kimi K3)."""

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields queries, keys, values, the step, both gates and the output."""
        inner = self.query_width
        for name in ("q_proj", "k_proj", "v_proj"):
            yield Matrix(name, self.hidden, inner, "columns")
        yield Matrix("b_proj", self.hidden, self.heads, "columns")
        for gate in ("f", "g"):
            if self.low_rank_gates and not (gate == "g" and self.whole_output_gate):
                yield Matrix(f"{gate}_a_proj", self.hidden, self.head_dim)
                yield Matrix(f"{gate}_b_proj", self.head_dim, inner, "columns", f"{gate} latent")
            else:
                yield Matrix(f"{gate}_proj", self.hidden, inner, "columns")
        yield Matrix("out_proj", inner, self.hidden, "rows_by_head", "values")

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the convolutions, the decay rates and the norm."""
        inner = self.query_width
        yield Vector("conv1d of q, k and v", 3 * inner * self.kernel, "columns")
        yield Vector("dt_bias", inner, "columns")
        yield Vector("A_log", self.heads, "columns")
        yield Vector("norm", self.head_dim)

    @property
    def state_values(self) -> int:
        """A square matrix per head and the last inputs of the convolutions."""
        return self.query_width * self.head_dim + 3 * self.query_width * (self.kernel - 1)


@dataclass(frozen=True)
class LightningAttention(LinearAttention):
    """Linear attention with fixed decay rates and an output gate (MiniMax-01, arXiv 2501.08313, section 2.2)."""

    def list_matrices(self) -> Iterator[Matrix]:
        """Yields queries, keys and values, the gate, and the output."""
        inner = self.query_width
        yield Matrix("qkv_proj", self.hidden, 3 * inner, "columns")
        yield Matrix("output_gate", self.hidden, inner, "columns")
        yield Matrix("out_proj", inner, self.hidden, "rows_by_head", "values")

    def list_vectors(self) -> Iterator[Vector]:
        """Yields the norm of the output."""
        yield Vector("norm", self.query_width)

    @property
    def state_values(self) -> int:
        """A square matrix per head."""
        return self.query_width * self.head_dim
