"""The layout, which splits a model over GPUs, and the memory that it needs per GPU."""

from dataclasses import dataclass, field
from math import ceil
from typing import Any, ClassVar, Final, Literal

from planner.vocabulary import Recompute, Schedule, ZeroStage

Degree = Literal["tensor", "pipeline", "context", "expert", "data"]
DEGREE_NAMES: Final[dict[Degree, str]] = {
    "tensor": "TP",
    "pipeline": "PP",
    "context": "CP",
    "expert": "EP",
    "data": "DP",
}
"""Short names of the parallel degrees, as Megatron-LM and vLLM write them."""
STRICT: Final = {"extra": "forbid"}
"""Configuration of pydantic for these dataclasses when they are parts of a plan; sizing uses them without pydantic."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the model is split over GPUs. tensor x pipeline x context x data is the number of GPUs in use."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    """Data-parallel degree when training, number of replicas when serving."""
    expert: int = 1
    context: int = 1
    micro_batch: int = 1
    virtual_stages: int = 1
    zero_stage: ZeroStage = 0
    recompute: Recompute = "none"
    sequence_parallel: bool = False
    schedule: Schedule = "1f1b"
    attention_data: int = 1
    """Serving: number of groups into which data-parallel attention divides the `tensor` ranks. Each group serves
    different sequences; experts are split over all ranks."""

    @property
    def gpus_per_replica(self) -> int:
        """GPUs over which one copy of the model is split."""
        return self.tensor * self.pipeline * self.context

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return self.gpus_per_replica * self.data

    def nodes_per_replica(self, gpus_per_node: int) -> int:
        """Returns the number of nodes that one copy of the model needs."""
        return ceil(self.gpus_per_replica / gpus_per_node)

    def gang_nodes(self, nodes: int, *, training: bool) -> int:
        """Returns the nodes that must run together: all of a training run, those of one replica when serving.

        Args:
            nodes: Nodes of the cluster. Nodes beyond whole replicas are counted to the gangs.
            training: Whether the replicas of the layout train one model together.
        """
        return nodes if training else max(1, ceil(nodes / self.data))

    @property
    def short_name(self) -> str:
        """Short name with the degrees above 1 and the replicas, such as TP8 PP2 EP8 DP1."""
        return self.degree_names("tensor", "pipeline", "context", "expert", "data", always=("data",))

    @property
    def serving_name(self) -> str:
        """Name of the split of one replica, such as TP8 PP1 EP8 DP-attention 8."""
        degrees = self.degree_names("tensor", "pipeline", "expert", always=("tensor", "pipeline"))
        return f"{degrees} DP-attention {self.attention_data}" if self.attention_data > 1 else degrees

    @property
    def training_name(self) -> str:
        """Name with all degrees, micro-batch and recompute, such as TP8 PP2 DP4 micro-batch 1 recompute full."""
        order: tuple[Degree, ...] = ("tensor", "pipeline", "data", "expert", "context")
        degrees = self.degree_names(*order, always=("tensor", "pipeline", "data"))
        return f"{degrees} micro-batch {self.micro_batch} recompute {self.recompute}"

    def degree_names(self, *degrees: Degree, always: tuple[Degree, ...] = ()) -> str:
        """Returns the short names of degrees with their sizes, in the given order.

        Args:
            degrees: Degrees to name. A degree of 1 is left out.
            always: Degrees that are named even when they are 1.
        """
        sizes = {degree: int(getattr(self, degree)) for degree in degrees}
        return " ".join(f"{DEGREE_NAMES[name]}{size}" for name, size in sizes.items() if size > 1 or name in always)


@dataclass(frozen=True, kw_only=True)
class MemoryPerGpu:
    """Memory on the fullest GPU in bytes. `capacity_bytes` is GPU memory times `headroom.memory_fraction`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    weights_bytes: int
    kv_cache_bytes: int
    activations_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    overhead_bytes: int
    total_bytes: int
    capacity_bytes: int
    rank: str
    """Name of the rank with the fullest GPU."""
    overhead: dict[str, int] = field(default_factory=dict)
    """Parts of overhead_bytes in bytes, if the engine knows them; they sum to it."""
    weights: dict[str, int] = field(default_factory=dict)
    """Serving: parts of weights_bytes in bytes as the engine loads them; they sum to it."""
