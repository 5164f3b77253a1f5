"""Spec model for checkpoints and restarts of a training run."""

from typing import Literal

from pydantic import Field

from planner.spec.base import SpecModel


class FaultTolerance(SpecModel):
    """Checkpoints and restarts of a training run. Defaults follow from published failure rates and the plan."""

    checkpoint: Literal["async", "sync"] = Field(
        default="async",
        description=(
            "async: training stops only while the state is copied to host memory; it is written in the background; "
            "sync: training stops until the checkpoint is written"
        ),
    )
    checkpoint_to: Literal["auto", "shared_file_system", "object_store"] = Field(
        default="auto",
        description=(
            "Where checkpoints are written. auto: the shared file system, or the object store if that saves at least 1 "
            "% of the training time"
        ),
    )
    storage_gb_per_s: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description=(
            "Write throughput of the checkpoint storage over all nodes in GB/s (10^9 bytes per second). Default: the "
            "throughput of the planned storage"
        ),
    )
    node_mtbf_days: float | None = Field(
        default=None,
        ge=0.1,
        le=36_500,
        description="Mean time between failures of one node in days. Default: the published rate for its GPUs",
    )
    restart_minutes: float | None = Field(
        default=None,
        gt=0,
        le=1440,
        description=(
            "Time from a failure until training continues, in minutes. Default: estimated from detection, node "
            "replacement and loading of the checkpoint"
        ),
    )
