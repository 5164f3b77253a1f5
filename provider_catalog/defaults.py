"""What a plan assumes of a cloud when the spec says nothing."""

from typing import Literal

from pydantic import Field

from provider_catalog.facts import Fact
from provider_catalog.storage import ObjectStore


class OrchestratorDefaults(Fact):
    """What an orchestrator runs on beside the GPU nodes."""

    control_plane_sku: str | None = None
    """Service price of a managed control plane."""
    service_role: str | None = None
    """What the nodes without GPUs do, as the bill names them."""
    service_nodes: int = Field(default=0, ge=0)
    service_instance_type: str | None = None
    """Also the SKU of its price."""
    service_root_disk_gib: int = Field(default=0, ge=0)


Feature = Literal[
    "own-network",
    "private-endpoints",
    "flow-logs",
    "permissions-boundary",
    "ebs-default-key",
    "phases",
    "alarms",
    "metrics",
]


class PrivateEndpoint(Fact):
    """A service that a cluster without a way to the Internet reaches over a private endpoint."""

    service: str
    """As the provider names it."""
    used_by: Literal["nodes", "kubernetes", "slurm", "metrics"]
    """Every cluster's nodes, or what only some clusters have."""
    why: str


class VcpuQuota(Fact):
    """A quota of an account and region that is counted in virtual CPUs."""

    name: str
    """As the vendor writes it."""
    code: str
    market: Literal["on-demand", "spot"]
    """Reservations count as on-demand."""
    families: tuple[str, ...]
    """Parts of instance type names before the dot."""


class ProviderDefaults(Fact):
    """Defaults of one cloud; a spec overrides any of them."""

    provider: str
    name: str
    """As the vendor writes it."""
    default_region: str
    default_zones: dict[str, str]
    """Zone by region for what has no zone of its own yet; where the instance type is priced by zone, that wins.
    AWS zone ids (`use1-az1`), which mean the same place in every account; Azure zone numbers."""
    shared_file_system: str
    """SKU of the file system of a cluster that asks for none in particular."""
    root_disk_gib: int = Field(gt=0)
    max_gang_nodes: int | None = Field(default=None, gt=0)
    """Most nodes that share one RDMA network; None where the provider states no limit."""
    gangs_can_be_reserved: bool
    """Whether reserved capacity can stand in one RDMA network (placement group, InfiniBand scale set)."""
    orchestrators: dict[str, OrchestratorDefaults]
    """Orchestrators for which this cloud has stacks, by the name that specs use."""
    unsupported_instance_families: dict[str, str] = Field(default_factory=dict)
    """Accelerator families on sale that cannot be planned, with the reason; the part of the name before the dot."""
    vcpu_quotas: tuple[VcpuQuota, ...] = ()
    commitment_note: str | None = None
    """How reserved and on-demand nodes get cheaper by a commitment that no resource expresses."""
    reserved_mechanism: str
    """How capacity is reserved on this cloud, as the report names it."""
    features: tuple[Feature, ...] = ()
    """What its stacks build beyond the plain cluster."""
    private_endpoints: tuple[PrivateEndpoint, ...] = ()
    """Empty where a network without a way to the Internet is not built."""
    object_store: ObjectStore | None = None
    """Where checkpoints may go beside the shared file system."""
    source: str
    as_of: str

    @property
    def default_zone(self) -> str:
        """The zone of the default region."""
        return self.default_zones[self.default_region]
