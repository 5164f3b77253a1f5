"""Ages of the compute prices that a plan uses, and the words for a comparison of prices of different age."""

from collections.abc import Mapping
from datetime import date

from planner.errors import InfeasibleError, NearestMiss
from planner.plan.cost import Cost, CostItem
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.price_dates import STALE_DAYS, days_apart, first_day, oldest
from provider_catalog.prices import InstancePrice


def compute_as_of(cost: Cost) -> str | None:
    """Returns the date of the oldest compute price of a bill; None without a dated one."""
    return oldest(item.provenance.as_of for item in cost.items if item.role.startswith("compute"))


def price_ages(dated: Mapping[str, str | None]) -> str | None:
    """Returns the words for the head of a comparison whose compute prices are of different age.

    Args:
        dated: Date of the compute price by what is compared, such as an instance type with its region.

    Returns:
        None where all prices lie within `STALE_DAYS` of each other.
    """
    known = {name: as_of for name, as_of in dated.items() if as_of and first_day(as_of) is not None}
    apart = days_apart(known.values())
    if apart <= STALE_DAYS:
        return None
    ordered = sorted(known, key=lambda name: (first_day(known[name]), name))
    first, last = ordered[0], ordered[-1]
    return (
        f"the compute prices compared here are up to {apart} days apart: {first} dates from {known[first]}, {last} from"
        f" {known[last]}; llmcluster catalog refresh fetches today's"
    )


def older_items(cost: Cost, since: date) -> tuple[CostItem, ...]:
    """Returns the priced items, other than compute, whose price may date from before a day."""
    return tuple(
        item
        for item in cost.items
        if item.unit_price_usd and not item.role.startswith("compute") and _is_older(item, since)
    )


def require_recent_compute(plan: Plan, catalog: Catalog) -> None:
    """Refuses a plan whose nodes are billed at a price that is older than the catalog allows.

    Raises:
        InfeasibleError: a compute price is too old, or the only known one is.
    """
    since, choice = catalog.prices_since, plan.choice
    if since is None:
        return
    compute = [item for item in plan.cost.items if item.role.startswith("compute")]
    dates = [item.provenance.as_of for item in compute if item.unit_price_usd is not None and _is_older(item, since)]
    if any(item.unit_price_usd is None for item in compute):
        outdated: InstancePrice | None = catalog.outdated_prices.instance(
            choice.provider, choice.region, choice.instance_type, "on-demand", choice.zone
        )
        dates += [] if outdated is None else [outdated.provenance.as_of]
    if dates:
        what = f"{choice.provider}/{choice.region}/{choice.instance_type}"
        raise InfeasibleError(
            f"the compute price of {plan.name!r} is too old: it dates from {min(dates)}, and prices from before {since}"
            f" are not used; llmcluster catalog refresh --provider {choice.provider} fetches today's",
            (NearestMiss(what, f"price of {min(dates)}"),),
        )


def _is_older(item: CostItem, since: date) -> bool:
    dated = first_day(item.provenance.as_of)
    return item.provenance.kind != "negotiated" and dated is not None and dated < since
