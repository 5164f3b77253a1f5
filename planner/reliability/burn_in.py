"""What a node must show before the plan can be believed: bandwidths that a validation run has to reach."""

from typing import Final

from planner.plan.plan import PassThresholds
from planner.sizing.communication import BUS_EFFICIENCY, links
from provider_catalog.hardware import NodeTopology

PASS_FRACTION: Final = 0.85
"""Of the rate that the plan counts on. Estimate, 0.8 to 0.95: good parts repeat nccl-tests within a few per cent, a
link that has failed or trains at half its width falls far below."""


def pass_thresholds(node: NodeTopology, *, multi_node: bool) -> PassThresholds:
    """Bus bandwidths in 10^9 bytes/s that an all-reduce of nccl-tests has to reach.

    Inside a node it is that of a GPU's NVLink, one direction; between nodes that of all the node's cards together
    (nccl-tests, doc/PERFORMANCE.md: bus bandwidth is what the slowest link of the ring carries). GPUs on PCIe have no
    threshold: what they reach depends on the host.
    """
    inside = links(node)[0].bytes_per_s / 1e9 * PASS_FRACTION if node.nvlink_domain_gpus == node.gpus > 1 else None
    between = node.nic_gbit_per_s / 8 * BUS_EFFICIENCY * PASS_FRACTION if multi_node else None
    return PassThresholds(
        inside_gb_per_s=None if inside is None else round(inside, 1),
        between_gb_per_s=None if between is None else round(between, 1),
    )
