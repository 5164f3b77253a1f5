"""Defaults of a cloud: the values that a plan uses where the spec says nothing."""

from typing import Literal

from pydantic import Field

from provider_catalog.facts import Fact
from provider_catalog.storage import EfaClients, ObjectStore


class TagLimit(Fact):
    """How many tags a kind of resource takes, and how many of them are not the user's."""

    resource: str
    most: int = Field(gt=0)
    """Tags that the provider accepts on the resource."""
    own: tuple[str, ...]
    """Keys that the stacks or the provider's services set; a user's tag of the same key is not counted twice."""
    node_services: bool = False
    """Whether the resource exists only where nodes publish error counts or metrics."""


class OrchestratorDefaults(Fact):
    """Resources that an orchestrator needs beside the GPU nodes."""

    control_plane_sku: str | None = None
    """SKU of the managed control plane's price; None without one."""
    service_role: str | None = None
    """Role of the nodes without GPUs, as the bill names it."""
    service_nodes: int = Field(default=0, ge=0)
    service_instance_type: str | None = None
    """Instance type of the nodes without GPUs; it is also the SKU of their price."""
    service_root_disk_gib: int = Field(default=0, ge=0)
    no_control_plane_zones: tuple[str, ...] = ()
    """Ids of zones in which the provider places no managed control plane; nodes may stand there."""
    tag_limits: tuple[TagLimit, ...] = ()
    """Kinds of resources whose number of tags limits the tags of a spec; empty where no limit is known."""


Feature = Literal[
    "own-network",
    "own-reservation",
    "zone-order",
    "private-endpoints",
    "flow-logs",
    "permissions-boundary",
    "ebs-default-key",
    "phases",
    "alarms",
    "metrics",
    "image-id",
    "schedules",
]


class PrivateEndpoint(Fact):
    """A service that a cluster without Internet access reaches through a private endpoint."""

    service: str
    """Name of the service, as the provider writes it."""
    used_by: Literal["nodes", "none", "kubernetes", "slurm", "metrics"]
    """Part of the cluster that needs the service: nodes, which are in every cluster, an orchestrator, or metrics."""
    why: str


class VcpuQuota(Fact):
    """A quota of an account and region that is counted in virtual CPUs."""

    name: str
    """Name of the quota, as the provider writes it."""
    code: str
    market: Literal["on-demand", "spot"]
    """Purchase kind that the quota limits; reservations count as on-demand."""
    families: tuple[str, ...]
    """Instance families that the quota covers: the part of a type's name before the dot."""


class ProviderDefaults(Fact):
    """Defaults of one cloud; a spec overrides any of them."""

    provider: str
    name: str
    """Name of the cloud, as the vendor writes it."""
    default_region: str
    default_zones: dict[str, str]
    """Zone by region, used unless the spec or a price by zone decides the zone. On AWS these are zone ids
    (`use1-az1`), which mean the same place in every account; on Azure they are zone numbers."""
    shared_file_system: str
    """SKU of the file system that a cluster gets unless its spec names another."""
    root_disk_gib: int = Field(gt=0)
    max_gang_nodes: int | None = Field(default=None, gt=0)
    """Largest number of nodes in one RDMA network; None where the provider states no limit."""
    gangs_can_be_reserved: bool
    """Whether reserved nodes can join one RDMA network (placement group, InfiniBand scale set)."""
    orchestrators: dict[str, OrchestratorDefaults]
    """Orchestrators that this cloud has stacks for, by the name that specs use."""
    unsupported_instance_families: dict[str, str] = Field(default_factory=dict)
    """Reason why an accelerator family on sale cannot be planned, by the part of its name before the dot."""
    vcpu_quotas: tuple[VcpuQuota, ...] = ()
    commitment_note: str | None = None
    """Advice on commitments that lower the price of reserved and on-demand nodes but are no Terraform resource."""
    reserved_mechanism: str
    """Name of the cloud's way to reserve capacity, as the report shows it."""
    features: tuple[Feature, ...] = ()
    """Optional features that the stacks of this cloud build."""
    private_endpoints: tuple[PrivateEndpoint, ...] = ()
    """Private endpoints of a cluster without Internet access; empty where the stacks do not build such a cluster."""
    object_store: ObjectStore | None = None
    """Object store that checkpoints may be written to instead of the shared file system."""
    efa_clients: EfaClients | None = None
    """Limits of clients that reach a shared file system over EFA; None where there is no EFA."""
    source: str
    as_of: str

    @property
    def default_zone(self) -> str:
        """The zone of the default region."""
        return self.default_zones[self.default_region]
