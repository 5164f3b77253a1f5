"""What today's date says of a plan. It stays out of plans, which are the same for the same spec and catalog."""

import sys
from datetime import date, timedelta

from planner.plan.plan import Plan

STALE_DAYS = 180
"""Age from which a compute price is called old: AWS and Azure reprice GPU instances about once or twice a year
(AWS cut P4 and P5 by up to 45 % in June 2025)."""
BLOCK_AHEAD = timedelta(weeks=8)
"""How long before its first day a Capacity Block can be bought (EC2 user guide, "Capacity Blocks for ML")."""


def first_day(as_of: str) -> date | None:
    """The first day that an ISO date, a month or a year admits; None when it is none of them."""
    parts = as_of.split("-")
    try:
        return date(*(int(part) for part in (*parts, "1", "1")[:3]))
    except ValueError:
        return None


def age_days(as_of: str, today: date) -> int | None:
    """Days since `as_of`, at most; None where it names no day."""
    since = first_day(as_of)
    return None if since is None else (today - since).days


def warn_of_dates(plan: Plan, today: date | None = None) -> None:
    """Say on stderr when the plan rests on old compute prices, or on a Capacity Block that nobody sells today."""
    today = today or date.today()
    block = plan.spec.capacity.block
    if block is not None and block.reservation_id is None and not today <= block.start <= today + BLOCK_AHEAD:
        print(
            f"warning: capacity.block.start is {block.start}, and Capacity Blocks are sold from today ({today}) until "
            f"{today + BLOCK_AHEAD}: Terraform will find none on offer",
            file=sys.stderr,
        )
    ages = {
        item.provenance.as_of: age
        for item in plan.cost.items
        if item.role.startswith("compute") and (age := age_days(item.provenance.as_of, today)) is not None
    }
    old = {as_of: age for as_of, age in ages.items() if age > STALE_DAYS}
    if old:
        as_of, age = max(old.items(), key=lambda entry: entry[1])
        print(
            f"warning: the compute price of {plan.choice.instance_type} is of {as_of}, up to {age} days old; "
            f"`llmcluster catalog refresh --provider {plan.choice.provider}` fetches today's",
            file=sys.stderr,
        )
