"""What a search says when nothing serves: what the nearest miss lacks, and by how much."""

from math import inf

from planner.engine.candidate import NearMiss
from planner.errors import InfeasibleError, NearestMiss, ShortfallKind, times
from planner.plan.plan import Rejection
from planner.spec import ClusterSpec, TrainingWorkload

NEAREST_SHOWN = 5


def infeasible(spec: ClusterSpec, near_misses: list[tuple[NearMiss, Rejection]]) -> InfeasibleError:
    """The error of a search that found nothing.

    Args:
        spec: What was wanted.
        near_misses: The nearest of every machine, as it stands in `rejected`.
    """
    nearest = sorted(near_misses, key=lambda near_miss: (near_miss[0].distance, near_miss[1].candidate))[:NEAREST_SHOWN]
    first = nearest[0][0]
    return InfeasibleError(
        f"no cluster carries {spec.name!r}: {_by_how_much(spec, first, len(near_misses))}",
        tuple(NearestMiss(rejection.candidate, rejection.reason) for _, rejection in nearest),
        lacks=_lacks(first),
        budget_excess=first.budget_excess,
    )


def _lacks(nearest: NearMiss) -> ShortfallKind:
    if nearest.only_over_budget:
        return "budget"
    if nearest.shortfall == inf:
        return "other"
    return "time" if nearest.fits_memory else "memory"


def _by_how_much(spec: ClusterSpec, nearest: NearMiss, looked_at: int) -> str:
    """What the nearest of the misses lacks."""
    among = "the one machine looked at" if looked_at == 1 else f"the {looked_at} machines looked at"
    lacks, so_much = _lacks(nearest), times(nearest.shortfall)
    over = nearest.budget_excess
    if over is not None:
        return (
            f"the cheapest that does it costs {over.words}, {over.usd - over.budget_usd:,.0f} more than the budget of"
            f" {over.budget_usd:,.0f} ({so_much})"
        )
    if isinstance(spec.workload, TrainingWorkload) and lacks == "time":
        at_least = "at least " if nearest.bound else ""
        return f"of {among} the nearest is {at_least}{so_much} too slow, on as many nodes as it may have"
    if isinstance(spec.workload, TrainingWorkload) and lacks == "memory":
        return f"it does not fit: of {among} the nearest needs {so_much} the memory that may be used"
    return f"none of {among} will do" if looked_at > 1 else f"{among} will not do: {nearest.reason}"
