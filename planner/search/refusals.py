"""The error of a search in which nothing serves: which constraint the nearest miss fails, and by how much."""

from math import inf

from planner.engine.candidate import NearMiss
from planner.errors import InfeasibleError, NearestMiss, ShortfallKind, times
from planner.plan.alternatives import Rejection
from planner.spec import ClusterSpec, TrainingWorkload

NEAREST_SHOWN = 5


def infeasible(spec: ClusterSpec, near_misses: list[tuple[NearMiss, Rejection]]) -> InfeasibleError:
    """Returns the error of a search that found nothing.

    Args:
        spec: The workload and its constraints.
        near_misses: The nearest miss of every machine, with its rejection.
    """
    if not near_misses:
        return InfeasibleError(f"no cluster carries {spec.name!r}: no instance type is left to search; widen placement")
    nearest = sorted(near_misses, key=lambda near_miss: (near_miss[0].distance, near_miss[1].candidate))[:NEAREST_SHOWN]
    first = nearest[0][0]
    return InfeasibleError(
        f"no cluster carries {spec.name!r}: {_shortfall_words(spec, first, len(near_misses))}",
        tuple(NearestMiss(rejection.candidate, rejection.reason) for _, rejection in nearest),
        lacks=_shortfall_kind(first),
        budget_excess=first.budget_excess,
    )


def _shortfall_kind(nearest: NearMiss) -> ShortfallKind:
    if nearest.only_over_budget:
        return "budget"
    if nearest.shortfall == inf:
        return "other"
    return "time" if nearest.fits_memory else "memory"


def _shortfall_words(spec: ClusterSpec, nearest: NearMiss, searched: int) -> str:
    """Says in words by how much the nearest miss fails its constraint."""
    machines = "the one machine" if searched == 1 else f"the {searched} machines"
    kind, ratio = _shortfall_kind(nearest), times(nearest.shortfall)
    over = nearest.budget_excess
    if over is not None:
        return (
            f"the cheapest feasible option costs {over.words}, {over.usd - over.budget_usd:,.0f} more than the budget"
            f" of {over.budget_usd:,.0f} ({ratio})"
        )
    if isinstance(spec.workload, TrainingWorkload) and kind == "time":
        at_least = "at least " if nearest.bound else ""
        return f"the closest of {machines} is {at_least}{ratio} too slow even at the largest allowed node count"
    if isinstance(spec.workload, TrainingWorkload) and kind == "memory":
        return f"it does not fit: the closest of {machines} needs {ratio} the usable memory"
    return f"none of {machines} can serve it" if searched > 1 else f"{machines} cannot serve it: {nearest.reason}"
