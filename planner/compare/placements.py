"""Compares the cost of one workload on every cloud and on premises, with the break-even month of owning."""

from collections.abc import Iterator
from math import inf
from typing import Final, Literal

from planner.compare.tco import (
    OnPremCost,
    break_even_months,
    co2_tonnes,
    electricity_kwh,
    model_updates_usd,
    on_prem_cost,
)
from planner.cost.price_ages import compute_as_of, price_ages
from planner.cost.unpriced import unpriced_upper_bound_usd
from planner.errors import InfeasibleError, SpecError
from planner.market.pinned_gpu import gpu_of_plan
from planner.plan.base import PlanModel
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.purchase.mix import mean_demand
from planner.search.optimizer import plan as make_plan
from planner.spec import Budget, ClusterSpec, Pin, PinnedNode, Placement, TrainingWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.on_prem import OnPrem, OwnServer, RangedFigure
from provider_catalog.units import HOURS_PER_MONTH, HOURS_PER_YEAR

GPU_ONLY: Final = "power of the GPUs alone: the catalog has no server with them"


class PlacementOption(PlanModel):
    """One place where the workload can run, with its cost."""

    name: str
    """Name of a cloud, or of an on-premises server."""
    own: bool
    """Whether the option is on premises."""
    machines: str
    """Number and type of machines, with the region; the reason if the option is infeasible."""
    feasible: bool
    usd: float | None = None
    """Cost of the period of the comparison in USD; None if infeasible or without a known price."""
    low_usd: float | None = None
    high_usd: float | None = None
    unknown_usd: float = 0.0
    """Upper bound for unpriced items in USD; `high_usd` includes it, `usd` does not."""
    days: float | None = None
    """Days of the training run; None for serving."""
    own_cost: OnPremCost | None = None
    """Cost of a year of the servers; None for a cloud."""
    break_even_months: float | None = None
    """Months from the purchase until owning costs less than the cheapest cloud; None: never."""
    kwh: float | None = None
    co2_tonnes: float | None = None
    price_as_of: str | None = None
    """Date of the oldest compute price of a cloud; None for servers of one's own."""
    notes: tuple[str, ...] = ()

    @property
    def compared_usd(self) -> float:
        """Sort key in USD: counts unpriced items at their upper bound; infinite without a price."""
        return inf if self.usd is None else self.usd + self.unknown_usd


class PlacementComparison(PlanModel):
    """All options for one workload."""

    name: str
    period: Literal["year", "run"]
    utilisation: float
    grid: str | None
    options: tuple[PlacementOption, ...]
    price_ages: str | None = None
    """Words on compute prices of different age; None where they are of about the same age."""
    notes: tuple[str, ...]


def compare_placements(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, on_prem: OnPrem, grid: str | None = None
) -> PlacementComparison:
    """Compares the workload on every cloud of the catalog and on every server of `on_prem`.

    Serving and continued training are compared for a year, a training run for its duration. On-premises servers are
    charged for the share of a year that the training takes, as if other runs used the rest. Budgets are ignored.

    Args:
        spec: The workload; its placement narrows the clouds, its layout, precision and headroom apply everywhere.
        architecture: Architecture of the model.
        catalog: The catalog with machines and prices of the clouds.
        on_prem: On-premises servers and costs.
        grid: Key of `on_prem.grid_kg_co2_per_kwh` for emissions; None: no emissions.

    Raises:
        SpecError: the grid is not known, or the spec contradicts itself or the model.
    """
    if grid is not None and grid not in on_prem.grid_kg_co2_per_kwh:
        known = ", ".join(sorted(on_prem.grid_kg_co2_per_kwh))
        raise SpecError(f"--co2 is {grid!r}; grids with a known intensity: {known}")
    training = spec.workload.kind != "inference"
    on_prem = _with_update_rate(spec, on_prem)
    utilisation = 1.0 if training else mean_demand(spec.capacity)
    clouds = [_cloud_option(spec, architecture, catalog, on_prem, name, utilisation) for name in catalog.providers]
    cheapest = min(clouds, key=lambda option: option.compared_usd).usd if clouds else None
    owned = [
        _on_prem_option(spec, architecture, catalog, on_prem, each, utilisation, cheapest) for each in on_prem.servers
    ]
    intensity = None if grid is None else on_prem.grid_kg_co2_per_kwh[grid].value
    options = [*clouds, *owned]
    if intensity is not None:
        options = [
            option
            if option.kwh is None
            else option.model_copy(update={"co2_tonnes": co2_tonnes(option.kwh, intensity)})
            for option in options
        ]
    return PlacementComparison(
        name=spec.name,
        period="run" if training and not _repeated(spec) else "year",
        utilisation=utilisation,
        grid=grid,
        options=tuple(options),
        price_ages=price_ages({option.name: option.price_as_of for option in options}),
        notes=tuple(_notes(training, grid, on_prem)),
    )


