"""The nearest plan as data: the relaxed field, and the cluster that it makes feasible."""

from planner.errors import NearestPlan
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan


def nearest_plan(
    decided: Plan, field: str, given: str | float | None, needed: str | float | None, words: str
) -> NearestPlan:
    """Returns a feasible plan as the nearest one to an infeasible spec.

    Args:
        decided: The plan that is feasible once the field is relaxed.
        field: Field of the spec that is relaxed.
        given: Value of the field in the spec.
        needed: Value that is enough; None if the field has to be left out.
        words: The change and its result, as they follow the name of the field.
    """
    choice, performance = decided.choice, decided.performance
    return NearestPlan(
        field=field,
        given=given,
        needed=needed,
        change=f"{field}: {words}",
        provider=choice.provider,
        region=choice.region,
        instance_type=choice.instance_type,
        nodes=choice.nodes,
        days=performance.days if isinstance(performance, TrainingPerformance) else None,
        usd_per_month=monthly_usd(decided),
        usd_per_run=run_usd(decided),
    )


def monthly_usd(decided: Plan) -> float | None:
    """Returns the amount that a monthly budget bounds, in USD."""
    return decided.cost.usd_per_month if decided.updates is None else decided.updates.usd_per_month


def run_usd(decided: Plan) -> float | None:
    """Returns the amount that a budget per run bounds, in USD."""
    return decided.cost.usd_per_run if decided.updates is None else decided.updates.usd_per_update
