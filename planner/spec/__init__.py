"""ClusterSpec: the models of the YAML file that a user writes.

The pydantic models define the schema, its documentation (`llmcluster spec schema`) and the checks. May import
provider_catalog and `planner.vocabulary`.
"""

from typing import Literal

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
from planner.spec.elasticity import check_bounds
from planner.spec.engine import DEFAULT_ENGINE, ServingEngineChoice
from planner.spec.fault_tolerance import FaultTolerance
from planner.spec.lustre import DataRepository, Lustre
from planner.spec.network import Network
from planner.spec.observability import Observability
from planner.spec.orchestrator import Kubernetes, Orchestrator
from planner.spec.pin import Pin, PinnedGpu, PinnedLayout, PinnedNode
from planner.spec.reservation import OwnReservation, check_reservation
from planner.spec.rollout import Rollout
from planner.spec.serving_workload import InferenceWorkload, Slo, Speculation
from planner.spec.text import FilePath, ImportAddress, ImportId, ModelReference, TagKey, TagValue
from planner.spec.workload import (
    GradientCompression,
    LoraTargets,
    NominalModel,
    Optimizer,
    PrecisionChoice,
    TrainingMethod,
    TrainingWorkload,
    Workload,
)
from provider_catalog.software_matrix import ServingEngineName

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
    "PinnedGpu",
    "PinnedLayout",
    "PinnedNode",
    "Placement",
    "PrecisionChoice",
    "Rollout",
    "Security",
    "ServingEngineChoice",
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
"""Cluster names have 3 to 29 characters, because stacks add suffixes and S3 allows 63 characters, IAM 64."""


