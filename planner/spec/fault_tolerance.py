"""How a training run survives failures."""

from typing import Literal

from pydantic import Field

from planner.spec.base import SpecModel


class FaultTolerance(SpecModel):
    """Checkpoints and restarts of a training run. What is left out follows from what is published and planned."""

    checkpoint: Literal["async", "sync"] = Field(
        default="async",
        description="async: training stops while state is copied to host memory, and goes on while that is written",
    )
    checkpoint_to: Literal["auto", "shared_file_system", "object_store"] = Field(
        default="auto",
        description="auto: the shared file system, or the object store where that saves a hundredth of the time",
    )
    storage_gb_per_s: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="What all nodes together write, 10^9 bytes a second; None: what the storage on order takes",
    )
    node_mtbf_days: float | None = Field(
        default=None,
        ge=0.1,
        le=36_500,
        description="Mean days between interruptions that one node causes; None: as published for its GPUs",
    )
    restart_minutes: float | None = Field(
        default=None, gt=0, le=1440, description="From a failure to work again; None: by parts, with their range"
    )
