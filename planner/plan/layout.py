"""How a model is split over GPUs, and the bytes that land on one of them."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from planner.vocabulary import Recompute, Schedule, ZeroStage

STRICT: Final = {"extra": "forbid"}
"""How pydantic reads these dataclasses as parts of a plan; sizing alone does without pydantic."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the model is split. tensor x pipeline x context x data is the number of GPUs in use."""

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
    """Serving: groups that the `tensor` ranks form for attention, each with sequences of its own; experts stay over
    all ranks."""

    @property
    def gpus_per_replica(self) -> int:
        """GPUs that hold one copy of the model."""
        return self.tensor * self.pipeline * self.context

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return self.gpus_per_replica * self.data


@dataclass(frozen=True, kw_only=True)
class MemoryPerGpu:
    """Bytes on the fullest GPU. `capacity_bytes` is what may be used (memory fraction of the GPU's memory)."""

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
    """Which rank is the fullest, in words."""
    overhead: dict[str, int] = field(default_factory=dict)
    """What overhead_bytes is made of, where the engine tells; the parts sum to it."""
