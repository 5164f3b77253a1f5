"""The bounds on a bill, of a month and of a run, and by how much it exceeds them."""

from planner.errors import BudgetExcess, Period
from planner.spec import Budget


def tightest(one: Budget, other: Budget) -> Budget:
    """What keeps both of two budgets."""
    return Budget(
        usd_per_month=min(filter(None, (one.usd_per_month, other.usd_per_month)), default=None),
        usd_per_run=min(filter(None, (one.usd_per_run, other.usd_per_run)), default=None),
    )


def budget_excess(
    budget: Budget, usd_per_month: float | None, usd_per_run: float | None, run: Period = "run"
) -> BudgetExcess | None:
    """The bound that a bill exceeds most; None where it keeps both. What is not known exceeds nothing.

    Args:
        budget: Of the spec.
        usd_per_month: Of the bill.
        usd_per_run: Of the bill, of one update where the run is repeated.
        run: What a run is called.
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
