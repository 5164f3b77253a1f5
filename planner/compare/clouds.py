"""One workload on every cloud and on hardware of one's own: what it costs, and when owning breaks even."""

from collections.abc import Iterator
from math import inf
from typing import Final, Literal

from planner.compare.tco import OwnCost, break_even_months, co2_tonnes, electricity_kwh, model_updates_usd, own_cost
from planner.cost.unpriced import most_unknown_usd
from planner.errors import InfeasibleError, SpecError
from planner.plan.base import PlanModel
from planner.plan.plan import Plan, TrainingPerformance
from planner.purchase.mix import mean_demand
from planner.search.optimizer import plan as make_plan
from planner.spec import Budget, ClusterSpec, Pin, PinnedNode, Placement, TrainingWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.on_prem import OnPrem, OwnServer, RangedFigure
from provider_catalog.units import HOURS_PER_MONTH, HOURS_PER_YEAR

GPU_ONLY: Final = "power of the GPUs alone: no server with them is on file"


class Option(PlanModel):
    """One place where the workload may run."""

    name: str
    """A cloud, or a server of one's own."""
    own: bool
    machines: str
    """How many of what, where; the reason when the workload cannot run there."""
    feasible: bool
    usd: float | None = None
    """For the period of the comparison; None: not feasible, or a price that nobody has sourced."""
    low_usd: float | None = None
    high_usd: float | None = None
    unknown_usd: float = 0.0
    """Most that lines without a known price may add: in `high_usd`, not in `usd`."""
    days: float | None = None
    """Of the run, when training."""
    own_cost: OwnCost | None = None
    """A year of the servers."""
    break_even_months: float | None = None
    """Against the cheapest cloud, from the day of purchase; None: never."""
    kwh: float | None = None
    co2_tonnes: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def compared_usd(self) -> float:
        """What options are put in order by: with the most that unknown prices may add, and without any price last."""
        return inf if self.usd is None else self.usd + self.unknown_usd


class Comparison(PlanModel):
    """Every option for one workload."""

    name: str
    period: Literal["year", "run"]
    utilisation: float
    grid: str | None
    options: tuple[Option, ...]
    notes: tuple[str, ...]


def compare(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, on_prem: OnPrem, grid: str | None = None
) -> Comparison:
    """The workload on every cloud of the catalog and on every server of `on_prem`.

    A service and continued training are compared for a year, a training run for its duration; servers of one's own are
    charged for the share of a year that training takes, as if other runs filled the rest. Budgets are left out of
    account.

    Args:
        spec: The workload; its placement narrows the clouds, its layout, precision and headroom hold everywhere.
        architecture: Of the model.
        catalog: What the clouds sell.
        on_prem: What owning costs.
        grid: Key of `on_prem.grid_kg_co2_per_kwh` for emissions; None: none are given.

    Raises:
        SpecError: the grid is not known, or the spec contradicts itself or the model.
    """
    if grid is not None and grid not in on_prem.grid_kg_co2_per_kwh:
        known = ", ".join(sorted(on_prem.grid_kg_co2_per_kwh))
        raise SpecError(f"--co2 is {grid!r}; grids with a sourced intensity: {known}")
    training = spec.workload.kind != "inference"
    on_prem = _updated(spec, on_prem)
    utilisation = 1.0 if training else mean_demand(spec.capacity)
    clouds = [_cloud(spec, architecture, catalog, on_prem, name, utilisation) for name in catalog.providers]
    cheapest = min(clouds, key=lambda option: option.compared_usd).usd if clouds else None
    owned = [_own(spec, architecture, catalog, on_prem, each, utilisation, cheapest) for each in on_prem.servers]
    intensity = None if grid is None else on_prem.grid_kg_co2_per_kwh[grid].value
    options = [*clouds, *owned]
    if intensity is not None:
        options = [
            option
            if option.kwh is None
            else option.model_copy(update={"co2_tonnes": co2_tonnes(option.kwh, intensity)})
            for option in options
        ]
    return Comparison(
        name=spec.name,
        period="run" if training and not _repeated(spec) else "year",
        utilisation=utilisation,
        grid=grid,
        options=tuple(options),
        notes=tuple(_notes(training, grid, on_prem)),
    )


def _repeated(spec: ClusterSpec) -> bool:
    return isinstance(spec.workload, TrainingWorkload) and spec.workload.every_days is not None


def _updated(spec: ClusterSpec, on_prem: OnPrem) -> OnPrem:
    """The model is taken into service as often as continued training makes a new one."""
    workload = spec.workload
    if not isinstance(workload, TrainingWorkload) or workload.every_days is None:
        return on_prem
    per_year = 365 / workload.every_days
    often = RangedFigure(
        value=per_year, low=per_year, high=per_year, source="workload.every_days of the spec", as_of=""
    )
    return on_prem.model_copy(update={"updates_per_year": often})


def _staff_usd(decided: Plan, on_prem: OnPrem) -> float:
    """Of taking new models into service: all updates of a year, or the share of them that falls into a run."""
    share = 1.0 if decided.updates is not None else _hours(decided) / HOURS_PER_YEAR
    return model_updates_usd(on_prem) * share


