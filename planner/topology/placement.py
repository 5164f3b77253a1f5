"""Placement of process groups on nodes, and the topology part of a plan."""

from collections.abc import Mapping
from typing import Final

from planner.plan.layout import Layout
from planner.plan.topology import GroupKind, GroupPlacement, Level, Topology
from planner.topology.ranks import SERVING_ORDER, TRAINING_ORDER, ProcessGroups, serving_groups, training_groups
from provider_catalog.collective_environment import Variable
from provider_catalog.hardware import NodeTopology

TRAINING_PARTS: Final[Mapping[GroupKind, str]] = {
    "tensor": "tensor_parallel",
    "context": "context_parallel",
    "expert": "expert_parallel",
    "data": "data_parallel",
    "expert-data": "data_parallel",
    "pipeline": "pipeline_transfers",
}
"""Key of each kind of group in a training plan's `breakdown_s`."""
SLOWNESS: Final[tuple[Level, ...]] = ("alone", "nvlink", "pcie", "rail", "network")
"""Communication levels from the fastest to the slowest."""


def placement(grouping: ProcessGroups, node: NodeTopology, ranks_per_node: int) -> GroupPlacement:
    """Return the placement of all groups of one kind.

    It is computed in closed form: groups of one kind differ only in the position in a node where they start.

    Args:
        grouping: Size and stride of the groups.
        node: Kind of node.
        ranks_per_node: Ranks of the job on each node; fewer than the GPUs where some stay idle.
    """
    size, stride = grouping.size, grouping.stride
    starts = _starts(grouping, ranks_per_node)
    nodes = max(_nodes(start, size, stride, ranks_per_node) for start in starts)
    most = max(_most_in_a_node(start, size, stride, ranks_per_node) for start in starts)
    aligned = all(_aligned(start, size, stride, ranks_per_node) for start in starts)
    domain = node.nvlink_domain_gpus
    linked = all(start // domain == (start + (size - 1) * stride) // domain for start in starts)
    return GroupPlacement(
        kind=grouping.kind,
        size=size,
        groups=grouping.count,
        stride=stride,
        ranks_per_node=most,
        nodes=nodes,
        level=_level(nodes, linked, aligned, node),
        card_aligned=aligned,
    )


def training_topology(
    layout: Layout,
    node: NodeTopology,
    network: str,
    environment: tuple[Variable, ...],
    step_bytes: Mapping[GroupKind, float],
    breakdown_s: Mapping[str, float],
) -> Topology:
    """Return the topology of a training plan.

    Args:
        layout: Layout of the whole job.
        node: Kind of node.
        network: Description of the network between nodes.
        environment: Environment variables for collective communication.
        step_bytes: Bytes that a GPU sends in one step, by kind of group.
        breakdown_s: Seconds of a step by part.
    """
    placed = (placement(grouping, node, node.gpus) for grouping in training_groups(layout))
    groups = tuple(
        group.model_copy(update={"breakdown": TRAINING_PARTS[group.kind], "step_bytes": step_bytes.get(group.kind)})
        for group in placed
    )
    return _topology(TRAINING_ORDER, node, network, environment, groups).model_copy(
        update={"exposed_s": _exposed_s(groups, breakdown_s)}
    )


def serving_topology(layout: Layout, node: NodeTopology, network: str, environment: tuple[Variable, ...]) -> Topology:
    """Return the topology of a serving plan: the groups of one replica that starts at the first GPU of a node."""
    nodes = layout.nodes_per_replica(node.gpus)
    per_node = -(-layout.gpus_per_replica // nodes)
    groups = tuple(placement(grouping, node, per_node) for grouping in serving_groups(layout))
    return _topology(SERVING_ORDER, node, network, environment, groups)


def _topology(
    order: str,
    node: NodeTopology,
    network: str,
    environment: tuple[Variable, ...],
    groups: tuple[GroupPlacement, ...],
) -> Topology:
    return Topology(
        rank_order=order,
        fabric=node.fabric,
        gpus_per_node=node.gpus,
        nvlink_domain_gpus=node.nvlink_domain_gpus,
        links=node.gpu.links,
        cards_per_node=node.cards,
        rails=node.rails,
        gpus_per_pcie_switch=node.gpus_per_pcie_switch,
        gpus_per_numa_node=node.gpus_per_numa_node,
        paths=node.paths,
        network=network,
        groups=groups,
        environment=environment,
    )


def _exposed_s(groups: tuple[GroupPlacement, ...], breakdown_s: Mapping[str, float]) -> dict[Level, float]:
    """Return the seconds of the step by level; each part counts at the slowest level that its groups cross."""
    levels: dict[str, Level] = {}
    for group in groups:
        if group.breakdown is not None:
            levels[group.breakdown] = max(levels.get(group.breakdown, "alone"), group.level, key=SLOWNESS.index)
    exposed: dict[Level, float] = {}
    for part, level in levels.items():
        exposed[level] = exposed.get(level, 0.0) + breakdown_s[part]
    return exposed


def _starts(grouping: ProcessGroups, ranks_per_node: int) -> set[int]:
    """Return the positions in a node at which groups start; the pattern repeats from node to node."""
    span = grouping.size * grouping.stride
    first_spans = range(0, min(grouping.ranks, span * ranks_per_node), span)
    return {
        (start + offset) % ranks_per_node
        for start in first_spans
        for offset in range(min(grouping.stride, ranks_per_node))
    }


def _nodes(start: int, size: int, stride: int, per_node: int) -> int:
    # A stride up to the ranks of a node skips no node; a longer one never returns to a node.
    return (start + (size - 1) * stride) // per_node + 1 if stride <= per_node else size


def _most_in_a_node(start: int, size: int, stride: int, per_node: int) -> int:
    counts: dict[int, int] = {}
    # Members beyond the second node repeat the pattern of the first two.
    for member in range(min(size, 2 * per_node)):
        node = (start + member * stride) // per_node
        counts[node] = counts.get(node, 0) + 1
    return max(counts.values())


def _aligned(start: int, size: int, stride: int, per_node: int) -> bool:
    """Return whether the group has the same positions on every node that it uses."""
    if start + (size - 1) * stride < per_node:
        return True
    if stride >= per_node:
        return stride % per_node == 0
    return per_node % stride == 0 and (size * stride) % per_node == 0 and start < stride


def _level(nodes: int, linked: bool, aligned: bool, node: NodeTopology) -> Level:
    if nodes == 1:
        return "nvlink" if linked else "pcie"
    return "rail" if aligned and node.paths == "rails" else "network"
