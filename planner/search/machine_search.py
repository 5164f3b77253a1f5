"""The search over all machines: each is pruned by a bound, or searched for its cheapest configuration."""

from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from planner.cost.priced import Priced, price
from planner.cost.updates import EVALUATION_SHARE, START_H, late_update_reason, with_updates
from planner.engine.candidate import NO_INCUMBENTS, Candidate, Engine, Incumbents, NearMiss
from planner.errors import Period
from planner.market.environment import node_environment
from planner.market.machines import Machine, machines
from planner.plan.alternatives import Rejection
from planner.plan.performance import TrainingPerformance
from planner.search.budget import budget_excess
from planner.search.pareto import cost_time_front
from planner.serving.software_requirements import unsupported_reason
from planner.spec import Budget, ClusterSpec
from planner.training.engine import TrainingEngine
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.units import HOURS_PER_MONTH

OTHER_LAYOUTS_SHOWN = 2
PRUNING_RATIO = 1.1
"""Ratio to the cheapest plan above which a machine is not searched. A run there costs more even at peak throughput, so
the machine cannot win and is hardly worth showing."""


class MachineBounds(NamedTuple):
    """A machine with lower bounds for any run on it; a bound is 0 where nothing is known."""

    least_usd: float
    """Lower bound on the cost of a run in USD."""
    catalog_index: int
    """Position in the order of the catalog."""
    usd_per_node_hour: float
    """Lower bound on the price of a node-hour in USD."""
    node_hours: float
    """Lower bound on the node-hours of a run, with every GPU at its peak."""
    machine: Machine

    def dominated_by(self, incumbents: Incumbents) -> bool:
        """Returns whether an incumbent dominates every run on the machine in cost and time."""
        return self.least_days >= incumbents.days_beaten(self.most_nodes)

    @property
    def least_days(self) -> float:
        """Lower bound on the days of a run, on the largest allowed number of nodes."""
        return self.node_hours / self.most_nodes / 24

    @property
    def most_nodes(self) -> int:
        """Largest number of nodes that can work on one run."""
        return self.machine.max_nodes if self.machine.multi_node else 1


def cheapest_first(spec: ClusterSpec, catalog: Catalog, engine: Engine) -> list[MachineBounds]:
    """Returns machines by the lower bound on the cost of a run, then in the order of the catalog."""
    bounded = []
    for index, machine in enumerate(machines(spec, catalog)):
        hours, offers = engine.least_node_hours(machine.node), machine.offers
        prices = [offers.on_demand, offers.commitment, offers.block]
        prices += [offers.spot] if spec.capacity.interruption == "tolerate" else []
        least = min((price.usd_per_hour for price in prices if price is not None), default=0.0)
        bounded.append(MachineBounds(least * hours, index, least, hours, machine))
    return sorted(bounded, key=lambda bound: bound[:2])


