"""Bandwidths that nodes must reach in a burn-in test, so that the plan's step times hold."""

from typing import Final

from planner.plan.choice import PassThresholds
from planner.sizing.communication import BUS_EFFICIENCY, links
from provider_catalog.hardware import NodeTopology

PASS_FRACTION: Final = 0.85
"""Pass threshold as a share of the bandwidth that the plan assumes. Estimate, 0.8 to 0.95: sound parts repeat
nccl-tests within a few per cent, and a link that failed or runs at half its width is far slower."""


def pass_thresholds(node: NodeTopology, *, multi_node: bool) -> PassThresholds:
    """Return the bus bandwidths in 10^9 bytes/s that an all-reduce of nccl-tests has to reach.

    Inside a node the bandwidth is that of a GPU's NVLink in one direction, between nodes that of all network cards of a
    node together (nccl-tests, doc/PERFORMANCE.md: bus bandwidth is the load of the slowest link of the ring). GPUs on
    PCIe have no threshold, because their bandwidth depends on the host.
    """
    inside = links(node)[0].bytes_per_s / 1e9 * PASS_FRACTION if node.nvlink_domain_gpus == node.gpus > 1 else None
    between = node.nic_gbit_per_s / 8 * BUS_EFFICIENCY * PASS_FRACTION if multi_node else None
    return PassThresholds(
        inside_gb_per_s=None if inside is None else round(inside, 1),
        between_gb_per_s=None if between is None else round(between, 1),
    )
