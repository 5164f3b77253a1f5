"""Checks of the fields by which a fleet follows its demand: time zone and bounds."""

from functools import cache
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

from provider_catalog.suggestions import did_you_mean

if TYPE_CHECKING:
    from planner.spec import ClusterSpec

NO_PLACES: Final = frozenset({"localtime", "Factory"})
"""Names in a time zone database that stand for the machine, or for no time zone at all."""
ZONE_HINT: Final = "give an IANA name such as America/New_York, or Etc/UTC"


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - NO_PLACES


def known_zone(name: str) -> str:
    """Returns the name of a time zone.

    Raises:
        ValueError: the time zone database does not have it. On a machine without that database no name is refused.
    """
    known = _zones()
    if known and name not in known:
        raise ValueError(f"{name!r} is not in the IANA time zone database; {did_you_mean(name, known)}{ZONE_HINT}")
    return name


def check_bounds(spec: "ClusterSpec") -> None:
    """Checks that the bounds of a fleet do not contradict its size or its workload.

    Raises:
        ValueError: a bound has no effect, or exceeds the number of nodes that the spec allows.
    """
    least, kind = spec.capacity.min_nodes, spec.workload.kind
    if least is not None and (kind != "inference" or spec.capacity.demand == "constant"):
        what = f"workload.kind is {kind}" if kind != "inference" else "capacity.demand is constant"
        raise ValueError(
            f"capacity.min_nodes is {least}, but {what}, so that all nodes run all the time; leave min_nodes out"
        )
    for bound, given in (("capacity.min_nodes", least), ("kubernetes.initial_nodes", spec.kubernetes.initial_nodes)):
        for field, most in (("pin.nodes", spec.pin.nodes), ("placement.max_nodes", spec.placement.max_nodes)):
            if given is not None and most is not None and given > most:
                raise ValueError(f"{bound} is {given}, but {field} is {most}; give at most {most}")
