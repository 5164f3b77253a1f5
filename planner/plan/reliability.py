"""The part of a plan about failures, checkpoints and restarts."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel


class Reliability(PlanModel):
    """Failures of a training run and their cost. `_low` and `_high` follow from the range of the interruption rate."""

    mtbf_hours: float
    """Mean time between interruptions of the whole run, including reclaimed Spot nodes."""
    mtbf_hours_low: float
    mtbf_hours_high: float
    failure_mtbf_hours: float
    """Mean time between interruptions without reclaimed Spot nodes."""
    rate_source: str
    """Source of the interruption rate."""
    causes: dict[str, float] = Field(default_factory=dict)
    """Share of interruptions by cause, including reclaimed Spot nodes; the shares sum to 1."""
    interruptions: float
    """Expected number of interruptions in the run."""
    interruptions_low: float
    interruptions_high: float
    checkpoint_bytes: int
    checkpoint: Literal["async", "sync"]
    checkpoint_to: Literal["shared_file_system", "object_store", "own_storage"]
    write_s: float
    """Seconds to write one checkpoint."""
    stall_s: float
    """Seconds for which one checkpoint stops training."""
    lag_s: float
    """Seconds from the copy of an asynchronous checkpoint to host memory until it is completely written."""
    interval_s: float
    """Seconds of training between two checkpoints: the optimum of Daly, but at least the time to write a checkpoint."""
    interval_steps: int
    """interval_s in whole steps."""
    restart_s: float
    """Seconds from a failure until training continues."""
    restart_s_low: float
    restart_s_high: float
    restart_parts_s: dict[str, float] = Field(default_factory=dict)
    """Parts of restart_s in seconds."""
    time_shares: dict[str, float]
    """Shares of the run: useful (the goodput), checkpoints, lost_work and restarts; they sum to 1."""
    goodput_low: float
    """Goodput at the highest interruption rate and the slowest restart."""
    goodput_high: float
    """Goodput at the lowest interruption rate and the fastest restart."""
    spare_nodes: int
    """Recommended spare nodes. They are not part of the plan; `cost.spare_nodes` is what they would cost."""
    spare_reason: str
