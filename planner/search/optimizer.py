"""The search for the cheapest cluster that serves: candidates of the engine on each machine, priced and ranked."""

from dataclasses import replace
from itertools import chain
from math import inf

from planner.cost.priced import Priced, price
from planner.errors import PERIOD_WORDS, Period
from planner.market.environment import node_environment
from planner.market.machines import machines
from planner.plan.alternatives import CompressionProposal, Rejection
from planner.plan.plan import Plan
from planner.search.assembly import alternative, assemble
from planner.search.budget import budget_excess, tightest
from planner.search.engines import check_against_model, engine_of
from planner.search.machine_search import MachineSearch, cheapest_first
from planner.search.pareto import pareto_front
from planner.search.plan_topology import topology_of
from planner.search.refinement import refine, wants_measured_kernels
from planner.search.refusals import infeasible
from planner.serving.engine import InferenceEngine
from planner.spec import Budget, ClusterSpec, Pin
from planner.training.compression_proposals import compression_proposals
from planner.training.engine import TrainingEngine
from planner.training.kernel_launches import launch_notes
from planner.training.step_cache import StepCache
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog


def plan(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    within: Budget | None = None,
    *,
    step_cache: StepCache | None = None,
    wants_nearest: bool = True,
) -> Plan:
    """Returns the cheapest cluster that carries the workload, with alternatives and a reason for every rejection.

    Args:
        spec: The workload and its constraints.
        architecture: Architecture of its model.
        catalog: The catalog with machines and prices.
        within: Second budget, applied in addition to that of the spec; the spec in the plan stays unchanged.
        step_cache: Step times of earlier plans of the same model; they speed up the search.
        wants_nearest: Whether a refusal must name the nearest misses; without them it takes less time.

    Raises:
        SpecError: the spec names something that does not exist, or contradicts itself or the model.
        InfeasibleError: nothing serves; the error holds the nearest misses.
    """
    check_against_model(spec, architecture)
    engine = engine_of(spec, architecture, step_cache or StepCache(), wants_nearest=wants_nearest)
    budget = spec.budget if within is None else tightest(spec.budget, within)
    search = MachineSearch(spec, architecture, catalog, engine, budget, wants_nearest)
    search.search_all()
    found, runners_up, near_misses = search.found, search.runners_up, search.near_misses
    if not found:
        raise infeasible(spec, near_misses)
    notes: tuple[str, ...] = ()
    if isinstance(engine, InferenceEngine) and wants_measured_kernels(engine):
        every = sorted([*found, *chain(*runners_up.values())], key=lambda priced: priced.rank)
        refined = refine(every, engine, lambda machine, candidate: price(spec, catalog, machine, candidate))
        near_misses += [
            (near_miss, Rejection(candidate=p.machine.label, reason=near_miss.reason))
            for p, near_miss in refined.missed
        ]
        if not refined.served:
            raise infeasible(spec, near_misses)
        found, runners_up, notes = refined.served, {}, refined.notes
    best = found[0]
    notes = (*notes, *_unpriced_budget_note(best, budget, search.period))
    if isinstance(engine, InferenceEngine):
        notes = (*notes, *engine.notes(best.candidate, best.machine.node))
    others = sorted([*runners_up.get(best.machine.label, ()), *found[1:]], key=lambda priced: priced.rank)
    rejected = tuple(rejection for _, rejection in near_misses)
    proposals: tuple[CompressionProposal, ...] = ()
    if isinstance(engine, TrainingEngine):
        notes = (*notes, *launch_notes(best.candidate.performance))
        proposals = compression_proposals(engine, best.candidate, best.machine.node, best.cost.usd_per_hour)
    front = pareto_front(search.everything)
    topology = topology_of(engine, best.machine, best.candidate)
    decided = assemble(
        spec, architecture, catalog, best, others, rejected, notes, front, topology=topology, proposals=proposals
    )
    if spec.workload.kind != "finetuning" or spec.pin != Pin():
        return decided
    smallest = _smallest(search, best)
    return decided.model_copy(update={"smallest": None if smallest is None else alternative(smallest, best)})


def fastest_days(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, step_cache: StepCache
) -> float | None:
    """Returns the days of the fastest run of a training spec on any machine at any cost; None if none fits.

    Raises:
        SpecError: the spec contradicts itself or the model.
    """
    engine, fastest = engine_of(spec, architecture, step_cache), inf
    if not isinstance(engine, TrainingEngine):
        return None
    for bound in sorted(cheapest_first(spec, catalog, engine), key=lambda bound: bound.least_days):
        machine = bound.machine
        if bound.least_days < fastest and machine.unavailable_reason is None:
            environment = node_environment(spec, catalog, machine)
            fastest = engine.fastest_days(machine.node, bound.most_nodes, environment, fastest)
    return fastest if fastest < inf else None


def _smallest(search: MachineSearch, best: Priced) -> Priced | None:
    """Returns the run on the node with the least GPU memory that carries it alone; None unless smaller than `best`."""
    ours = best.candidate.nodes * best.machine.gpu_memory_gb
    smaller = [
        m for m in machines(search.spec, search.catalog) if m.gpu_memory_gb < ours and m.unavailable_reason is None
    ]
    for machine in sorted(smaller, key=lambda m: (m.gpu_memory_gb, m.hourly_usd, m.label)):
        one_node = replace(machine, max_nodes=1)
        priced, _ = search.search_one(one_node)
        if priced:
            return priced[0]
    return None


def _unpriced_budget_note(best: Priced, budget: Budget, run: Period) -> tuple[str, ...]:
    """Returns a note if the budget is exceeded once unpriced items count at their upper bound."""
    if not best.unpriced_usd_per_hour:
        return ()
    most = best.unpriced_factor
    monthly, run_usd = best.bills
    over = budget_excess(budget, monthly and monthly * most, run_usd and run_usd * most, run)
    if over is None:
        return ()
    return (
        f"the budget of {over.budget_usd:,.0f} USD {PERIOD_WORDS[over.period]} holds only without the unpriced items;"
        f" counting them at the highest known rate, the bill is {over.usd:,.0f} USD",
    )
