"""Budgets of a month and of a run, and by how much a bill exceeds them."""

from planner.errors import BudgetExcess, Period
from planner.spec import Budget


def tightest(one: Budget, other: Budget) -> Budget:
    """Returns the budget that keeps both of two budgets."""
    return Budget(
        usd_per_month=min(filter(None, (one.usd_per_month, other.usd_per_month)), default=None),
        usd_per_run=min(filter(None, (one.usd_per_run, other.usd_per_run)), default=None),
    )


def budget_excess(
    budget: Budget, usd_per_month: float | None, usd_per_run: float | None, run: Period = "run"
) -> BudgetExcess | None:
    """Returns by how much a bill exceeds a budget, the worse of the two periods; None if it keeps both.

    An unknown amount exceeds no budget.

    Args:
        budget: The budget.
        usd_per_month: Bill of a month; None if unknown.
        usd_per_run: Bill of the run, or of one update in continued training; None if unknown.
        run: Name of the period: "run", or "update" in continued training.
    """
    bills: tuple[tuple[Period, float | None, float | None], ...] = (
        ("month", usd_per_month, budget.usd_per_month),
        (run, usd_per_run, budget.usd_per_run),
    )
    over = [
        BudgetExcess(period, usd, bound)
        for period, usd, bound in bills
        if usd is not None and bound is not None and usd > bound
    ]
    return max(over, key=lambda found: found.ratio, default=None)
