"""Settings of the bootstrap of a node, which `render` turns into cloud-init user data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from cdk.bootstrap.metrics import Metrics
from cdk.bootstrap.repair import Repair

AWS_INSTANCE_STORE: Final = "nvme-Amazon_EC2_NVMe_Instance_Storage_*"
"""Pattern of AWS instance store disks below /dev/disk/by-id: their model is `Amazon EC2 NVMe Instance Storage`. EBS
volumes are /dev/nvme* too, with the model `Amazon Elastic Block Store` (EC2 user guide, "Make instance store volumes
available")."""

AZURE_LOCAL_NVME: Final = "nvme-Microsoft_NVMe_Direct_Disk*"
"""Pattern of local Azure disks: their models are `Microsoft NVMe Direct Disk` and `... v2`; remote disks are `MSFT NVMe
Accelerator v1.0` (Azure/azure-vm-utils, 80-azure-disk.rules)."""


@dataclass(frozen=True)
class LustreMount:
    """A Lustre file system that every node mounts."""

    client: Literal["aws", "azure"]
    """Client packages to install: those of FSx for Lustre or of Azure Managed Lustre."""
    source: str
    """Mount source, `<dns name or address>@tcp:/<file system>`; it may hold Terraform tokens."""
    mount_point: str = "/shared"
    efa_interfaces: int = 0
    """EFA interfaces through which FSx for Lustre is reached; 0: it is reached over TCP."""

    @property
    def efa(self) -> bool:
        """Whether the file servers are reached over EFA; TCP remains in use for the rest of the traffic."""
        return self.efa_interfaces > 0


@dataclass(frozen=True)
class BetweenNodes:
    """The all-reduce over all nodes of the phase `validate`. Every node starts its own part."""

    nodes: int
    bus_gb_per_s: float
    """Smallest passing bus bandwidth in GB/s."""
    image: str
    """Container image with PyTorch, NCCL and the plugin of the fabric."""
    login_command: str
    """Shell command that lets Docker pull the image."""
    peers_command: str
    """Shell command that prints the addresses of the running nodes."""


@dataclass(frozen=True)
class BurnIn:
    """The burn-in of a plain node, which runs in the phase `validate` before the node is ready."""

    phase_command: str
    """Shell command that prints the phase."""
    bus_gb_per_s: float | None
    """Smallest passing bus bandwidth of an all-reduce over the node's GPUs, in GB/s; None: it is not measured."""
    between: BetweenNodes | None = None
    """The all-reduce between nodes; None: nodes work independently, or there is one node."""


@dataclass(frozen=True)
class Health:
    """The error counts that a node publishes once a minute."""

    publish_command: str
    """Shell command that publishes metrics; it accepts `--metric-data` as the AWS command line does."""


@dataclass(frozen=True)
class BatchBurnIn:
    """The burn-in of a node that runs as a Slurm job."""

    gpus: int
    rdma_cards: int
    inside_gb_per_s: float | None
    """Smallest passing bus bandwidth of an all-reduce over the node's GPUs, in GB/s; None: it is not measured."""
    between_gb_per_s: float | None
    """The same for an all-reduce over all nodes of the job."""
    image: str
    """Container image with PyTorch, NCCL and the plugin of the fabric."""
    login_command: str
    """Shell command that lets Docker pull the image."""
    environment: Mapping[str, str]
    """NCCL and libfabric variables by name."""


@dataclass(frozen=True)
class NodeServices:
    """The services that are added to a node which EKS or ParallelCluster sets up."""

    cluster: str
    health: Health | None = None
    metrics: Metrics | None = None
    containers: bool = False
    """Whether exporters and agent run as Docker containers of the node; under Kubernetes they are pods."""
    burn_in: BatchBurnIn | None = None
    lustre: LustreMount | None = None
    """Shared file system whose client the node configures before the orchestrator mounts it; None: the orchestrator
    configures the client itself."""
    lustre_before: str | None = None
    """Systemd unit that must not start unless the client is configured."""

    @property
    def any(self) -> bool:
        """Whether there is any service to add."""
        return bool(self.health or self.metrics or self.burn_in or self.lustre)


@dataclass(frozen=True)
class NodeBootstrap:
    """The bootstrap of a node. All nodes of a cluster have the same."""

    cluster: str
    scratch: Literal["raid0", "none"]
    nvme_disks: int
    """Local NVMe disks that the node must have; with another number it does not become ready."""
    lustre: LustreMount | None
    fabric: Literal["efa", "infiniband", "ethernet"]
    rdma_cards: int
    """EFA interfaces, or active InfiniBand ports, that the node must have."""
    gpus: int
    environment: Mapping[str, str] = field(default_factory=dict)
    """NCCL and libfabric variables by name, for login shells and for user services."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why each variable is set, by its name; written as a comment above it."""
    burn_in: BurnIn | None = None
    health: Health | None = None
    metrics: Metrics | None = None
    repair: Repair | None = None
    """How the node reports that it is ready or has failed; None: it reports to nobody."""
    scratch_dir: str = "/scratch"
    interruptible: bool = False
    """Whether the cloud may take the node back at short notice; it then runs the programs in
    /etc/llmcluster/interruption.d."""
    nvme_by_id: tuple[str, ...] = (AWS_INSTANCE_STORE, AZURE_LOCAL_NVME)
    """Patterns below /dev/disk/by-id that match local NVMe disks only."""
