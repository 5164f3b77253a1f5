"""Total cost of owning servers (purchase, housing, power, staff), its break-even with the cloud, and CO2."""

from typing import Final

from planner.plan.base import PlanModel
from provider_catalog.on_prem import Level, OnPrem, OwnServer
from provider_catalog.units import HOURS_PER_YEAR

WORK_HOURS_PER_YEAR: Final = 2080
"""Working hours of one member of staff: 52 weeks of 40 hours, as the BLS counts them."""


class OnPremCost(PlanModel):
    """Cost of a year of on-premises servers in USD."""

    servers: int
    purchase_usd: float
    """One-time purchase, with the network between the servers."""
    depreciation_usd: float
    support_usd: float
    electricity_usd: float
    colocation_usd: float
    staff_usd: float
    model_updates_usd: float
    """Staff cost of model updates, the same as in the cloud."""
    kwh: float

    @property
    def running_usd(self) -> float:
        """Yearly cost without the purchase."""
        return self.support_usd + self.electricity_usd + self.colocation_usd + self.staff_usd + self.model_updates_usd

    @property
    def total_usd(self) -> float:
        """Yearly cost with straight-line depreciation of the purchase."""
        return self.depreciation_usd + self.running_usd


def electricity_kwh(power_kw: float, pue: float, utilisation: float, hours: float = HOURS_PER_YEAR) -> float:
    """Returns the energy in kWh of machines with `power_kw` at full load: power x PUE x utilisation x hours."""
    return power_kw * pue * utilisation * hours


def co2_tonnes(kwh: float, kg_per_kwh: float) -> float:
    """Returns the emissions of `kwh` in tonnes of CO2-equivalent, on a grid that emits `kg_per_kwh`."""
    return kwh * kg_per_kwh / 1000


def on_prem_cost(
    server: OwnServer, servers: int, on_prem: OnPrem, utilisation: float, level: Level = "expected"
) -> OnPremCost | None:
    """Returns the cost of a year of `servers` servers; None without a known price of the server.

    The purchase depreciates in a straight line. Electricity is power x PUE x tariff x utilisation. Colocation is billed
    for the maximum power of the servers, used or not. Staff is the extra work compared with a cluster in the cloud.

    Args:
        server: The server type.
        servers: Number of servers.
        on_prem: Costs beside the servers.
        utilisation: Mean share of the full load.
        level: Value that is taken from the range of every estimate.
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
        # Colocation rates are per kW of contracted power of the machines, without cooling.
        colocation_usd=servers * server.max_power_kw.value * on_prem.colocation_usd_per_kw_month.at(level) * 12,
        staff_usd=people * staff,
        model_updates_usd=model_updates_usd(on_prem, level),
        kwh=kwh,
    )


def model_updates_usd(on_prem: OnPrem, level: Level = "expected") -> float:
    """Returns the yearly staff cost in USD of putting new model versions into service, on any hardware."""
    hours = on_prem.updates_per_year.at(level) * on_prem.staff_hours_per_update.at(level)
    return hours / WORK_HOURS_PER_YEAR * on_prem.staff_usd_per_year.at(level)


def break_even_months(own: OnPremCost, cloud_usd_per_year: float) -> float | None:
    """Returns the months after which purchase and running costs are below those of the cloud; None: never.

    It counts cash instead of depreciation: the purchase is paid on the first day. Both sides pay for model updates.
    """
    saved = (cloud_usd_per_year + own.model_updates_usd - own.running_usd) / 12
    return own.purchase_usd / saved if saved > 0 else None


def break_even_utilisation(own: OnPremCost, cloud_usd_per_year: float) -> float:
    """Returns the share of hours in use above which owning costs less than paying the cloud only for hours in use.

    Electricity that idle hours save is ignored; it is a few per cent of the cost of owning.
    """
    return (own.total_usd - own.model_updates_usd) / cloud_usd_per_year
