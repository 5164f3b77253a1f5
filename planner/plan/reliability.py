"""What a plan says about failures."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel


class Reliability(PlanModel):
    """Failures of a training run, and what they cost it. Ranges follow from the range of the interruption rate."""

    mtbf_hours: float
    """Mean time between interruptions of the whole run, reclaimed Spot nodes among them."""
    mtbf_hours_low: float
    mtbf_hours_high: float
    failure_mtbf_hours: float
    """Without reclaims."""
    rate_source: str
    causes: dict[str, float] = Field(default_factory=dict)
    """Share of the interruptions by cause, Spot reclaims included; they sum to 1."""
    interruptions: float
    """Expected in the run."""
    interruptions_low: float
    interruptions_high: float
    checkpoint_bytes: int
    checkpoint: Literal["async", "sync"]
    checkpoint_to: Literal["shared_file_system", "object_store", "own_storage"]
    write_s: float
    stall_s: float
    """What one checkpoint stops training for."""
    lag_s: float
    """From the state that an asynchronous checkpoint holds to the moment it counts."""
    interval_s: float
    """Work between two checkpoints: Daly's optimum, or the time a checkpoint takes to be written."""
    interval_steps: int
    """The same in whole steps."""
    restart_s: float
    """From a failure to work again."""
    restart_s_low: float
    restart_s_high: float
    restart_parts_s: dict[str, float] = Field(default_factory=dict)
    time_shares: dict[str, float]
    """useful (the goodput), checkpoints, lost_work and restarts; they sum to 1."""
    goodput_low: float
    """At the highest interruption rate and the slowest restart."""
    goodput_high: float
    spare_nodes: int
    """Advice; they are not bought. `cost.spare_nodes` says what they would add to the bill."""
    spare_reason: str
