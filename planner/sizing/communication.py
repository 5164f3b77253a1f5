"""Time of collectives by the alpha-beta model: a latency per operation plus bytes over bandwidth."""

from dataclasses import dataclass

from provider_catalog.hardware import NodeTopology

COLLECTIVE_LATENCY_S = 8.4e-6
"""Base latency of one ring collective: NCCL's own tuning table (src/graph/tuning.cc, baseLat, Simple protocol)."""
HOP_LATENCY_S = {"nvlink": 0.6e-6, "network": 5e-6}
"""Per hop of the ring. NVLink as NCCL's tuning table (hwLat); network: estimate for EFA and InfiniBand, 2 to 15 us."""
BUS_EFFICIENCY = 0.8
"""Share of the link rate that large NCCL collectives reach. Estimate, 0.75 to 0.85: nccl-tests report about 235 GB/s
bus bandwidth of 300 GB/s on A100 NVSwitch and 38-40 of 50 GB/s over four 100 Gb/s EFA cards."""


@dataclass(frozen=True, slots=True)
class Link:
    """What one GPU sees of a level of the network."""

    bytes_per_s: float
    hop_latency_s: float


def links(node: NodeTopology) -> tuple[Link, Link]:
    """(inside the node, between nodes) as one GPU sees them, one direction, at collective efficiency."""
    pcie_gb_per_s = 32.0  # PCIe 4.0 x16, one direction, where GPUs have no NVLink
    inside = (node.nvlink_gb_per_s / 2 or pcie_gb_per_s) * 1e9 * BUS_EFFICIENCY
    between = node.nic_gbit_per_s / 8 * 1e9 / node.gpus * BUS_EFFICIENCY
    return Link(inside, HOP_LATENCY_S["nvlink"]), Link(between, HOP_LATENCY_S["network"])


def all_reduce_s(payload_bytes: float, ranks: int, link: Link) -> float:
    """Ring all-reduce: 2·(n-1)/n of the payload crosses each link (Thakur et al. 2005, section 3.4.3)."""
    if ranks <= 1:
        return 0.0
    hops = 2 * (ranks - 1)
    return COLLECTIVE_LATENCY_S + hops * link.hop_latency_s + hops / ranks * payload_bytes / link.bytes_per_s


def gather_or_scatter_s(payload_bytes: float, ranks: int, link: Link) -> float:
    """Ring all-gather or reduce-scatter: (n-1)/n of the payload crosses each link (Thakur et al. 2005, section 3)."""
    if ranks <= 1:
        return 0.0
    hops = ranks - 1
    return COLLECTIVE_LATENCY_S + hops * link.hop_latency_s + hops / ranks * payload_bytes / link.bytes_per_s


def all_to_all_s(payload_bytes: float, ranks: int, link: Link) -> float:
    """All-to-all of `payload_bytes` held by each rank: all but its own share leaves the rank."""
    if ranks <= 1:
        return 0.0
    return COLLECTIVE_LATENCY_S + link.hop_latency_s + (ranks - 1) / ranks * payload_bytes / link.bytes_per_s
