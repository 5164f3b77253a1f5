"""What a plan says of the topology under it."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel
from provider_catalog.collective_environment import Variable
from provider_catalog.hardware import Paths

GroupKind = Literal["tensor", "context", "expert", "data", "expert-data", "pipeline"]
Level = Literal["alone", "nvlink", "pcie", "rail", "network"]
"""The slowest thing that a group's messages cross: nothing (one rank), the NVLink domain, PCIe inside a node, cards of
one position in different nodes that share a rail, any path between nodes."""


class GroupPlacement(PlanModel):
    """All groups of one kind; they lie alike but for the nodes they start on."""

    kind: GroupKind
    size: int
    """Ranks of a group."""
    groups: int
    stride: int
    """Ranks from one member to the next."""
    ranks_per_node: int
    """Most members of a group in one node."""
    nodes: int
    """Most nodes that a group touches."""
    level: Level
    card_aligned: bool
    """Whether members in different nodes sit at the same positions, so that each talks to its own kind of card."""
    breakdown: str | None = None
    """The part of `performance.breakdown_s` that its messages cause, where computation does not hide them."""
    step_bytes: float | None = None
    """Training: what a GPU sends in one step, mean over the stages, hidden or not. Model, not measurement."""


class Topology(PlanModel):
    """The nodes of the choice, the place of every group in them, and the environment that their fabric wants."""

    rank_order: str
    """Fastest first; ranks count through a node before they go to the next one."""
    fabric: Literal["efa", "infiniband", "ethernet"]
    gpus_per_node: int
    nvlink_domain_gpus: int
    """GPUs that reach each other over NVLink or Infinity Fabric; 1: PCIe only."""
    links: Literal["switch", "mesh", "bridge", "none"]
    cards_per_node: int | None
    rails: int | None
    gpus_per_pcie_switch: int | None
    gpus_per_numa_node: int | None
    paths: Paths
    network: str = ""
    """What lies between the nodes, in words, with its source."""
    groups: tuple[GroupPlacement, ...]
    exposed_s: dict[Level, float] = Field(default_factory=dict)
    """Training: seconds of a step in which computation waits for messages, by the slowest level that they cross. They
    are the communication of `performance.breakdown_s`, so that the rest of it computes, waits for a stage or loads."""
    environment: tuple[Variable, ...] = ()
    """Of NCCL or RCCL and libfabric on these nodes, with a reason each; without a value: better left alone."""
