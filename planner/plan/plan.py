"""Plan: the result of planning, and the only input of stacks, cost and reports apart from the catalog."""

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
"""Schema version that this program writes into plans. It is raised when a field is renamed or removed, or when a
default of the spec changes. Plans without a version are version 0."""


class CatalogStamp(PlanModel):
    """Version of the catalog that the plan is based on, and the date of its prices."""

    version: str
    prices_as_of: str


class ModelSummary(PlanModel):
    """Name and size of the model."""

    name: str
    total_parameters: int
    active_parameters: int
    warnings: tuple[str, ...] = ()


class Plan(PlanModel):
    """The planned cluster with spec, performance and bill; stacks, cost and reports need only it and the catalog."""

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
    """Fine-tuning: the single node with the least GPU memory that meets the deadline; None if it is the choice."""
    updates: UpdateCosts | None = None
    """Continued training (workload.every_days): cost of updates; `cost` is the bill while nodes run."""
    pareto: tuple[ParetoPoint, ...] = ()
    """Training: Pareto front of cost and time over all instance types and node counts, cheapest first."""
    compression: tuple[CompressionProposal, ...] = ()
    """Training: gradient compression methods that would shorten an exposed gradient exchange, largest saving first."""
    notes: tuple[str, ...] = ()
    """Roundings, assumptions and warnings that a reviewer should read."""
    software: SoftwareRequirement | None = None
    autoscaling: Autoscaling | None = None
    """Serving with varying demand only; otherwise None."""
    topology: Topology | None = None
    """Placement of communication groups and environment of the fabric; None in plans made before this field."""

    @property
    def gang_nodes(self) -> int:
        """Nodes of a gang, which must run together: all of a training run, those of one replica when serving."""
        return self.choice.layout.gang_nodes(self.choice.nodes, training=self.performance.kind == "training")
