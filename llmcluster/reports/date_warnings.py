"""Warnings that depend on today's date. Plans hold none: the same spec and catalog give the same plan on any day."""

import sys
from datetime import date, timedelta

from planner.plan.plan import Plan

STALE_DAYS = 180
"""Age above which a compute price is called old: AWS and Azure reprice GPU instances about once or twice a year
(AWS cut P4 and P5 by up to 45 % in June 2025)."""
BLOCK_AHEAD = timedelta(weeks=8)
"""A Capacity Block can be bought this long before its first day (EC2 user guide, "Capacity Blocks for ML")."""


def first_day(as_of: str) -> date | None:
    """Returns the first day of an ISO date, a month or a year; None when the text is none of them."""
    parts = as_of.split("-")
    try:
        return date(*(int(part) for part in (*parts, "1", "1")[:3]))
    except ValueError:
        return None


def age_days(as_of: str, today: date) -> int | None:
    """Returns the most days that may have passed since `as_of`; None where it names no day."""
    since = first_day(as_of)
    return None if since is None else (today - since).days


def warn_of_dates(plan: Plan, today: date | None = None) -> None:
    """Warns on stderr when the plan uses old compute prices, or a Capacity Block that is not sold today."""
    today = today or date.today()
    block = plan.spec.capacity.block
    if block is not None and block.reservation_id is None and not today <= block.start <= today + BLOCK_AHEAD:
        print(
            f"warning: capacity.block.start is {block.start}, but Capacity Blocks are sold for start dates from "
            f"today ({today}) to {today + BLOCK_AHEAD}; Terraform will find none to buy",
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
            f"warning: the compute price of {plan.choice.instance_type} dates from {as_of} and is up to {age} days "
            f"old; `llmcluster catalog refresh --provider {plan.choice.provider}` fetches today's prices",
            file=sys.stderr,
        )
