"""Time of collectives by the alpha-beta model: a latency per operation plus bytes over bandwidth."""

from dataclasses import dataclass
from math import ceil

from provider_catalog.hardware import NodeTopology

COLLECTIVE_LATENCY_S = 8.4e-6
"""Base latency of one ring collective: NCCL's own tuning table (src/graph/tuning.cc, baseLat, Simple protocol)."""
HOP_LATENCY_S = {"nvlink": 0.6e-6, "network": 5e-6}
"""Latency per hop of the ring. NVLink: NCCL's tuning table (hwLat). Network: estimate for EFA and InfiniBand, 2 to
15 us."""
BUS_EFFICIENCY = 0.8
"""Share of the link rate that large NCCL collectives reach. Estimate, 0.75 to 0.85: nccl-tests report about 235 GB/s
bus bandwidth of 300 GB/s on A100 NVSwitch and 38-40 of 50 GB/s over four 100 Gb/s EFA cards."""
PCIE_GB_PER_S = 32.0
"""PCI Express 4.0 x16 in one direction, for GPUs without NVLink."""
NVLINK_EFFICIENCY = 0.72
"""Share of NVLink that gathers and scatters of a training step reach with 8 ranks and 100 MB or more. Source:
AIConfigurator's NCCL tables (aiconfigurator-core 0.12.0), 320 of 450 GB/s on H100, 196 to 235 of 300 on A100.
Estimate, 0.63 to 0.8."""
NETWORK_EFFICIENCY = 0.80
"""Share of the network rate that the same collectives reach. Estimate, 0.7 to 0.9: see BUS_EFFICIENCY; nccl-tests on
400 Gb/s cards reach 0.8 to 0.92."""


@dataclass(frozen=True, slots=True)
class Link:
    """One level of the network as one GPU sees it."""

    bytes_per_s: float
    hop_latency_s: float


def links(node: NodeTopology) -> tuple[Link, Link]:
    """Links (inside the node, between nodes) of one GPU in one direction, at the efficiency of collectives."""
    inside = (peer_bytes_per_s(node, node.gpus) or PCIE_GB_PER_S * 1e9) * BUS_EFFICIENCY
    between = node.nic_gbit_per_s / 8 * 1e9 / node.gpus * BUS_EFFICIENCY
    return Link(inside, HOP_LATENCY_S["nvlink"]), Link(between, HOP_LATENCY_S["network"])


def all_reduce_s(payload_bytes: float, ranks: int, link: Link) -> float:
    """Ring all-reduce: 2·(n-1)/n of the payload crosses each link (Thakur et al. 2005, section 3.4.3)."""
    if ranks <= 1:
        return 0.0
    hops = 2 * (ranks - 1)
    return COLLECTIVE_LATENCY_S + hops * link.hop_latency_s + hops / ranks * payload_bytes / link.bytes_per_s


@dataclass(frozen=True, slots=True)
class Ring:
    """A process group as one of its ranks sees it in a ring collective."""

    ranks: int
    bytes_per_s: float
    latency_s: float
    """Latency of one pass around the ring."""
    per_node: int = 1
    """Ranks that share a node."""

    @classmethod
    def of(cls, node: NodeTopology, ranks: int, per_node: int) -> "Ring":
        """The ring of `ranks` ranks, of which `per_node` fit a node.

        A ring enters and leaves each node once. All groups of a node run at the same time and share its network in
        proportion to their ranks: a group that fills the node has all of it.
        """
        spread = node.gpus // max(1, per_node)
        per_node = max(1, min(per_node, ranks, node.gpus))
        nodes = ceil(ranks / per_node)
        inside = inside_bytes_per_s(node, per_node, spread)
        if nodes == 1:
            return cls(ranks, inside, COLLECTIVE_LATENCY_S + (ranks - 1) * HOP_LATENCY_S["nvlink"], per_node)
        between = network_bytes_per_s(node) * per_node
        hops = (nodes - 1) * HOP_LATENCY_S["network"] + (ranks - nodes) * HOP_LATENCY_S["nvlink"]
        bytes_per_s = between if per_node == 1 else min(inside, between)
        return cls(ranks, bytes_per_s, COLLECTIVE_LATENCY_S + hops, per_node)

    def inside(self, node: NodeTopology) -> "Ring":
        """The ring of the ranks that share one node."""
        return Ring.of(node, min(self.ranks, self.per_node), self.per_node)

    def gather_s(self, payload_bytes: float) -> float:
        """Seconds to all-gather or reduce-scatter `payload_bytes` per rank; (n-1)/n of them cross every link."""
        if self.ranks <= 1:
            return 0.0
        return self.latency_s + (self.ranks - 1) / self.ranks * payload_bytes / self.bytes_per_s

    def all_reduce_s(self, payload_bytes: float) -> float:
        """Seconds of a reduce-scatter and an all-gather (Thakur et al. 2005, section 3.4.3)."""
        return 2 * self.gather_s(payload_bytes)


def peer_bytes_per_s(node: NodeTopology, ranks: int, spread: int = 1) -> float:
    """Nominal NVLink or Infinity Fabric rate from one GPU to its group, in one direction; 0 for a group on PCIe.

    Behind a switch, all links of a GPU reach any other GPU. In a mesh, each pair of GPUs has its own links, so that a
    group of n of the node's N GPUs uses (n-1)/(N-1) of them (RCCL documentation, "RCCL usage tips": fewer than eight
    MI300X leave links unused). A bridge joins two GPUs.

    Args:
        node: the node.
        ranks: of the group in the node.
        spread: GPUs from one rank of the group to the next.
    """
    one_way = node.nvlink_gb_per_s / 2 * 1e9
    if ranks * spread > max(node.nvlink_domain_gpus, spread):
        return 0.0
    if node.gpu.links == "mesh" and 1 < ranks < node.gpus:
        return one_way * (ranks - 1) / (node.gpus - 1)
    return one_way


def inside_bytes_per_s(node: NodeTopology, ranks: int, spread: int = 1) -> float:
    """Rate from one GPU to the `ranks` of its group in the node, in one direction, in the collectives of training."""
    return (peer_bytes_per_s(node, ranks, spread) or PCIE_GB_PER_S * 1e9) * NVLINK_EFFICIENCY


def network_bytes_per_s(node: NodeTopology) -> float:
    """Share of one GPU in the network of its node, in one direction, in the collectives of training."""
    return node.nic_gbit_per_s / 8 * 1e9 / node.gpus * NETWORK_EFFICIENCY
