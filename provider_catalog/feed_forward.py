"""FeedForward: the channel-mixing block of a layer, dense or a mixture of experts, with its matrices."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from provider_catalog.matrices import Matrix


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """The channel-mixing block of a layer. `parameters` counts all of it, routed experts included."""

    kind: Literal["dense", "moe", "none"]
    hidden: int = 0
    """Width of the residual stream."""
    intermediate_size: int = 0
    """Width of the dense block, or of all shared experts together in a mixture-of-experts layer."""
    gated: bool = True
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate_size: int = 0
    expert_hidden: int = 0
    """Width of the vectors that routed experts read and write; 0 means `hidden`."""
    expert_bias: bool = False
    """Whether routed experts have biases, and clamp the input of their activation function (gpt-oss)."""
    expert_groups: int = 0
    """Groups of experts, one for each node of the training cluster; 0 means that the router knows no groups."""
    groups_per_token: int = 0
    """Most groups that the experts of one token lie in: node-limited routing (DeepSeek-V3, arXiv 2412.19437, 2.1.2)."""
    parameters: int = 0
    routed_expert_parameters: int = 0
    """Parameters of all routed experts of the layer; a token uses experts_per_token / experts of them."""
    router_parameters: int = 0
    high_precision_parameters: int = 0
    """Biases and gates beside the router, which are never quantized."""

    @property
    def exists(self) -> bool:
        """False in a layer that has no feed-forward block."""
        return self.kind != "none"

    @property
    def up_matrices(self) -> int:
        """Matrices from the hidden to the intermediate width: gate and up, or up alone."""
        return 2 if self.gated else 1

    @cached_property
    def dense_matrices(self) -> tuple[Matrix, ...]:
        """Matrices of the dense block, or of the shared experts as one block; none without either."""
        return self._matrices(self.intermediate_size)

    @cached_property
    def expert_matrices(self) -> tuple[Matrix, ...]:
        """Matrices of one routed expert; none in a dense block."""
        return self._matrices(self.expert_intermediate_size, self.expert_hidden) if self.experts else ()

    @cached_property
    def projection_names(self) -> tuple[str, ...]:
        """Names of the matrices of a block, dense or expert."""
        return ("gate_proj", "up_proj", "down_proj") if self.gated else ("up_proj", "down_proj")

    def _matrices(self, width: int, hidden: int = 0) -> tuple[Matrix, ...]:
        if not width:
            return ()
        *up, down = self.projection_names
        outer = hidden or self.hidden
        into = (Matrix(name, outer, width, "columns") for name in up)
        return (*into, Matrix(down, width, outer, "rows", "inner"))