@dataclass
class MachineSearch:
    """The search over all machines of a spec, cheapest first, and its results.

    Attributes:
        engine: The engine that predicts the performance of the workload.
        budget: Budget of the bill.
        wants_nearest: Whether a refusal must name the nearest misses; without them it takes less time.
        found: The cheapest configuration on each machine that serves.
        runners_up: Other layouts, by label of the machine.
        everything: All configurations that serve.
        near_misses: Machines that do not serve, with the reason.
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
    """Smallest ratio of bill to budget among the bills that exceed the budget."""

    @property
    def period(self) -> Period:
        """Period that the cost of a run stands for: the run, or one update in continued training."""
        return "update" if isinstance(self.engine, TrainingEngine) and self.engine.workload.every_days else "run"

    def search_all(self) -> None:
        """Searches all machines; sorts `found` by preference and `near_misses` in the order of the catalog."""
        order: dict[str, int] = {}
        for bounded in cheapest_first(self.spec, self.catalog, self.engine):
            label = bounded.machine.label
            order[label] = bounded.catalog_index
            near_miss = self._search(bounded)
            if near_miss is not None:
                self.near_misses.append((near_miss, Rejection(candidate=label, reason=near_miss.reason)))
        self.near_misses.sort(key=lambda near_miss: order[near_miss[1].candidate])
        self.found.sort(key=lambda priced: priced.rank)

    def search_one(self, machine: Machine, incumbents: Incumbents = NO_INCUMBENTS) -> tuple[list[Priced], NearMiss]:
        """Returns the configurations that serve on one machine, cheapest first, and the nearest miss."""
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
        """Returns a candidate with its bill, or why it does not serve."""
        gpu, software = machine.node.gpu, self.catalog.software
        refused = unsupported_reason(self.spec, software, gpu, self.architecture, candidate.weights, candidate.kv_cache)
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
        reason = f"{_headline(candidate)} on {where} at {over.words}; the budget is {over.budget_usd:,.0f}"
        return NearMiss(reason, over.ratio, fits_memory=True, budget_excess=over)

    def _search(self, bounded: MachineBounds) -> NearMiss | None:
        """Searches one machine unless a bound rules it out; returns the near miss if nothing serves."""
        machine = bounded.machine
        if (near_miss := self._over_budget(bounded)) is not None:
            return near_miss
        if not self.wants_nearest:
            machine = replace(machine, max_nodes=min(machine.max_nodes, self._most_nodes(bounded)))
            if machine.max_nodes < 1:
                return NearMiss("a month of one node exceeds the budget", inf, fits_memory=True, bound=True)
        incumbents = self._incumbents(bounded)
        best_usd = min((priced.search_cost_usd for priced in self.found), default=inf)
        if bounded.least_usd > PRUNING_RATIO * best_usd and bounded.dominated_by(incumbents):
            reason = f"costs at least {bounded.least_usd:,.0f} USD a run; the cheapest option costs {best_usd:,.0f}"
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
        """Returns the near miss of a machine that exceeds the budget with any layout and is not the closest to it."""
        monthly_usd = bounded.least_usd / _longest_months(self.engine)
        over = budget_excess(self.budget, monthly_usd, bounded.least_usd, self.period)
        if over is None or (self.wants_nearest and over.ratio <= PRUNING_RATIO * self._smallest_excess_ratio):
            return None
        reason = f"costs at least {over.words}; the budget is {over.budget_usd:,.0f}"
        return NearMiss(reason, over.ratio, fits_memory=True, bound=True)

    def _incumbents(self, bounded: MachineBounds) -> Incumbents:
        """Returns the runs that a run on the machine has to beat."""
        runs = cost_time_front(self.everything)
        if not self.wants_nearest and self.budget.usd_per_run is not None:
            # A run of no duration at the cost of the budget prunes every run above the budget.
            runs.append((self.budget.usd_per_run, 0.0))
        if self.period == "update" and self.spec.capacity.block is None:
            # The nodes of an update are also paid while they start and while the model is evaluated.
            return Incumbents(bounded.usd_per_node_hour, tuple(runs), START_H, 1 + EVALUATION_SHARE)
        return Incumbents(bounded.usd_per_node_hour, tuple(runs))

    def _most_nodes(self, bounded: MachineBounds) -> int:
        """Returns the most nodes that the monthly budget pays for.

        It does not limit pinned nodes, serving and continued training, whose nodes do not run all month.
        """
        months = _longest_months(self.engine)
        runs_through = (
            isinstance(self.engine, TrainingEngine) and self.engine.workload.every_days is None and months < inf
        )
        if self.budget.usd_per_month is None or not bounded.usd_per_node_hour or not runs_through:
            return bounded.machine.max_nodes
        return int(self.budget.usd_per_month / (HOURS_PER_MONTH * bounded.usd_per_node_hour))


def _longest_months(engine: Engine) -> float:
    """Returns the months over which the cost of a run spreads: to its deadline, or to the next update.

    It is infinite for serving, and for pinned runs, which may miss their deadline.
    """
    if not isinstance(engine, TrainingEngine) or engine.pin.nodes is not None or engine.pin.layout.data is not None:
        return inf
    return (engine.workload.every_days or engine.workload.deadline_days) * 24 / HOURS_PER_MONTH


def _headline(candidate: Candidate) -> str:
    performance = candidate.performance
    if isinstance(performance, TrainingPerformance):
        return f"done in {performance.days:.3g} days"
    return f"{performance.requests_per_s:.3g} requests/s"
