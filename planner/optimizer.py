"""One search for every workload: price what the engine offers on each machine, keep the cheapest that serves."""

from dataclasses import replace
from itertools import chain
from math import inf
from typing import NamedTuple

from planner.assembly import Priced, alternative, assemble, pareto_front, shared_storage, with_updates
from planner.budget import exceeded, tightest
from planner.candidate import NO_RIVALS, Candidate, Engine, Miss, Rivals
from planner.cost import HOURS_PER_MONTH
from planner.engines import check_against_model, engine_of
from planner.errors import PERIODS, Period
from planner.inference import InferenceEngine
from planner.machines import Machine, machines
from planner.plan import CompressionProposal, Plan, Rejection, TrainingPerformance
from planner.pricing import price
from planner.refinement import is_wanted, refine
from planner.refusals import infeasible
from planner.reliability.surroundings import surroundings
from planner.serving.software import refusal
from planner.spec import Budget, ClusterSpec, Pin
from planner.topology.of_plan import topology_of
from planner.training import TrainingEngine
from planner.training.host import launch_notes
from planner.training.proposals import compression_proposals
from planner.training.updates import overrun
from planner.training.workbench import Workbench
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog

OTHER_LAYOUTS_SHOWN = 2
FAR_DEARER = 1.1
"""Machines on which a run costs this much more than the cheapest plan, even with every GPU busy all the time, are not
searched: they cannot win, and are hardly worth showing."""


def plan(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    within: Budget | None = None,
    *,
    workbench: Workbench | None = None,
    wants_nearest: bool = True,
) -> Plan:
    """The cheapest cluster that carries the workload, with alternatives and a reason for every rejection.

    Args:
        spec: What is wanted.
        architecture: Of its model.
        catalog: What is on sale.
        within: Bounds beside the budget of the spec, which they leave as it is.
        workbench: Of earlier plans of the same model, which is then ready sooner.
        wants_nearest: Whether a refusal has to name the nearest misses; without, it comes sooner.

    Raises:
        SpecError: the spec names what does not exist, or contradicts itself or the model.
        InfeasibleError: nothing serves; holds the nearest misses.
    """
    check_against_model(spec, architecture)
    engine = engine_of(spec, architecture, workbench or Workbench(), wants_nearest=wants_nearest)
    budget = spec.budget if within is None else tightest(spec.budget, within)
    found: list[Priced] = []
    runners_up: dict[str, list[Priced]] = {}
    everything: list[Priced] = []
    misses: list[tuple[Miss, Rejection]] = []
    places: dict[str, int] = {}
    least_over = inf
    run: Period = "update" if isinstance(engine, TrainingEngine) and engine.workload.every_days else "run"
    for bounded in _cheapest_first(spec, catalog, engine):
        least_usd, machine = bounded.least_usd, bounded.machine
        places[machine.label] = bounded.place
        best_usd = min((priced.objective_usd for priced in found), default=inf)
        at_least = exceeded(budget, least_usd / _longest_months(engine), least_usd, run)
        if at_least is not None and (not wants_nearest or at_least.ratio > FAR_DEARER * least_over):
            # Over budget whatever the layout, and not the nearest to it.
            miss = Miss(
                f"costs {at_least.words} at least, the budget is {at_least.budget_usd:,.0f}",
                at_least.ratio,
                fits_memory=True,
                bound=True,
            )
            misses.append((miss, Rejection(candidate=machine.label, reason=miss.reason)))
            continue
        front = pareto_front(everything)
        runs = [(point.usd_per_run, point.days) for point in front]
        if not wants_nearest:
            most_nodes = _most_nodes(bounded, budget, engine)
            if most_nodes < 1:
                miss = Miss("a month of one node is over the budget", inf, fits_memory=True, bound=True)
                misses.append((miss, Rejection(candidate=machine.label, reason=miss.reason)))
                continue
            machine = replace(machine, max_nodes=min(machine.max_nodes, most_nodes))
            # What costs more than the budget is beaten by not being done.
            runs = runs if budget.usd_per_run is None else [*runs, (budget.usd_per_run, 0.0)]
        rivals = Rivals(bounded.usd_per_node_hour, tuple(runs))
        if least_usd > FAR_DEARER * best_usd and bounded.too_slow(rivals):
            miss = Miss(
                f"costs {least_usd:,.0f} USD a run at least, the cheapest {best_usd:,.0f}", inf, fits_memory=True
            )
            misses.append((miss, Rejection(candidate=machine.label, reason=miss.reason)))
            continue
        if machine.no_offer is not None and spec.pin.instance_type is None:
            miss = Miss(machine.no_offer, float("inf"))
            misses.append((miss, Rejection(candidate=machine.label, reason=miss.reason)))
            continue
        priced, miss = _search_machine(spec, architecture, catalog, machine, engine, budget, rivals)
        everything += priced
        if priced:
            found.append(priced[0])
            runners_up[machine.label] = priced[1 : 1 + OTHER_LAYOUTS_SHOWN]
        else:
            misses.append((miss, Rejection(candidate=machine.label, reason=miss.reason)))
            if miss.serves:
                least_over = min(least_over, miss.shortfall)
    if not found:
        raise infeasible(spec, misses)
    misses.sort(key=lambda miss: places[miss[1].candidate])
    found.sort(key=lambda priced: priced.rank)
    notes: tuple[str, ...] = ()
    if isinstance(engine, InferenceEngine) and is_wanted(engine):
        every = sorted([*found, *chain(*runners_up.values())], key=lambda priced: priced.rank)
        refined = refine(every, engine, lambda machine, candidate: price(spec, catalog, machine, candidate))
        misses += [(miss, Rejection(candidate=p.machine.label, reason=miss.reason)) for p, miss in refined.missed]
        if not refined.served:
            raise infeasible(spec, misses)
        found, runners_up, notes = refined.served, {}, refined.notes
    best = found[0]
    notes = (*notes, *_over_with_unknown(best, budget, run))
    if isinstance(engine, InferenceEngine):
        notes = (*notes, *engine.notes(best.candidate, best.machine.node))
    others = sorted([*runners_up.get(best.machine.label, ()), *found[1:]], key=lambda priced: priced.rank)
    rejected = tuple(rejection for _, rejection in misses)
    proposals: tuple[CompressionProposal, ...] = ()
    if isinstance(engine, TrainingEngine):
        notes = (*notes, *launch_notes(best.candidate.performance))
        proposals = compression_proposals(engine, best.candidate, best.machine.node, best.cost.usd_per_hour)
    front = pareto_front(everything)
    topology = topology_of(engine, best.machine, best.candidate, catalog)
    decided = assemble(
        spec, architecture, catalog, best, others, rejected, notes, front, topology=topology, proposals=proposals
    )
    if spec.workload.kind != "finetuning" or spec.pin != Pin():
        return decided
    smallest = _smallest(spec, architecture, catalog, engine, budget, best)
    return decided.model_copy(update={"smallest": None if smallest is None else alternative(smallest, best)})


