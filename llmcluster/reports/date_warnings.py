"""Warnings that depend on today's date. Plans hold none: the same spec and catalog give the same plan on any day."""

import sys
from datetime import date, timedelta

from planner.plan.plan import Plan
from provider_catalog.price_dates import STALE_DAYS, age_days

BLOCK_AHEAD = timedelta(weeks=8)
"""A Capacity Block can be bought this long before its first day (EC2 user guide, "Capacity Blocks for ML")."""


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
