"""Parts of a plan other than its choice: alternatives, the Pareto front, rejections and compression proposals."""

from planner.plan.base import PlanModel
from planner.plan.fields import MachineName, OneOrMore
from planner.plan.layout import Layout
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.spec.text import Identifier
from provider_catalog.precision import Precision


class Alternative(PlanModel):
    """Another feasible cluster, and the reason why it was not chosen."""

    provider: Identifier
    region: Identifier
    instance_type: MachineName
    nodes: OneOrMore
    gpus: int
    """GPUs of all nodes."""
    layout: Layout
    usd_per_hour: float | None
    usd_per_month: float | None
    usd_per_run: float | None = None
    performance: TrainingPerformance | InferencePerformance
    price_as_of: str | None = None
    """Date of its oldest compute price; None where none is known, or in plans made before this field."""
    reason: str
    """Why the choice is preferred."""
    weights: Precision | None = None
    """Number format of the weights; None in plans made before this field."""
    tokens_per_usd: float | None = None
    """Serving: output tokens per USD at the planned load."""
    on_pareto_front: bool = False
    """Whether no other cluster, including the choice, is both cheaper and faster (by TPOT when serving, else by
    days)."""


class ParetoPoint(PlanModel):
    """A training run on the Pareto front: no other candidate is both cheaper and faster."""

    provider: Identifier
    region: Identifier
    instance_type: MachineName
    nodes: OneOrMore
    days: float
    usd_per_run: float
    layout: Layout


class CompressionProposal(PlanModel):
    """A gradient compression method that would shorten the run on the same nodes.

    The plan only proposes it; it takes effect when the spec sets it.
    """

    setting: str
    """Setting of the spec that applies the method."""
    traffic_share: float
    """Bytes that replicas exchange, as a share of those without compression."""
    step_time_s: float
    saved_s: float
    """Mean seconds saved per step over the run, at most the exposed time of the exchange."""
    saved_usd_per_day: float | None
    """Cost of the nodes for the time saved per day, in USD; None if prices are unknown."""
    packing_s: float
    """Seconds per step to compress and decompress; already deducted from saved_s."""
    memory_bytes: int
    """Additional bytes on the fullest GPU compared with no compression; they fit."""
    layout: Layout
    """Layout with which the method runs."""
    software: str
    """Software that implements the method."""
    caveat: str
    """Known limits, such as an effect on accuracy."""


class Rejection(PlanModel):
    """A candidate that does not meet the spec."""

    candidate: str
    """Instance type or cluster that was rejected."""
    reason: str
