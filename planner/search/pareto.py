"""The Pareto front of training runs: cost against time."""

from collections.abc import Sequence

from planner.cost.priced import Priced
from planner.plan.alternatives import ParetoPoint
from planner.plan.performance import TrainingPerformance


def pareto_front(options: Sequence[Priced]) -> tuple[ParetoPoint, ...]:
    """Returns the training runs that no other option beats in both time and search cost, cheapest first."""
    return tuple(
        ParetoPoint(
            provider=option.machine.provider,
            region=option.machine.region,
            instance_type=option.machine.name,
            nodes=option.candidate.nodes,
            days=option.days_or_tpot_ms,
            usd_per_run=usd,
            layout=option.candidate.layout,
        )
        for option in _front(options)
        if (usd := option.cost.usd_per_run) is not None
    )


def cost_time_front(options: Sequence[Priced]) -> list[tuple[float, float]]:
    """Returns (search cost in USD, days) of the training runs on the Pareto front, cheapest first.

    In continued training the cost is that of an update, which holds its nodes for longer than the run itself.
    """
    return [(option.search_cost_usd, option.days_or_tpot_ms) for option in _front(options)]


def _front(options: Sequence[Priced]) -> list[Priced]:
    front: list[Priced] = []
    for option in sorted(options, key=lambda option: option.rank):
        performance = option.candidate.performance
        if not isinstance(performance, TrainingPerformance) or option.cost.usd_per_run is None:
            continue
        if not front or performance.days < front[-1].days_or_tpot_ms:
            front.append(option)
    return front
