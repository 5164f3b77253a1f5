"""The chosen cluster: machine, nodes, layout, purchase, storage, software and autoscaling bounds."""

from typing import Literal

from planner.plan.base import PlanModel
from planner.plan.fields import Amount, Count, MachineName, OneOrMore
from planner.plan.layout import Layout
from planner.spec.text import GpuName, Identifier
from provider_catalog.precision import Precision
from provider_catalog.purchase_kinds import PURCHASE_KINDS, PurchaseKind

RootDisk = Literal["network", "ephemeral"]
"""Where a node's root disk lives: on a billed network disk, or on the host, gone with the node."""


class Purchase(PlanModel):
    """How many nodes are bought how. The four sum to the nodes of the choice."""

    reserved_nodes: Count = 0
    """Held by a capacity reservation of the cloud, from the day it stands."""
    spot_nodes: Count = 0
    on_demand_nodes: Count = 0
    capacity_block_nodes: Count = 0
    """Nodes in a Capacity Block, of which `capacity_block_instances` are bought."""
    capacity_block_instances: Count = 0
    reason: str = ""

    def nodes_of(self, kind: PurchaseKind) -> int:
        """Nodes that are bought in this way."""
        nodes: int = getattr(self, f"{kind}_nodes")
        return nodes

    def nodes_by_kind(self) -> dict[PurchaseKind, int]:
        """Nodes by kind of purchase, without the kinds that the plan does not use."""
        return {kind: nodes for kind in PURCHASE_KINDS if (nodes := self.nodes_of(kind))}


class SharedStorage(PlanModel):
    """The shared file system on order."""

    sku: Identifier
    deployment_type: Identifier
    size_gib: OneOrMore
    requested_gib: Amount
    throughput_mb_per_s: Amount
    throughput_mb_per_s_per_tib: Count


class PassThresholds(PlanModel):
    """Bus bandwidths, 10^9 bytes/s, of an all-reduce that the nodes have to reach; None: no threshold is known."""

    inside_gb_per_s: Amount | None = None
    """Over the GPUs of a node."""
    between_gb_per_s: Amount | None = None
    """Over several nodes."""


class Choice(PlanModel):
    """The cluster to build."""

    provider: Identifier
    region: Identifier
    zone: Identifier | None
    """The one compute zone: an AWS zone id, an Azure zone number."""
    instance_type: MachineName
    gpu: GpuName
    nodes: OneOrMore
    gpus: OneOrMore
    multi_node: bool
    """Whether nodes work together over the fabric (one gang, or replicas larger than a node)."""
    layout: Layout
    weights: Precision
    kv_cache: Precision
    purchase: Purchase
    shared_storage: SharedStorage | None
    scratch: Literal["raid0", "none"]
    root_disk_gib: Count
    root_disk: RootDisk = "network"
    pass_thresholds: PassThresholds = PassThresholds()


class SoftwareRequirement(PlanModel):
    """What has to be installed on the nodes."""

    stack: str
    """CUDA or ROCm."""
    min_version: str
    min_driver: str | None
    """NVIDIA's kernel driver; None on ROCm, which brings its own."""
    attention: str | None
    """Newest FlashAttention that is written for the GPU."""
    weights_native: bool
    """Whether the GPU multiplies in the format of the weights; else kernels widen them to 16 bits."""
    engines: dict[str, str]
    """Serving engines, with their version, that run the model so, and what their packages take; empty when training."""
    refused_engines: dict[str, str]
    """Why the others do not."""
    source: str


class Autoscaling(PlanModel):
    """Bounds for a scaler over the demand profile; nodes move in steps of one gang."""

    min_nodes: int
    max_nodes: int
    mean_nodes: float
    step_nodes: int
