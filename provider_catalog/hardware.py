"""GPUs, instance types, and the links inside a node."""

from typing import Literal

from pydantic import Field, field_validator

from provider_catalog.facts import Fact
from provider_catalog.precision import Precision
from provider_catalog.prices import MarketOption


class Gpu(Fact):
    """One accelerator with the figures of its vendor's data sheet; FLOP/s are dense peaks, without sparsity."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other names that specs and papers use for the same part."""
    vendor: Literal["nvidia", "amd"]
    generation: str
    """Micro-architecture as the vendor names it: Ampere, Hopper, Blackwell, CDNA3."""
    memory_gb: float = Field(gt=0)
    """Marketed memory in 10^9 bytes; an instance reports the `gpu_memory_mib` of its InstanceType."""
    visible_memory_gib: float | None = Field(default=None, gt=0)
    """Memory that a process sees as the total (cudaMemGetInfo) in GiB; None if no log of it is known."""
    memory_bandwidth_gb_per_s: float = Field(gt=0)
    peak_tflops: dict[Precision, float]
    """Dense peak by format in 10^12 FLOP/s (or OP/s). All are peaks of the tensor cores, except fp32, which is the
    vector peak. A missing format has no tensor-core path on this GPU; its values are converted to another format."""
    tf32_tflops: float | None = Field(default=None, gt=0)
    """Dense tensor-core peak on fp32 operands rounded to TF32; None for a GPU without TF32."""
    nvlink_gb_per_s: float = Field(default=0, ge=0)
    """NVLink (AMD: Infinity Fabric) bandwidth of one GPU, the sum of both directions, as data sheets state it; 0 where
    GPUs communicate over PCIe only."""
    links: Literal["switch", "mesh", "bridge", "none"]
    """Link to GPUs of the same kind. switch: NVSwitch joins all of them. mesh: every pair has links of its own
    (Infinity Fabric). bridge: an NVLink bridge joins two. none: PCIe only."""
    tdp_w: float = Field(gt=0)
    source: str
    as_of: str


def visible_memory_bytes(gpu: Gpu, reported_bytes: int) -> int:
    """Return the memory that a process sees as the total of a GPU whose driver reports some size, in bytes."""
    if gpu.visible_memory_gib is None:
        return int(reported_bytes * VISIBLE_SHARE)
    return int(gpu.visible_memory_gib * 2**30)


Paths = Literal["rails", "any-to-any", "unknown"]
"""Network between nodes. rails: cards at the same position share a leaf switch, and others communicate over the spine.
any-to-any: all pairs of cards communicate equally well. unknown: the provider documents nothing."""

VISIBLE_SHARE = 0.99
"""Share of the reported memory that a process sees, for a GPU without a known figure: 0.963 to 0.997 in gpus.yaml."""

BRIDGED_GPUS = 2
"""GPUs that one NVLink bridge joins (A100 PCIe and H100 NVL data sheets)."""


class NodeTopology(Fact):
    """The links of a node: between its own GPUs, and to other nodes."""

    gpu: Gpu
    gpus: int = Field(gt=0)
    gpu_memory_bytes: int = Field(gt=0)
    """Memory of one GPU in bytes, as the machine reports it."""
    nvlink_gb_per_s: float = 0
    """NVLink bandwidth of one GPU to its NVLink domain, the sum of both directions; 0 without NVLink."""
    nic_gbit_per_s: float = Field(gt=0)
    """Network bandwidth of the whole node in one direction."""
    fabric: Literal["efa", "infiniband", "ethernet"]
    cards: int | None = Field(default=None, gt=0)
    """Network cards that carry the fabric; None if unknown."""
    gpus_per_pcie_switch: int | None = Field(default=None, gt=0)
    """GPUs that share a PCIe switch with their nearest network cards; None if not published."""
    gpus_per_numa_node: int | None = Field(default=None, gt=0)
    paths: Paths = "unknown"

    @property
    def visible_memory_bytes(self) -> int:
        """Memory of one GPU that a process sees as the total, in bytes; the driver keeps the rest for itself."""
        return visible_memory_bytes(self.gpu, self.gpu_memory_bytes)

    @property
    def nvlink_domain_gpus(self) -> int:
        """GPUs that reach each other over NVLink or Infinity Fabric; 1 where only PCIe joins them."""
        if not self.nvlink_gb_per_s:
            return 1
        return min(BRIDGED_GPUS, self.gpus) if self.gpu.links == "bridge" else self.gpus

    @property
    def rails(self) -> int | None:
        """Groups of network cards used by different GPUs: one per GPU, or fewer where GPUs share a card."""
        return None if self.cards is None else min(self.cards, self.gpus)


class InstanceType(Fact):
    """A GPU instance type of a cloud."""

    provider: str
    name: str
    gpu: str
    gpus: int = Field(gt=0)
    gpu_memory_mib: int = Field(gt=0)
    """Memory of one GPU, as the provider's API or the driver reports it."""
    vcpus: int = Field(gt=0)
    memory_mib: int = Field(gt=0)
    nic_gbit_per_s: float = Field(gt=0)
    """Sustained network bandwidth of the whole node in one direction."""
    fabric: Literal["efa", "infiniband", "ethernet"]
    network_cards: int = Field(gt=0)
    rdma_cards: int = Field(ge=0)
    """Network cards that carry EFA or InfiniBand; there may be fewer than network_cards (p6-b300: 16 of 17)."""
    gpudirect_rdma: bool
    """Whether those cards read and write GPU memory without a copy through the host."""
    nvlink: bool
    """Whether every pair of the node's GPUs is linked by NVLink (or Infinity Fabric), not only bridged pairs."""
    nvme_disks: int = Field(ge=0)
    nvme_total_gb: int = Field(ge=0)
    purchase_options: tuple[MarketOption, ...]
    ephemeral_os_disk_gib: int | None = Field(default=None, gt=0)
    """Largest root disk that fits on the host's own disk, which is free; None where a billed network disk is needed."""
    reservable: bool = True
    """Whether on-demand capacity of this type can be reserved."""
    multi_node: bool
    """Whether nodes of this type can form a gang over RDMA (placement group, or one InfiniBand scale set)."""
    source: str
    as_of: str

    @field_validator("purchase_options", mode="before")
    @classmethod
    def _split_purchase_options(cls, value: object) -> object:
        # A CSV cell is one string, in which bars separate the options.
        return tuple(value.split("|")) if isinstance(value, str) else value