def fastest_days(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, workbench: Workbench
) -> float | None:
    """Days of the fastest run of a training spec on any machine, whatever it costs; None where none fits.

    Raises:
        SpecError: the spec contradicts itself or the model.
    """
    engine, fastest = engine_of(spec, architecture, workbench), inf
    if not isinstance(engine, TrainingEngine):
        return None
    for bound in sorted(_cheapest_first(spec, catalog, engine), key=lambda bound: bound.least_days):
        machine = bound.machine
        if bound.least_days < fastest and machine.no_offer is None:
            place = surroundings(spec, catalog, machine, shared_storage(spec, catalog, machine))
            fastest = engine.fastest_days(machine.node, bound.most_nodes, place, fastest)
    return fastest if fastest < inf else None


def _smallest(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    engine: Engine,
    budget: Budget,
    best: Priced,
) -> Priced | None:
    """The run on the one node with the least GPU memory that carries it; None where the choice is no larger."""
    ours = best.candidate.nodes * best.machine.gpu_memory_gb
    smaller = [m for m in machines(spec, catalog) if m.gpu_memory_gb < ours and m.no_offer is None]
    for machine in sorted(smaller, key=lambda m: (m.gpu_memory_gb, m.hourly_usd, m.label)):
        one_node = replace(machine, max_nodes=1)
        priced, _ = _search_machine(spec, architecture, catalog, one_node, engine, budget)
        if priced:
            return priced[0]
    return None


class _Bounded(NamedTuple):
    """A machine and what is known of any run on it at once; 0 where nothing is."""

    least_usd: float
    place: int
    """In the catalog."""
    usd_per_node_hour: float
    """At least."""
    node_hours: float
    """At least, with every GPU busy all the time."""
    machine: Machine

    def too_slow(self, rivals: Rivals) -> bool:
        """Whether a rival outdoes every run on the machine."""
        return self.least_days >= rivals.days_beaten(self.most_nodes)

    @property
    def least_days(self) -> float:
        """Of any run, on all the nodes that there may be."""
        return self.node_hours / self.most_nodes / 24

    @property
    def most_nodes(self) -> int:
        """That work together."""
        return self.machine.max_nodes if self.machine.multi_node else 1