def _repeated(spec: ClusterSpec) -> bool:
    return isinstance(spec.workload, TrainingWorkload) and spec.workload.every_days is not None


def _with_update_rate(spec: ClusterSpec, on_prem: OnPrem) -> OnPrem:
    """Sets the model updates per year to those of continued training."""
    workload = spec.workload
    if not isinstance(workload, TrainingWorkload) or workload.every_days is None:
        return on_prem
    per_year = 365 / workload.every_days
    often = RangedFigure(
        value=per_year, low=per_year, high=per_year, source="workload.every_days of the spec", as_of=""
    )
    return on_prem.model_copy(update={"updates_per_year": often})


def _staff_usd(decided: Plan, on_prem: OnPrem) -> float:
    """Returns the staff cost in USD of model updates: of a year, or the share of it that a run takes."""
    share = 1.0 if decided.updates is not None else _hours(decided) / HOURS_PER_YEAR
    return model_updates_usd(on_prem) * share


def _notes(training: bool, grid: str | None, on_prem: OnPrem) -> Iterator[str]:
    yield "model updates cost the same everywhere and are in every total; on-premises shared storage is not priced"
    if training:
        yield "on-premises servers are charged for the days of the run, as if other runs used the rest of the year"
    if grid is not None:
        row = on_prem.grid_kg_co2_per_kwh[grid]
        yield f"CO2 at {row.value:g} kg per kWh, location-based ({row.source}), without manufacturing of the hardware"


def _cloud_option(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    on_prem: OnPrem,
    provider: str,
    utilisation: float,
) -> PlacementOption:
    allowed = spec.placement.providers
    why = "not in placement.providers; compared anyway" if allowed and provider not in allowed else ""
    try:
        decided = make_plan(_cloud_spec(spec, catalog, provider), architecture, catalog)
    except InfeasibleError as error:
        reason = error.nearest[0].reason if error.nearest else str(error)
        return PlacementOption(name=provider, own=False, machines=reason, feasible=False)
    choice, cost = decided.choice, decided.cost
    hours = _hours(decided)
    updates = _staff_usd(decided, on_prem)
    usd = None if cost.usd_per_hour is None else cost.usd_per_hour * hours + updates
    bounds = cost.range
    months = hours / HOURS_PER_MONTH if bounds is not None and bounds.period == "month" else 1.0
    if decided.updates is not None and decided.updates.usd_per_year is not None and bounds is not None:
        usd = decided.updates.usd_per_year + updates
        months = decided.updates.usd_per_year / bounds.expected_usd
    kw, note = _power_kw(decided, catalog, on_prem)
    pue = on_prem.cloud_pue.get(provider, on_prem.pue).value
    return PlacementOption(
        name=provider,
        own=False,
        machines=f"{choice.nodes} x {choice.instance_type} ({choice.region})",
        feasible=True,
        usd=usd,
        low_usd=None if bounds is None else bounds.low_usd * months + updates,
        high_usd=None if bounds is None else bounds.high_usd * months + updates,
        unknown_usd=unpriced_upper_bound_usd(bounds) * months,
        days=_days(decided),
        kwh=electricity_kwh(kw, pue, utilisation, hours),
        price_as_of=compute_as_of(cost),
        notes=tuple(filter(None, (why, note, _unknown(decided)))),
    )


def _unknown(decided: Plan) -> str:
    return f"unpriced: {', '.join(decided.cost.unknown)}" if decided.cost.unknown else ""


