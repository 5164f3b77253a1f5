"""The Pareto front of training runs: cost against time."""

from collections.abc import Sequence

from planner.cost.priced import Priced
from planner.plan.alternatives import ParetoPoint
from planner.plan.performance import TrainingPerformance


def pareto_front(options: Sequence[Priced]) -> tuple[ParetoPoint, ...]:
    """Returns the training runs that no other option beats in both time and search cost, cheapest first."""
    front: list[ParetoPoint] = []
    for option in sorted(options, key=lambda option: option.rank):
        performance, usd = option.candidate.performance, option.cost.usd_per_run
        if not isinstance(performance, TrainingPerformance) or usd is None:
            continue
        if not front or performance.days < front[-1].days:
            point = ParetoPoint(
                provider=option.machine.provider,
                region=option.machine.region,
                instance_type=option.machine.name,
                nodes=option.candidate.nodes,
                days=performance.days,
                usd_per_run=usd,
                layout=option.candidate.layout,
            )
            front.append(point)
    return tuple(front)
