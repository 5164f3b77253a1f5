"""Other clusters beside the choice: alternatives, the Pareto front, rejections and compression proposals."""

from planner.plan.base import PlanModel
from planner.plan.fields import MachineName, OneOrMore
from planner.plan.layout import Layout
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.spec.text import Identifier
from provider_catalog.precision import Precision


class Alternative(PlanModel):
    """Another feasible cluster, and why it was not taken."""

    provider: Identifier
    region: Identifier
    instance_type: MachineName
    nodes: OneOrMore
    gpus: int
    layout: Layout
    usd_per_hour: float | None
    usd_per_month: float | None
    usd_per_run: float | None = None
    performance: TrainingPerformance | InferencePerformance
    reason: str
    weights: Precision | None = None
    tokens_per_usd: float | None = None
    """Output tokens for a dollar when serving, at the planned load."""
    on_pareto_front: bool = False
    """Whether no other cluster, the choice included, is both cheaper and faster (TPOT when serving, days else)."""


class ParetoPoint(PlanModel):
    """A training run that no other one looked at beats in both cost and time."""

    provider: Identifier
    region: Identifier
    instance_type: MachineName
    nodes: OneOrMore
    days: float
    usd_per_run: float
    layout: Layout


class CompressionProposal(PlanModel):
    """A way to exchange less between replicas, on the same nodes. Advice: only the spec applies it."""

    setting: str
    """What the spec would say."""
    traffic_share: float
    """Bytes exchanged between replicas, of those exchanged without."""
    step_time_s: float
    saved_s: float
    """Of every step, on average over the run; no more than what is exposed of the exchange."""
    saved_usd_per_day: float | None
    """What the nodes cost in the time that a day's steps take less; None where prices are unknown."""
    packing_s: float
    """What compressing and its reverse take of a step; saved_s is what is left after it."""
    memory_bytes: int
    """More than without, on the fullest GPU; it fits."""
    layout: Layout
    """On which it runs."""
    software: str
    caveat: str


class Rejection(PlanModel):
    """A candidate that cannot serve."""

    candidate: str
    reason: str
