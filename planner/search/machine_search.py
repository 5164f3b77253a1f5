"""One pass over all machines: each is passed over for a bound, or searched for the cheapest way to do the work."""

from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from planner.cost.bill import HOURS_PER_MONTH
from planner.cost.priced import Priced, price
from planner.cost.updates import late_update_reason, with_updates
from planner.engine.candidate import NO_INCUMBENTS, Candidate, Engine, Incumbents, NearMiss
from planner.errors import Period
from planner.market.environment import node_environment
from planner.market.machines import Machine, machines
from planner.plan.plan import Rejection, TrainingPerformance
from planner.search.budget import budget_excess
from planner.search.pareto import pareto_front
from planner.serving.software import refusal
from planner.spec import Budget, ClusterSpec
from planner.training.engine import TrainingEngine
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog

OTHER_LAYOUTS_SHOWN = 2
FAR_DEARER = 1.1
"""Machines on which a run costs this much more than the cheapest plan, even with every GPU busy all the time, are not
searched: they cannot win, and are hardly worth showing."""


class MachineBounds(NamedTuple):
    """A machine and what is known of any run on it at once; 0 where nothing is."""

    least_usd: float
    place: int
    """In the catalog."""
    usd_per_node_hour: float
    """At least."""
    node_hours: float
    """At least, with every GPU busy all the time."""
    machine: Machine

    def too_slow(self, incumbents: Incumbents) -> bool:
        """Whether a rival outdoes every run on the machine."""
        return self.least_days >= incumbents.days_beaten(self.most_nodes)

    @property
    def least_days(self) -> float:
        """Of any run, on all the nodes that there may be."""
        return self.node_hours / self.most_nodes / 24

    @property
    def most_nodes(self) -> int:
        """That work together."""
        return self.machine.max_nodes if self.machine.multi_node else 1


def cheapest_first(spec: ClusterSpec, catalog: Catalog, engine: Engine) -> list[MachineBounds]:
    """Machines by the least that a run on them can cost, then in the order of the catalog."""
    bounded = []
    for place, machine in enumerate(machines(spec, catalog)):
        hours, offers = engine.least_node_hours(machine.node), machine.offers
        prices = [offers.on_demand, offers.commitment, offers.block]
        prices += [offers.spot] if spec.capacity.interruption == "tolerate" else []
        least = min((price.usd_per_hour for price in prices if price is not None), default=0.0)
        bounded.append(MachineBounds(least * hours, place, least, hours, machine))
    return sorted(bounded, key=lambda bound: bound[:2])


