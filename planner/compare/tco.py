"""Total cost of owning servers: purchase, housing, power, staff; when it breaks even with the cloud; CO2."""

from typing import Final

from planner.plan.base import PlanModel
from provider_catalog.on_prem import Level, OnPrem, OwnServer

HOURS_PER_YEAR: Final = 8760
WORK_HOURS_PER_YEAR: Final = 2080
"""Of one member of staff: 52 weeks of 40 hours, as the BLS counts them."""


class OnPremCost(PlanModel):
    """A year of a number of servers of one's own, USD."""

    servers: int
    purchase_usd: float
    """Once, with the network between the servers."""
    depreciation_usd: float
    support_usd: float
    electricity_usd: float
    colocation_usd: float
    staff_usd: float
    model_updates_usd: float
    """As much as in the cloud."""
    kwh: float

    @property
    def running_usd(self) -> float:
        """What is paid every year after the purchase."""
        return self.support_usd + self.electricity_usd + self.colocation_usd + self.staff_usd + self.model_updates_usd

    @property
    def total_usd(self) -> float:
        """A year, purchase written off in equal parts."""
        return self.depreciation_usd + self.running_usd


def electricity_kwh(power_kw: float, pue: float, utilisation: float, hours: float = HOURS_PER_YEAR) -> float:
    """Energy that a data centre takes for machines of `power_kw` at full load: power x PUE x utilisation x hours."""
    return power_kw * pue * utilisation * hours


def co2_tonnes(kwh: float, kg_per_kwh: float) -> float:
    """Emissions of a year's or a run's energy on a grid of that intensity, tonnes of CO2-equivalent."""
    return kwh * kg_per_kwh / 1000


def on_prem_cost(
    server: OwnServer, servers: int, on_prem: OnPrem, utilisation: float, level: Level = "expected"
) -> OnPremCost | None:
    """A year of `servers` servers; None where nobody knows what one costs.

    Purchase is written off in a straight line. Electricity is power x PUE x tariff x utilisation. Colocation is paid
    for the power that the servers may take, used or not. Staff is what owning adds to running a cluster in the cloud.

    Args:
        server: What is bought.
        servers: How many.
        on_prem: What it costs beside the servers.
        utilisation: Share of the full load, on average.
        level: Which end of every estimate's range is taken.
    """
    if server.price_usd is None:
        return None
    share = on_prem.network_share
    network = share.at(level) if servers > 1 else share.low
    purchase = servers * server.price_usd.at(level) * (1 + network)
    power_kw = servers * server.max_power_kw.at(level)
    kwh = electricity_kwh(power_kw, on_prem.pue.at(level), utilisation)
    staff = on_prem.staff_usd_per_year.at(level)
    people = on_prem.staff_fte.at(level) + (servers - 1) * on_prem.staff_fte_per_server.at(level)
    return OnPremCost(
        servers=servers,
        purchase_usd=purchase,
        depreciation_usd=purchase / on_prem.depreciation_years,
        support_usd=purchase * on_prem.support_share.at(level),
        electricity_usd=kwh * on_prem.tariff_usd_per_kwh.at(level),
        # The contracted power, without the share of cooling: asking rates are per kW of the machines.
        colocation_usd=servers * server.max_power_kw.value * on_prem.colocation_usd_per_kw_month.at(level) * 12,
        staff_usd=people * staff,
        model_updates_usd=model_updates_usd(on_prem, level),
        kwh=kwh,
    )


def model_updates_usd(on_prem: OnPrem, level: Level = "expected") -> float:
    """A year of taking new versions of the model into service, wherever it runs."""
    hours = on_prem.updates_per_year.at(level) * on_prem.staff_hours_per_update.at(level)
    return hours / WORK_HOURS_PER_YEAR * on_prem.staff_usd_per_year.at(level)


def break_even_months(own: OnPremCost, cloud_usd_per_year: float) -> float | None:
    """Months after which purchase and running costs together stay below the cloud's; None: never.

    Cash, not depreciation: the purchase is paid on the first day. Both sides pay for model updates.
    """
    saved = (cloud_usd_per_year + own.model_updates_usd - own.running_usd) / 12
    return own.purchase_usd / saved if saved > 0 else None


def break_even_utilisation(own: OnPremCost, cloud_usd_per_year: float) -> float:
    """Share of the hours above which owning costs less than hours bought in the cloud, which stop when unused.

    What electricity saves in idle hours is left out: it is a few per cent of owning.
    """
    return (own.total_usd - own.model_updates_usd) / cloud_usd_per_year
