"""The option `--max-price-age`: no compute price older than so many days is used."""

import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from planner.plan.plan import Plan
    from provider_catalog.catalog import Catalog


class Days(click.ParamType[int]):
    """A number of days, written as 90 or 90d."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the number of days."""
        text = str(value).strip().removesuffix("d")
        if not text.isdecimal() or len(text) > 5:
            self.fail(f"{value!r} is no number of days; write days such as 90 or 90d.", param, ctx)
        return int(text)


max_price_age_option = click.option(
    "--max-price-age",
    "max_price_age",
    type=Days(),
    metavar="DAYS",
    help="Use no compute price older than this; exit 3 where no other option is left.",
)


def recent(catalog: "Catalog", days: int | None, today: date | None = None) -> "Catalog":
    """Returns the catalog without compute prices older than so many days; None leaves it as it is.

    Raises:
        SpecError: the clock of this machine lies before the newest price.
    """
    if days is None:
        return catalog
    today = today or date.today()
    require_clock(catalog, today)
    return catalog.since(today - timedelta(days=days))


def require_clock(catalog: "Catalog", today: date) -> None:
    """Refuses to count ages by a clock that lies before the newest price.

    Raises:
        SpecError: the clock is wrong.
    """
    from planner.errors import SpecError
    from provider_catalog.price_dates import first_day

    newest = first_day(catalog.prices_as_of)
    if newest is not None and today < newest:
        raise SpecError(
            f"the clock of this machine says {today}, but the newest price of the catalog dates from"
            f" {catalog.prices_as_of}; set the clock, since the age of prices is counted by it"
        )


def refuse_old_prices(plan: "Plan", catalog: "Catalog") -> None:
    """Refuses a plan whose nodes are billed at a price that is too old, and warns of other lines that are.

    Raises:
        InfeasibleError: a compute price is too old, or the only known one is.
    """
    if catalog.prices_since is None:
        return
    from planner.cost.price_ages import older_items, require_recent_compute

    require_recent_compute(plan, catalog)
    old = older_items(plan.cost, catalog.prices_since)
    if old:
        dates = sorted({item.provenance.as_of for item in old})
        print(
            f"warning: {len(old)} other lines of the bill use prices from before {catalog.prices_since}, the oldest of"
            f" {dates[0]}: {', '.join(item.name for item in old[:4])}{' and more' if len(old) > 4 else ''}",
            file=sys.stderr,
        )
