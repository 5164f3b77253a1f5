"""ClusterSpec: what the user writes. One pydantic model is the schema, the documentation and the check."""

from pydantic import Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.cluster import (
    BLOCK_MAX_NODES,
    Budget,
    Capacity,
    CapacityBlock,
    Headroom,
    Placement,
    Security,
    State,
    Storage,
)
from planner.spec.dataset import Dataset
from planner.spec.fault_tolerance import FaultTolerance
from planner.spec.lustre import DataRepository, Lustre
from planner.spec.network import Network
from planner.spec.observability import Observability
from planner.spec.orchestrator import Kubernetes, Orchestrator
from planner.spec.pin import Pin, PinnedLayout, PinnedNode
from planner.spec.reservation import OwnReservation, check_reservation
from planner.spec.rollout import Rollout
from planner.spec.text import FilePath, ImportAddress, ImportId, ModelReference, TagKey, TagValue
from planner.spec.workload import (
    GradientCompression,
    InferenceWorkload,
    LoraTargets,
    NominalModel,
    Optimizer,
    PrecisionChoice,
    Slo,
    Speculation,
    TrainingMethod,
    TrainingWorkload,
    Workload,
)

__all__ = [
    "BLOCK_MAX_NODES",
    "Budget",
    "Capacity",
    "CapacityBlock",
    "ClusterSpec",
    "DataRepository",
    "Dataset",
    "FaultTolerance",
    "GradientCompression",
    "Headroom",
    "InferenceWorkload",
    "Kubernetes",
    "LoraTargets",
    "Lustre",
    "Network",
    "NominalModel",
    "Observability",
    "Optimizer",
    "Orchestrator",
    "OwnReservation",
    "Pin",
    "PinnedLayout",
    "PinnedNode",
    "Placement",
    "PrecisionChoice",
    "Rollout",
    "Security",
    "Slo",
    "SpecModel",
    "Speculation",
    "State",
    "Storage",
    "TrainingMethod",
    "TrainingWorkload",
    "Workload",
]

NAME_PATTERN = r"^[a-z][a-z0-9-]{1,27}[a-z0-9]$"
"""3 to 29 characters: the suffixes that the stacks add must fit names limited to 63 (S3 bucket) and 64 (IAM)."""


class ClusterSpec(SpecModel):
    """A model, a workload and what is allowed. Everything but name, model and workload.kind has a default."""

    name: str = Field(pattern=NAME_PATTERN, description="3 to 29 lower-case letters, digits and hyphens")
    model: ModelReference | NominalModel = Field(description="A preset, a path to a config.json, or {parameters: 65B}")
    workload: Workload
    precision: PrecisionChoice = PrecisionChoice()
    placement: Placement = Placement()
    storage: Storage = Storage()
    capacity: Capacity = Capacity()
    orchestrator: Orchestrator = Field(
        default="none", description="none: nodes set up by cloud-init; kubernetes: EKS; slurm: AWS ParallelCluster"
    )
    kubernetes: Kubernetes = Field(default=Kubernetes(), exclude_if=lambda given: given == Kubernetes())
    prices: FilePath | None = Field(
        default=None,
        # What no spec says must not change the hash of every spec and lock that stands.
        exclude_if=lambda path: path is None,
        description="Negotiated prices over the catalog's: path to an overlay file, relative to the spec",
    )
    budget: Budget = Budget()
    headroom: Headroom = Headroom()
    network: Network = Network()
    security: Security = Security()
    rollout: Rollout = Rollout()
    observability: Observability = Observability()
    imports: dict[ImportAddress, ImportId] = Field(
        default_factory=dict,
        description=(
            "What exists already and Terraform takes over: `<stack>.<resource type>.<name>`, such as "
            "storage.aws_s3_bucket.checkpoints, to the id that `terraform import` takes"
        ),
    )
    state: State = State()
    tags: dict[TagKey, TagValue] = Field(
        default_factory=dict, description="Put on every resource beside the cluster's own"
    )
    pin: Pin = Pin()

    @model_validator(mode="after")
    def _settings_of_the_orchestrator(self) -> "ClusterSpec":
        if self.orchestrator != "kubernetes" and self.kubernetes != Kubernetes():
            raise ValueError(
                f"kubernetes is given, but orchestrator is {self.orchestrator}; set orchestrator: kubernetes"
            )
        return self

    @model_validator(mode="after")
    def _serving_has_no_end(self) -> "ClusterSpec":
        if self.budget.usd_per_run is not None and self.workload.kind == "inference":
            raise ValueError(
                f"budget.usd_per_run is {self.budget.usd_per_run:g}, but workload.kind is inference, which has no end;"
                " use budget.usd_per_month"
            )
        return self

    @model_validator(mode="after")
    def _own_reservation(self) -> "ClusterSpec":
        check_reservation(self)
        return self

    @model_validator(mode="after")
    def _one_block(self) -> "ClusterSpec":
        block = self.capacity.block
        if block is None:
            return self
        if self.pin.nodes is not None and self.pin.nodes > BLOCK_MAX_NODES:
            raise ValueError(
                f"pin.nodes is {self.pin.nodes}, and a Capacity Block has at most {BLOCK_MAX_NODES} instances"
            )
        if block.zone is not None and self.placement.zone not in (None, block.zone):
            raise ValueError(
                f"capacity.block.zone is {block.zone}, and placement.zone is {self.placement.zone}: all nodes run in "
                "the zone of the Capacity Block; leave placement.zone out"
            )
        return self
