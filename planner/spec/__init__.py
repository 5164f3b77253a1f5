"""ClusterSpec: what the user writes. One pydantic model is the schema, the documentation and the check."""

from typing import Literal

from pydantic import Field

from planner.spec.base import SpecModel
from planner.spec.cluster import Budget, Capacity, Headroom, Network, Placement, State, Storage
from planner.spec.pin import Pin, PinnedLayout, PinnedNode
from planner.spec.workload import (
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
    "Budget",
    "Capacity",
    "ClusterSpec",
    "Headroom",
    "InferenceWorkload",
    "LoraTargets",
    "Network",
    "NominalModel",
    "Optimizer",
    "Pin",
    "PinnedLayout",
    "PinnedNode",
    "Placement",
    "PrecisionChoice",
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
    model: str | NominalModel = Field(description="A preset, a path to a config.json, or {parameters: 65B}")
    workload: Workload
    precision: PrecisionChoice = PrecisionChoice()
    placement: Placement = Placement()
    storage: Storage = Storage()
    capacity: Capacity = Capacity()
    orchestrator: Literal["none"] = "none"
    prices: str | None = Field(
        default=None,
        # What no spec says must not change the hash of every spec and lock that stands.
        exclude_if=lambda path: path is None,
        description="Negotiated prices over the catalog's: path to an overlay file, relative to the spec",
    )
    budget: Budget = Budget()
    headroom: Headroom = Headroom()
    network: Network = Network()
    state: State = State()
    tags: dict[str, str] = Field(default_factory=dict, description="Put on every resource beside the cluster's own")
    pin: Pin = Pin()
