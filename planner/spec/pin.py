"""Pins: what the search may not change."""

from pydantic import Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.text import GpuName, Identifier
from planner.vocabulary import Recompute, Schedule, ZeroStage


class PinnedLayout(SpecModel):
    """Parallel degrees the search may not change. What is left out is derived."""

    tensor: int | None = Field(default=None, gt=0)
    pipeline: int | None = Field(default=None, gt=0)
    data: int | None = Field(default=None, gt=0)
    expert: int | None = Field(default=None, gt=0)
    context: int | None = Field(default=None, gt=0)
    micro_batch: int | None = Field(default=None, gt=0)
    virtual_stages: int | None = Field(default=None, gt=0)
    zero_stage: ZeroStage | None = None
    recompute: Recompute | None = None
    sequence_parallel: bool | None = None
    schedule: Schedule | None = None
    attention_data: int | None = Field(default=None, gt=0, description="Serving: groups of data-parallel attention")


class PinnedNode(SpecModel):
    """A node of one's own, instead of an instance type."""

    gpu: GpuName
    gpus: int = Field(gt=0, le=1024)
    nvlink_gb_per_s: float | None = Field(default=None, ge=0, description="Per GPU, both directions together")
    nic_gbit_per_s: float = Field(gt=0, description="Per node, one direction")
    usd_per_hour: float | None = Field(
        default=None, gt=0, description="What one node costs an hour, used or not; without it the cost is unknown"
    )


class Pin(SpecModel):
    """What the search may not change. With everything pinned, one configuration is evaluated."""

    instance_type: Identifier | None = None
    node: PinnedNode | None = None
    nodes: int | None = Field(default=None, gt=0, le=1_000_000)
    layout: PinnedLayout = PinnedLayout()
    batch: int | None = Field(default=None, gt=0, description="Inference: sequences of one replica's static batch")

    @model_validator(mode="after")
    def _one_machine(self) -> "Pin":
        if self.instance_type is not None and self.node is not None:
            raise ValueError("give pin.instance_type or pin.node, not both")
        return self