def _notes(training: bool, grid: str | None, on_prem: OnPrem) -> Iterator[str]:
    yield "model updates cost the same everywhere and are in every total; shared storage of one's own is not priced"
    if training:
        yield "servers of one's own are charged for the days of the run, as if other runs filled the year"
    if grid is not None:
        row = on_prem.grid_kg_co2_per_kwh[grid]
        yield f"CO2 at {row.value:g} kg per kWh, location-based ({row.source}); none for making the hardware"


def _cloud(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    on_prem: OnPrem,
    provider: str,
    utilisation: float,
) -> Option:
    allowed = spec.placement.providers
    if allowed and provider not in allowed:
        why = "placement.providers leaves it out; planned where the provider chooses"
    else:
        why = ""
    try:
        decided = make_plan(_on_cloud(spec, catalog, provider), architecture, catalog)
    except InfeasibleError as error:
        reason = error.nearest[0].reason if error.nearest else str(error)
        return Option(name=provider, own=False, machines=reason, feasible=False)
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
    return Option(
        name=provider,
        own=False,
        machines=f"{choice.nodes} x {choice.instance_type} ({choice.region})",
        feasible=True,
        usd=usd,
        low_usd=None if bounds is None else bounds.low_usd * months + updates,
        high_usd=None if bounds is None else bounds.high_usd * months + updates,
        unknown_usd=most_unknown_usd(bounds) * months,
        days=_days(decided),
        kwh=electricity_kwh(kw, pue, utilisation, hours),
        notes=tuple(filter(None, (why, note, _unknown(decided)))),
    )


def _unknown(decided: Plan) -> str:
    return f"without a known price: {', '.join(decided.cost.unknown)}" if decided.cost.unknown else ""


def _on_cloud(spec: ClusterSpec, catalog: Catalog, provider: str) -> ClusterSpec:
    """The spec narrowed to one provider: names of others' regions and instance types are left out."""
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


def _own(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    on_prem: OnPrem,
    server: OwnServer,
    utilisation: float,
    cloud_usd: float | None,
) -> Option:
    name = f"{server.name}, own"
    one = own_cost(server, 1, on_prem, utilisation)
    try:
        decided = make_plan(_on_own(spec, server, None if one is None else one.total_usd), architecture, catalog)
    except InfeasibleError as error:
        reason = error.nearest[0].reason if error.nearest else str(error)
        return Option(name=name, own=True, machines=reason, feasible=False)
    servers, hours = decided.choice.nodes, _hours(decided)
    share = hours / HOURS_PER_YEAR
    beside = 1.0 - share if decided.updates is not None else 0.0
    years = [own_cost(server, servers, on_prem, utilisation, level) for level in ("low", "expected", "high")]
    low, expected, high = (
        None if year is None else year.total_usd * share + year.model_updates_usd * beside for year in years
    )
    bought = years[1]
    kwh = electricity_kwh(servers * server.max_power_kw.value, on_prem.pue.value, utilisation, hours)
    return Option(
        name=name,
        own=True,
        machines=f"{servers} x {server.gpus} {server.gpu}",
        feasible=True,
        usd=expected,
        low_usd=low,
        high_usd=high,
        days=_days(decided),
        own_cost=bought,
        # In the cloud the same work, run after run: what these servers do in a year.
        break_even_months=(
            None
            if bought is None or cloud_usd is None
            else break_even_months(bought, (cloud_usd - _staff_usd(decided, on_prem)) / share)
        ),
        kwh=kwh,
        notes=() if bought is not None else ("no price of the server is public",),
    )


def _on_own(spec: ClusterSpec, server: OwnServer, usd_per_year: float | None) -> ClusterSpec:
    node = PinnedNode(
        gpu=server.gpu,
        gpus=server.gpus,
        nic_gbit_per_s=server.nic_gbit_per_s,
        # Without a price any will do: it is the same for every node, so the fewest are taken.
        usd_per_hour=1.0 if usd_per_year is None else usd_per_year / HOURS_PER_YEAR,
    )
    pin: Pin = spec.pin.model_copy(update={"node": node, "instance_type": None})
    return spec.model_copy(update={"placement": Placement(), "pin": pin, "budget": Budget()})


def _hours(decided: Plan) -> float:
    """Of the run; of all updates of a year; of a year."""
    performance = decided.performance
    if decided.updates is not None:
        return decided.updates.hours * decided.updates.per_year
    return performance.days * 24 if isinstance(performance, TrainingPerformance) else float(HOURS_PER_YEAR)


def _days(decided: Plan) -> float | None:
    performance = decided.performance
    return performance.days if isinstance(performance, TrainingPerformance) else None


def _power_kw(decided: Plan, catalog: Catalog, on_prem: OnPrem) -> tuple[float, str]:
    """Full-load power of the planned nodes: per GPU as of a server with them on file, else of the GPUs alone."""
    choice = decided.choice
    for server in on_prem.servers:
        if server.gpu == choice.gpu:
            return choice.gpus * server.max_power_kw.value / server.gpus, ""
    return choice.gpus * catalog.gpu(choice.gpu).tdp_w / 1000, GPU_ONLY