@dataclass
class MachineSearch:
    """The search over all machines of a spec, cheapest first, and what it has come to.

    Attributes:
        engine: What times the workload.
        budget: Bounds of the bill.
        wants_nearest: Whether a refusal has to name the nearest misses; without, it comes sooner.
        found: The cheapest way on each machine that serves.
        runners_up: Other layouts, by label of the machine.
        everything: All ways that serve.
        misses: Machines that do not, and why.
    """

    spec: ClusterSpec
    architecture: ModelArchitecture
    catalog: Catalog
    engine: Engine
    budget: Budget
    wants_nearest: bool = True
    found: list[Priced] = field(default_factory=list)
    runners_up: dict[str, list[Priced]] = field(default_factory=dict)
    everything: list[Priced] = field(default_factory=list)
    near_misses: list[tuple[NearMiss, Rejection]] = field(default_factory=list)
    _smallest_excess_ratio: float = inf
    """Of the bills found that exceed the budget, the nearest to it, as a ratio."""

    @property
    def period(self) -> Period:
        """What a run is called."""
        return "update" if isinstance(self.engine, TrainingEngine) and self.engine.workload.every_days else "run"

    def search_all(self) -> None:
        """Search them all; `found` is then in the order of preference, `misses` in that of the catalog."""
        places: dict[str, int] = {}
        for bounded in cheapest_first(self.spec, self.catalog, self.engine):
            label = bounded.machine.label
            places[label] = bounded.place
            near_miss = self._search(bounded)
            if near_miss is not None:
                self.near_misses.append((near_miss, Rejection(candidate=label, reason=near_miss.reason)))
        self.near_misses.sort(key=lambda near_miss: places[near_miss[1].candidate])
        self.found.sort(key=lambda priced: priced.rank)

    def search_one(self, machine: Machine, incumbents: Incumbents = NO_INCUMBENTS) -> tuple[list[Priced], NearMiss]:
        """The distinct ways to do the work on one machine, cheapest first, and the nearest miss."""
        nearest: NearMiss | None = None
        priced: list[Priced] = []
        environment = node_environment(self.spec, self.catalog, machine)
        for found in self.engine.candidates(
            machine.node, machine.max_nodes, machine.multi_node, environment, incumbents
        ):
            judged = found if isinstance(found, NearMiss) else self._priced(machine, found)
            if isinstance(judged, Priced):
                priced.append(judged)
            elif nearest is None or judged.distance < nearest.distance:
                nearest = judged
        priced.sort(key=lambda option: option.rank)
        return priced, nearest or NearMiss("no parallel layout of the model divides the node", inf)

    def _priced(self, machine: Machine, candidate: Candidate) -> Priced | NearMiss:
        """A candidate with its bill, or why it will not do."""
        gpu, software = machine.node.gpu, self.catalog.software
        refused = refusal(self.spec, software, gpu, self.architecture, candidate.weights, candidate.kv_cache)
        if refused is not None:
            return NearMiss(refused, inf)
        bought = with_updates(self.spec, self.architecture, price(self.spec, self.catalog, machine, candidate))
        updates = bought.updates
        late = None if updates is None else late_update_reason(updates)
        if updates is not None and late is not None:
            return NearMiss(late, updates.hours / 24 / updates.every_days, fits_memory=True)
        over = budget_excess(self.budget, *bought.bills, self.period)
        if over is None:
            return bought
        where = f"{candidate.nodes} node{'' if candidate.nodes == 1 else 's'}"
        reason = f"{_headline(candidate)} on {where} for {over.words}, the budget is {over.budget_usd:,.0f}"
        return NearMiss(reason, over.ratio, fits_memory=True, budget_excess=over)

    def _search(self, bounded: MachineBounds) -> NearMiss | None:
        """Search a machine, or say why it is not worth it; the miss where nothing serves."""
        machine = bounded.machine
        if (near_miss := self._over_budget(bounded)) is not None:
            return near_miss
        if not self.wants_nearest:
            machine = replace(machine, max_nodes=min(machine.max_nodes, self._most_nodes(bounded)))
            if machine.max_nodes < 1:
                return NearMiss("a month of one node is over the budget", inf, fits_memory=True, bound=True)
        incumbents = self._incumbents(bounded)
        best_usd = min((priced.search_cost_usd for priced in self.found), default=inf)
        if bounded.least_usd > FAR_DEARER * best_usd and bounded.too_slow(incumbents):
            reason = f"costs {bounded.least_usd:,.0f} USD a run at least, the cheapest {best_usd:,.0f}"
            return NearMiss(reason, inf, fits_memory=True)
        if machine.unavailable_reason is not None and self.spec.pin.instance_type is None:
            return NearMiss(machine.unavailable_reason, inf)
        priced, near_miss = self.search_one(machine, incumbents)
        if not priced:
            self._smallest_excess_ratio = (
                min(self._smallest_excess_ratio, near_miss.shortfall)
                if near_miss.only_over_budget
                else self._smallest_excess_ratio
            )
            return near_miss
        self.everything += priced
        self.found.append(priced[0])
        self.runners_up[machine.label] = priced[1 : 1 + OTHER_LAYOUTS_SHOWN]
        return None

    def _over_budget(self, bounded: MachineBounds) -> NearMiss | None:
        """Of a machine that is over budget whatever the layout, and not the nearest to it."""
        monthly_usd = bounded.least_usd / _longest_months(self.engine)
        over = budget_excess(self.budget, monthly_usd, bounded.least_usd, self.period)
        if over is None or (self.wants_nearest and over.ratio <= FAR_DEARER * self._smallest_excess_ratio):
            return None
        reason = f"costs {over.words} at least, the budget is {over.budget_usd:,.0f}"
        return NearMiss(reason, over.ratio, fits_memory=True, bound=True)

    def _incumbents(self, bounded: MachineBounds) -> Incumbents:
        """What a run on the machine has to outdo."""
        runs = [(point.usd_per_run, point.days) for point in pareto_front(self.everything)]
        if not self.wants_nearest and self.budget.usd_per_run is not None:
            # What costs more than the budget is beaten by not being done.
            runs.append((self.budget.usd_per_run, 0.0))
        return Incumbents(bounded.usd_per_node_hour, tuple(runs))

    def _most_nodes(self, bounded: MachineBounds) -> int:
        """Nodes that a month's budget pays for at most; all of the machine's where they are fixed or run at times."""
        months = _longest_months(self.engine)
        runs_through = (
            isinstance(self.engine, TrainingEngine) and self.engine.workload.every_days is None and months < inf
        )
        if self.budget.usd_per_month is None or not bounded.usd_per_node_hour or not runs_through:
            return bounded.machine.max_nodes
        return int(self.budget.usd_per_month / (HOURS_PER_MONTH * bounded.usd_per_node_hour))


def _longest_months(engine: Engine) -> float:
    """Months over which the cost of a run can be spread: to its deadline, or to the next. Infinite without an end.

    A pinned run may be late.
    """
    if not isinstance(engine, TrainingEngine) or engine.pin.nodes is not None or engine.pin.layout.data is not None:
        return inf
    return (engine.workload.every_days or engine.workload.deadline_days) * 24 / HOURS_PER_MONTH


def _headline(candidate: Candidate) -> str:
    performance = candidate.performance
    if isinstance(performance, TrainingPerformance):
        return f"done in {performance.days:.3g} days"
    return f"{performance.requests_per_s:.3g} requests/s"