def _cloud_spec(spec: ClusterSpec, catalog: Catalog, provider: str) -> ClusterSpec:
    """Narrows the spec to one provider: drops regions and instance types of the others."""
    zones = catalog.provider_defaults(provider).default_zones
    placement, pin = spec.placement, spec.pin
    types: tuple[str, ...] | Literal["any"] = "any"
    if placement.instance_types != "any":
        types = tuple(name for name in placement.instance_types if (provider, name) in catalog.instance_types) or "any"
    pinned = pin.instance_type if (provider, pin.instance_type) in catalog.instance_types else None
    regions = tuple(region for region in placement.regions if region in zones)
    return spec.model_copy(
        update={
            "placement": Placement(
                providers=(provider,),
                regions=regions,
                zone=placement.zone if regions == placement.regions and regions else None,
                zones=placement.zones if regions == placement.regions and regions else (),
                instance_types=types,
                max_nodes=placement.max_nodes,
            ),
            "pin": pin.model_copy(update={"node": None, "instance_type": pinned}),
            "budget": Budget(),
        }
    )


def _on_prem_option(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    on_prem: OnPrem,
    server: OwnServer,
    utilisation: float,
    cloud_usd: float | None,
) -> PlacementOption:
    name = f"{server.name}, own"
    one = on_prem_cost(server, 1, on_prem, utilisation)
    try:
        decided = make_plan(_on_prem_spec(spec, server, None if one is None else one.total_usd), architecture, catalog)
    except InfeasibleError as error:
        reason = error.nearest[0].reason if error.nearest else str(error)
        return PlacementOption(name=name, own=True, machines=reason, feasible=False)
    servers, hours = decided.choice.nodes, _hours(decided)
    share = hours / HOURS_PER_YEAR
    beside = 1.0 - share if decided.updates is not None else 0.0
    years = [on_prem_cost(server, servers, on_prem, utilisation, level) for level in ("low", "expected", "high")]
    low, expected, high = (
        None if year is None else year.total_usd * share + year.model_updates_usd * beside for year in years
    )
    bought = years[1]
    kwh = electricity_kwh(servers * server.max_power_kw.value, on_prem.pue.value, utilisation, hours)
    return PlacementOption(
        name=name,
        own=True,
        machines=f"{servers} x {server.gpus} {server.gpu}",
        feasible=True,
        usd=expected,
        low_usd=low,
        high_usd=high,
        days=_days(decided),
        own_cost=bought,
        # Compare with a year of the same runs in the cloud, back to back.
        break_even_months=(
            None
            if bought is None or cloud_usd is None
            else break_even_months(bought, (cloud_usd - _staff_usd(decided, on_prem)) / share)
        ),
        kwh=kwh,
        notes=() if bought is not None else ("the server has no public price",),
    )


def _on_prem_spec(spec: ClusterSpec, server: OwnServer, usd_per_year: float | None) -> ClusterSpec:
    node = PinnedNode(
        gpu=server.gpu,
        gpus=server.gpus,
        nic_gbit_per_s=server.nic_gbit_per_s,
        # Without a known price, the same price for every node makes the search take the fewest nodes.
        usd_per_hour=1.0 if usd_per_year is None else usd_per_year / HOURS_PER_YEAR,
    )
    pin: Pin = spec.pin.model_copy(update={"node": node, "instance_type": None})
    return spec.model_copy(update={"placement": Placement(), "pin": pin, "budget": Budget()})


def _hours(decided: Plan) -> float:
    """Returns the hours that are compared: of the run, of all updates in a year, or of a year."""
    performance = decided.performance
    if decided.updates is not None:
        return decided.updates.hours * decided.updates.per_year
    return performance.days * 24 if isinstance(performance, TrainingPerformance) else float(HOURS_PER_YEAR)


def _days(decided: Plan) -> float | None:
    performance = decided.performance
    return performance.days if isinstance(performance, TrainingPerformance) else None


def _power_kw(decided: Plan, catalog: Catalog, on_prem: OnPrem) -> tuple[float, str]:
    """Returns the full-load power in kW and a note: per GPU of a known server, else of the GPUs alone."""
    choice = decided.choice
    for server in on_prem.servers:
        if server.gpu == choice.gpu:
            return choice.gpus * server.max_power_kw.value / server.gpus, ""
    return choice.gpus * gpu_of_plan(decided.spec, choice.gpu, catalog).tdp_w / 1000, GPU_ONLY
