"""Lines of a plan's report about its process groups and the environment of their fabric."""

from collections.abc import Iterable

from planner.plan.layout import DEGREE_NAMES
from planner.plan.plan import Plan
from planner.plan.topology import GroupKind, GroupPlacement, Topology

SHORT: dict[GroupKind, str] = dict([*DEGREE_NAMES.items(), ("expert-data", "EDP")])
FABRICS = {"efa": "EFA", "infiniband": "InfiniBand", "ethernet": "Ethernet"}


def topology_facts(plan: Plan) -> Iterable[tuple[str, str]]:
    """Yields label and text of the topology and of the environment; nothing where no two GPUs communicate."""
    topology = plan.topology
    if topology is None or not topology.groups:
        return
    inside = [group for group in topology.groups if group.nodes == 1]
    between = [group for group in topology.groups if group.nodes > 1]
    parts = []
    for level, words in (("nvlink", f"in {_linked(topology)}"), ("pcie", "over PCIe")):
        at = [group for group in inside if group.level == level]
        if at:
            parts.append(f"{_names(at)} {words}{_sent(at)}")
    if between:
        spans = ", ".join(f"{SHORT[group.kind]}{group.size} on {group.nodes} nodes" for group in between)
        parts.append(f"{spans} over {FABRICS[topology.fabric]}{_sent(between)}")
    yield "topology", f"{'; '.join(parts)}{_waiting(topology)}"
    given = [entry for entry in topology.environment if entry.value is not None]
    alone = len(topology.environment) - len(given)
    if topology.environment:
        settings = " ".join(f"{entry.variable}={entry.value}" for entry in given) or "no variable to set"
        rest = f"; {_left_alone(alone)}" if alone else ""
        yield "environment", f"{settings}{rest} (reasons: --json)"


def _left_alone(variables: int) -> str:
    if variables == 1:
        return "1 variable intentionally left at its default"
    return f"{variables} variables intentionally left at their defaults"


def _names(groups: list[GroupPlacement]) -> str:
    return " ".join(f"{SHORT[group.kind]}{group.size}" for group in groups)


def _sent(groups: list[GroupPlacement]) -> str:
    total = sum(group.step_bytes or 0.0 for group in groups)
    return f" ({total / 1e9:,.1f} GB per GPU and step)" if total else ""


def _linked(topology: Topology) -> str:
    return "Infinity Fabric" if topology.links == "mesh" else "NVLink"


def _waiting(topology: Topology) -> str:
    names = {"nvlink": _linked(topology), "pcie": "PCIe", "rail": "rails", "network": "network"}
    waits = [f"{names[level]} {seconds:.2f} s" for level, seconds in topology.exposed_s.items() if seconds >= 0.005]
    return f"; communication that a step waits for: {', '.join(waits)}" if waits else ""
