"""GPUs, the nodes they sit in, and how those nodes are wired."""

from typing import Literal

from pydantic import Field, field_validator

from provider_catalog.facts import Fact
from provider_catalog.precision import Precision
from provider_catalog.prices import MarketOption


class Gpu(Fact):
    """One accelerator, by its vendor's data sheet. FLOP/s are dense peaks: sparse peaks are not peaks."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other names that specs and papers use for the same part."""
    vendor: Literal["nvidia", "amd"]
    generation: str
    """Micro-architecture as the vendor names it: Ampere, Hopper, Blackwell, CDNA3."""
    memory_gb: float = Field(gt=0)
    """Memory as marketed, in 10^9 bytes; what an instance exposes is the InstanceType's gpu_memory_mib."""
    memory_bandwidth_gb_per_s: float = Field(gt=0)
    peak_tflops: dict[Precision, float]
    """Dense peak by format, 10^12 FLOP/s (or OP/s): tensor cores, but for fp32, which is the vector peak. A format
    that is missing has no tensor-core path on this part: its values are converted, and compute runs in another."""
    tf32_tflops: float | None = Field(default=None, gt=0)
    """Dense tensor-core peak on fp32 operands rounded to TF32; None where the part has none."""
    nvlink_gb_per_s: float = Field(default=0, ge=0)
    """Per GPU, both directions together, as data sheets state it (AMD: Infinity Fabric links together); 0 where GPUs
    meet over PCIe only."""
    links: Literal["switch", "mesh", "bridge", "none"]
    """How the part meets others of its kind: any number over NVSwitch, each with each over links of its own (Infinity
    Fabric), one other over an NVLink bridge, or over PCIe only."""
    tdp_w: float = Field(gt=0)
    source: str
    as_of: str


Paths = Literal["rails", "any-to-any", "unknown"]
"""What lies between nodes. rails: cards of one position meet in one leaf switch, others over the spine. any-to-any: it
makes no difference which card talks to which. unknown: not documented."""

BRIDGED_GPUS = 2
"""GPUs that one NVLink bridge joins (A100 PCIe and H100 NVL data sheets)."""


class NodeTopology(Fact):
    """How the GPUs of a node reach each other and the other nodes."""

    gpu: Gpu
    gpus: int = Field(gt=0)
    gpu_memory_bytes: int = Field(gt=0)
    """Memory of one GPU as the machine reports it."""
    nvlink_gb_per_s: float = 0
    """Per GPU, both directions together, to the others of its `nvlink_domain_gpus`."""
    nic_gbit_per_s: float = Field(gt=0)
    """Of the whole node, one direction."""
    fabric: Literal["efa", "infiniband", "ethernet"]
    cards: int | None = Field(default=None, gt=0)
    """Network cards that carry the fabric; None: not told."""
    gpus_per_pcie_switch: int | None = Field(default=None, gt=0)
    """GPUs below one PCIe switch, with the cards nearest to them; None: not published."""
    gpus_per_numa_node: int | None = Field(default=None, gt=0)
    paths: Paths = "unknown"

    @property
    def nvlink_domain_gpus(self) -> int:
        """GPUs that reach each other over NVLink or Infinity Fabric; 1 where they meet over PCIe."""
        if not self.nvlink_gb_per_s:
            return 1
        return min(BRIDGED_GPUS, self.gpus) if self.gpu.links == "bridge" else self.gpus

    @property
    def rails(self) -> int | None:
        """Groups of cards that GPUs use apart from each other: one for each GPU, fewer where GPUs share a card."""
        return None if self.cards is None else min(self.cards, self.gpus)


class InstanceType(Fact):
    """A GPU instance type of a cloud."""

    provider: str
    name: str
    gpu: str
    gpus: int = Field(gt=0)
    gpu_memory_mib: int = Field(gt=0)
    """Of one GPU, as the provider's API or the driver reports it."""
    vcpus: int = Field(gt=0)
    memory_mib: int = Field(gt=0)
    nic_gbit_per_s: float = Field(gt=0)
    """Sustained, of the whole node, one direction."""
    fabric: Literal["efa", "infiniband", "ethernet"]
    network_cards: int = Field(gt=0)
    rdma_cards: int = Field(ge=0)
    """Cards that carry EFA or InfiniBand; they may be fewer than network_cards (p6-b300: 16 of 17)."""
    gpudirect_rdma: bool
    """Whether those cards read and write GPU memory without a copy through the host."""
    nvlink: bool
    """Whether every pair of the node's GPUs is linked by NVLink (or Infinity Fabric), not only bridged pairs."""
    nvme_disks: int = Field(ge=0)
    nvme_total_gb: int = Field(ge=0)
    purchase_options: tuple[MarketOption, ...]
    ephemeral_os_disk_gib: int | None = Field(default=None, gt=0)
    """Largest root disk that may live on the host's own disk, which costs nothing; None: a network disk is billed."""
    reservable: bool = True
    """Whether on-demand capacity of the type can be reserved."""
    multi_node: bool
    """Whether the type joins a gang over RDMA (placement group, or one InfiniBand scale set)."""
    source: str
    as_of: str

    @field_validator("purchase_options", mode="before")
    @classmethod
    def _split_purchase_options(cls, value: object) -> object:
        # A CSV cell holds one string; several options in it are separated by a bar.
        return tuple(value.split("|")) if isinstance(value, str) else value