def _cheapest_first(spec: ClusterSpec, catalog: Catalog, engine: Engine) -> list[_Bounded]:
    """Machines by the least that a run on them can cost, then in the order of the catalog."""
    bounded = []
    for place, machine in enumerate(machines(spec, catalog)):
        hours, offers = engine.least_node_hours(machine.node), machine.offers
        prices = [offers.on_demand, offers.commitment, offers.block]
        prices += [offers.spot] if spec.capacity.interruption == "tolerate" else []
        least = min((price.usd_per_hour for price in prices if price is not None), default=0.0)
        bounded.append(_Bounded(least * hours, place, least, hours, machine))
    return sorted(bounded, key=lambda bound: bound[:2])


def _most_nodes(bounded: _Bounded, budget: Budget, engine: Engine) -> int:
    """Nodes that a month's budget pays for at most; all that the machine has where they are fixed or run at times."""
    months = _longest_months(engine)
    runs_through = isinstance(engine, TrainingEngine) and engine.workload.every_days is None and months < inf
    if budget.usd_per_month is None or not bounded.usd_per_node_hour or not runs_through:
        return bounded.machine.max_nodes
    return int(budget.usd_per_month / (HOURS_PER_MONTH * bounded.usd_per_node_hour))


def _longest_months(engine: Engine) -> float:
    """Months over which the cost of a run can be spread: to its deadline, or to the next. Infinite without an end.

    A pinned run may be late.
    """
    if not isinstance(engine, TrainingEngine) or engine.pin.nodes is not None or engine.pin.layout.data is not None:
        return inf
    return (engine.workload.every_days or engine.workload.deadline_days) * 24 / HOURS_PER_MONTH


def _search_machine(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    machine: Machine,
    engine: Engine,
    budget: Budget,
    rivals: Rivals = NO_RIVALS,
) -> tuple[list[Priced], Miss]:
    """The distinct ways to do the work on one machine, cheapest first, or the nearest miss."""
    nearest: Miss | None = None
    priced: list[Priced] = []
    place = surroundings(spec, catalog, machine, shared_storage(spec, catalog, machine))
    for found in engine.candidates(machine.node, machine.max_nodes, machine.multi_node, place, rivals):
        if isinstance(found, Miss):
            nearest = _nearer(nearest, found)
            continue
        refused = refusal(spec, catalog.software, machine.node.gpu, architecture, found.weights, found.kv_cache)
        if refused is not None:
            nearest = _nearer(nearest, Miss(refused, float("inf")))
            continue
        bought = with_updates(spec, architecture, price(spec, catalog, machine, found))
        updates = bought.updates
        if updates is not None:
            late = overrun(updates)
            if late is not None:
                nearest = _nearer(nearest, Miss(late, updates.hours / 24 / updates.every_days, fits_memory=True))
                continue
        over = exceeded(budget, *bought.bills, "run" if updates is None else "update")
        if over is not None:
            where = f"{found.nodes} node{'' if found.nodes == 1 else 's'}"
            reason = f"{_promise(found)} on {where} for {over.words}, the budget is {over.budget_usd:,.0f}"
            nearest = _nearer(nearest, Miss(reason, over.ratio, fits_memory=True, exceeded=over))
            continue
        priced.append(bought)
    priced.sort(key=lambda option: option.rank)
    return priced, nearest or Miss("no parallel layout of the model divides the node", float("inf"))


def _over_with_unknown(best: Priced, budget: Budget, run: Period) -> tuple[str, ...]:
    """A note where the budget is kept only as long as nothing without a known price is counted."""
    if not best.unknown_usd_per_hour or not best.cost.usd_per_hour:
        return ()
    most = 1 + best.unknown_usd_per_hour / best.cost.usd_per_hour
    monthly, run_usd = best.bills
    over = exceeded(budget, monthly and monthly * most, run_usd and run_usd * most, run)
    if over is None:
        return ()
    return (
        f"within the budget of {over.budget_usd:,.0f} USD {PERIODS[over.period]} only without what has no known price;"
        f" with the most that others ask for it {over.usd:,.0f}",
    )


def _promise(candidate: Candidate) -> str:
    performance = candidate.performance
    if isinstance(performance, TrainingPerformance):
        return f"done in {performance.days:.3g} days"
    return f"{performance.requests_per_s:.3g} requests/s"


def _nearer(one: Miss | None, other: Miss) -> Miss:
    return other if one is None or other.distance < one.distance else one
