"""Plan: the contract between planning and everything after it. Stacks, cost and report need nothing else."""

from typing import Final

from pydantic import Field

from planner.plan.alternatives import Alternative, CompressionProposal, ParetoPoint, Rejection
from planner.plan.base import PlanModel
from planner.plan.choice import Autoscaling, Choice, SoftwareRequirement
from planner.plan.cost import Cost, UpdateCosts
from planner.plan.layout import MemoryPerGpu
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.plan.topology import Topology
from planner.spec import NAME_PATTERN, ClusterSpec

PLAN_SCHEMA_VERSION: Final = 1
"""Of plans as they are written. Raised when a field is renamed or removed, or when a default of the spec changes; plans
without it, from before it, are version 0."""


class CatalogStamp(PlanModel):
    """Which facts the plan rests on."""

    version: str
    prices_as_of: str


class ModelSummary(PlanModel):
    """The model as it was read."""

    name: str
    total_parameters: int
    active_parameters: int
    warnings: tuple[str, ...] = ()


class Plan(PlanModel):
    """The decision, complete enough that stacks, cost and report need nothing else but the catalog."""

    name: str = Field(pattern=NAME_PATTERN)
    spec: ClusterSpec
    spec_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    schema_version: int = PLAN_SCHEMA_VERSION
    catalog: CatalogStamp
    model: ModelSummary
    choice: Choice
    memory_per_gpu: MemoryPerGpu
    performance: TrainingPerformance | InferencePerformance
    cost: Cost
    alternatives: tuple[Alternative, ...]
    rejected: tuple[Rejection, ...]
    smallest: Alternative | None = None
    """Fine-tuning: the least GPU memory that does it within the deadline on one node, where that is not the choice."""
    updates: UpdateCosts | None = None
    """Continued training (workload.every_days); `cost` is what an hour costs while the nodes stand."""
    pareto: tuple[ParetoPoint, ...] = ()
    """Training: cost against time, cheapest first, over every machine and number of nodes."""
    compression: tuple[CompressionProposal, ...] = ()
    """Training whose exchange of gradients is exposed: what would shorten it, the most first."""
    notes: tuple[str, ...] = ()
    """Roundings, assumptions and warnings a reviewer should read."""
    software: SoftwareRequirement | None = None
    autoscaling: Autoscaling | None = None
    """Only for serving whose demand varies."""
    topology: Topology | None = None
    """Which group of ranks talks over what, and the environment of their fabric; None in plans locked before it."""

    @property
    def gang_nodes(self) -> int:
        """Nodes that must work at the same time: all of a training run, those of one replica when serving."""
        return self.choice.layout.gang_nodes(self.choice.nodes, training=self.performance.kind == "training")
