"""The chosen cluster: machine, nodes, layout, purchase, storage, software and autoscaling bounds."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.fields import Amount, Count, MachineName, OneOrMore
from planner.plan.layout import Layout
from planner.spec.text import GpuName, Identifier
from provider_catalog.precision import Precision
from provider_catalog.purchase_kinds import PURCHASE_KINDS, PurchaseKind

RootDisk = Literal["network", "ephemeral"]
"""Kind of the root disk of a node: a billed network disk, or a free disk of the host that is lost with the node."""


class Purchase(PlanModel):
    """Number of nodes per purchase kind; reserved, Spot, on-demand and Capacity Block nodes sum to `Choice.nodes`."""

    reserved_nodes: Count = 0
    """Nodes in capacity reservations, which are billed from the day they are created."""
    spot_nodes: Count = 0
    on_demand_nodes: Count = 0
    capacity_block_nodes: Count = 0
    """Nodes that run in a Capacity Block."""
    capacity_block_instances: Count = 0
    """Instances that the Capacity Block has: a size for sale, at least `capacity_block_nodes`."""
    reason: str = ""
    """Why nodes are bought in this way."""

    def nodes_of(self, kind: PurchaseKind) -> int:
        """Returns the number of nodes of a purchase kind."""
        nodes: int = getattr(self, f"{kind}_nodes")
        return nodes

    def nodes_by_kind(self) -> dict[PurchaseKind, int]:
        """Returns the number of nodes by purchase kind, without kinds that the plan does not use."""
        return {kind: nodes for kind in PURCHASE_KINDS if (nodes := self.nodes_of(kind))}


class SharedStorage(PlanModel):
    """The shared file system to provision."""

    sku: Identifier
    deployment_type: Identifier
    size_gib: OneOrMore
    """Size to provision: the requested size rounded up to a purchasable size."""
    requested_gib: Amount
    """Size that the spec asks for."""
    throughput_mb_per_s: Amount
    """Throughput of the whole file system in MB/s (10^6 bytes per second)."""
    throughput_mb_per_s_per_tib: Count


class PassThresholds(PlanModel):
    """Bus bandwidths in GB/s (10^9 bytes/s) that an all-reduce must reach in the burn-in; None if unknown."""

    inside_gb_per_s: Amount | None = None
    """All-reduce over the GPUs of one node."""
    between_gb_per_s: Amount | None = None
    """All-reduce over several nodes."""


class Choice(PlanModel):
    """The cluster to build."""

    provider: Identifier
    region: Identifier
    zone: Identifier | None
    """Zone of all nodes: an AWS availability zone id or an Azure zone number."""
    instance_type: MachineName
    gpu: GpuName
    nodes: OneOrMore
    gpus: OneOrMore
    multi_node: bool
    """Whether nodes communicate over the fabric, because a training run or a replica spans several nodes."""
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
    """Software that must be installed on the nodes."""

    stack: str
    """CUDA or ROCm."""
    min_version: str
    """Lowest version of the stack that supports the GPU."""
    min_driver: str | None
    """Lowest version of the NVIDIA driver; None for ROCm, which includes its driver."""
    attention: str | None
    """Newest FlashAttention version that supports the GPU."""
    weights_native: bool
    """Whether the GPU multiplies in the format of the weights; otherwise kernels convert them to 16 bits."""
    kernel_path: str | None = None
    """Kernels that the plan counts on for products with the weights; None in plans made before this field."""
    engines: dict[str, str]
    """Serving engines that can run the plan, with version and requirements of their packages; empty when training."""
    refused_engines: dict[str, str]
    """Reason for each serving engine that cannot run the plan."""
    source: str


class ScheduledAction(PlanModel):
    """A scheduled action: a number of nodes from a recurring time on, until the next action."""

    recurrence: str
    """Cron expression with minute, hour, day of the month, month and day of the week."""
    nodes: Count


class Autoscaling(PlanModel):
    """Autoscaling bounds of a serving fleet over the demand profile."""

    min_nodes: int
    max_nodes: int
    mean_nodes: float
    """Mean over the demand profile."""
    step_nodes: int
    """Nodes that are added or removed together: those of one replica."""
    time_zone: str | None = Field(default=None, exclude_if=lambda zone: zone is None)
    """IANA time zone of the schedule; None without one."""
    schedule: dict[PurchaseKind, tuple[ScheduledAction, ...]] = Field(
        default_factory=dict, exclude_if=lambda schedule: not schedule
    )
    """Scheduled actions by purchase kind, where these start and stop the nodes. Nodes of other kinds run all the time.
    """