class ClusterSpec(SpecModel):
    """The model, its workload, and the constraints of the cluster. Only name, model and workload.kind are required."""

    name: str = Field(
        pattern=NAME_PATTERN,
        description=(
            "Name of the cluster, which all resources carry: 3 to 29 lower-case letters, digits and hyphens, starting "
            "with a letter"
        ),
    )
    model: ModelReference | NominalModel = Field(
        description=(
            "The model: the name of a preset, the path to a Hugging Face config.json, or a nominal size such as "
            "{parameters: 65B}"
        ),
    )
    workload: Workload = Field(description="What the model does: inference, training or finetuning")
    engine: ServingEngineChoice = Field(
        default=DEFAULT_ENGINE,
        exclude_if=lambda given: given == DEFAULT_ENGINE,
        description="Serving: the engine with its version and the settings that decide its memory",
    )
    precision: PrecisionChoice = Field(
        default=PrecisionChoice(), description="Number formats of weights, experts and KV cache"
    )
    placement: Placement = Field(
        default=Placement(), description="Clouds, regions, zone, instance types and node count that the search may use"
    )
    storage: Storage = Field(
        default=Storage(), description="Shared file system, node-local scratch space and checkpoints"
    )
    capacity: Capacity = Field(
        default=Capacity(), description="Demand over time, and the kinds of capacity that may be bought"
    )
    orchestrator: Orchestrator = Field(
        default="none",
        description=(
            "Software that assigns jobs to nodes. none: cloud-init sets up plain nodes; kubernetes: Amazon EKS; slurm: "
            "AWS ParallelCluster"
        ),
    )
    kubernetes: Kubernetes = Field(
        default=Kubernetes(),
        exclude_if=lambda given: given == Kubernetes(),
        description="Settings of the Kubernetes cluster; only with orchestrator: kubernetes",
    )
    image_id: str | None = Field(
        default=None,
        pattern=r"^ami-[0-9a-f]{8,17}$",
        exclude_if=lambda image: image is None,
        description="AWS, orchestrators none and slurm: image of every node; None: the newest when a node starts",
    )
    prices: FilePath | None = Field(
        default=None,
        # A field at its default must not change the hash of existing specs and locks.
        exclude_if=lambda path: path is None,
        description=(
            "Path of a file with negotiated prices that replace those of the catalog, relative to the spec. Default: "
            "the prices of the catalog"
        ),
    )
    budget: Budget = Field(default=Budget(), description="Upper bounds for the bill, in USD")
    headroom: Headroom = Field(
        default=Headroom(), description="Safety margins of the prediction for compute and GPU memory"
    )
    network: Network = Field(
        default=Network(), description="Address range, egress and flow logs, or an existing network"
    )
    security: Security = Field(
        default=Security(), description="Requirements of an organisation for IAM roles and disk encryption"
    )
    rollout: Rollout = Field(
        default=Rollout(), description="Whether a few nodes are validated before all nodes are created"
    )
    observability: Observability = Field(
        default=Observability(), description="Alarms by e-mail and metrics of the nodes (AWS)"
    )
    imports: dict[ImportAddress, ImportId] = Field(
        default_factory=dict,
        description=(
            "Existing resources that Terraform imports. Key: `<stack>.<resource type>.<name>`, such as "
            "storage.aws_s3_bucket.checkpoints; value: the id that `terraform import` takes"
        ),
    )
    state: State = Field(default=State(), description="Backend that stores the Terraform state")
    tags: dict[TagKey, TagValue] = Field(
        default_factory=dict, description="Tags that every resource carries in addition to those of llmcluster"
    )
    pin: Pin = Field(default=Pin(), description="Decisions that the search must not change")

    @property
    def serving_engine(self) -> ServingEngineName | Literal["auto"]:
        """Name of the serving engine: engine.name, or workload.serving_engine of older specs."""
        if self.engine.name != "auto" or not isinstance(self.workload, InferenceWorkload):
            return self.engine.name
        return self.workload.serving_engine

    @model_validator(mode="after")
    def _one_engine(self) -> "ClusterSpec":
        if not isinstance(self.workload, InferenceWorkload):
            if self.engine != DEFAULT_ENGINE:
                given = ", ".join(f"engine.{name}" for name in sorted(self.engine.model_fields_set)) or "engine"
                raise ValueError(
                    f"{given} is given, but workload.kind is {self.workload.kind}, which runs no serving engine; leave"
                    " engine out"
                )
            return self
        older = self.workload.serving_engine
        if self.engine.name != "auto" and older not in ("auto", self.engine.name):
            raise ValueError(
                f"engine.name is {self.engine.name}, but workload.serving_engine is {older}; leave"
                " workload.serving_engine out"
            )
        share, setting = self.headroom.memory_fraction, self.engine.gpu_memory_utilization
        if setting is not None and share not in (setting, Headroom().memory_fraction):
            raise ValueError(
                f"engine.gpu_memory_utilization is {setting:g}, but headroom.memory_fraction is {share:g}; both set the"
                " share of GPU memory that the engine may use: give one of them"
            )
        budget, context = self.engine.max_num_batched_tokens, self.workload.longest_context_tokens
        if budget is not None and not self.workload.chunked_prefill and budget < context:
            raise ValueError(
                f"engine.max_num_batched_tokens is {budget}, but workload.chunked_prefill is false, so that a prompt of"
                f" the longest context, {context} tokens, must fit one iteration; raise it or allow chunked prefill"
            )
        return self

    @model_validator(mode="after")
    def _settings_of_the_orchestrator(self) -> "ClusterSpec":
        if self.orchestrator != "kubernetes" and self.kubernetes != Kubernetes():
            given = [name for name, value in self.kubernetes if value != getattr(Kubernetes(), name)]
            raise ValueError(
                f"kubernetes.{given[0]} is given, but orchestrator is {self.orchestrator}; set orchestrator: kubernetes"
            )
        return self

    @model_validator(mode="after")
    def _serving_has_no_end(self) -> "ClusterSpec":
        if self.budget.usd_per_run is not None and self.workload.kind == "inference":
            raise ValueError(
                f"budget.usd_per_run is {self.budget.usd_per_run:g}, but workload.kind is inference, which does not"
                " end; use budget.usd_per_month"
            )
        return self

    @model_validator(mode="after")
    def _own_reservation(self) -> "ClusterSpec":
        check_reservation(self)
        return self

    @model_validator(mode="after")
    def _bounds(self) -> "ClusterSpec":
        check_bounds(self)
        return self

    @model_validator(mode="after")
    def _one_block(self) -> "ClusterSpec":
        block = self.capacity.block
        if block is None:
            return self
        if self.pin.nodes is not None and self.pin.nodes > BLOCK_MAX_NODES:
            raise ValueError(
                f"pin.nodes is {self.pin.nodes}, but a Capacity Block has at most {BLOCK_MAX_NODES} instances"
            )
        if block.zone is not None and self.placement.zone not in (None, block.zone):
            raise ValueError(
                f"capacity.block.zone is {block.zone}, but placement.zone is {self.placement.zone}: all nodes run in "
                "the zone of the Capacity Block; leave placement.zone out"
            )
        return self
