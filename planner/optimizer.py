"""One search for every workload: price what the engine offers on each machine, keep the cheapest that serves."""

from dataclasses import replace
from itertools import chain
from math import inf
from typing import NamedTuple

from planner.assembly import Priced, alternative, assemble, pareto_front, shared_storage, with_updates
from planner.candidate import NO_RIVALS, Candidate, Engine, Miss, Rivals
from planner.capacity import Mix, block_mix, mean_demand, serving_mix, training_mix
from planner.cost import HOURS_PER_MONTH, Bill, ServiceLine, checkpoint_traffic_gb, cluster_cost
from planner.errors import InfeasibleError, Lack, NearestMiss, SpecError
from planner.inference import InferenceEngine
from planner.lustre_lines import lustre_lines
from planner.machines import OWN, Machine, machines
from planner.network_lines import network_lines, unbuilt_roles
from planner.plan import CompressionProposal, Plan, Purchase, Rejection, SharedStorage, TrainingPerformance
from planner.refinement import is_wanted, refine
from planner.reliability.surroundings import surroundings
from planner.serving.software import refusal
from planner.sizing.formats import with_formats
from planner.sizing.profile import ModelProfile
from planner.spec import ClusterSpec, InferenceWorkload, Pin, TrainingWorkload
from planner.topology.of_plan import topology_of
from planner.training import TrainingEngine
from planner.training.compression import constrained_pin
from planner.training.proposals import compression_proposals
from planner.training.updates import days_left_to_train, overrun
from planner.unknown_prices import most_unknown_usd_per_hour
from planner.watch_lines import watch_lines
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.defaults import OrchestratorDefaults
from provider_catalog.precision import BITS_PER_VALUE, Precision

NEAREST_SHOWN = 5
OTHER_LAYOUTS_SHOWN = 2
FAR_DEARER = 1.1
"""Machines on which a run costs this much more than the cheapest plan, even with every GPU busy all the time, are not
searched: they cannot win, and are hardly worth showing."""


def plan(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, max_usd_per_month: float | None = None
) -> Plan:
    """The cheapest cluster that carries the workload, with alternatives and a reason for every rejection.

    Args:
        spec: What is wanted.
        architecture: Of its model.
        catalog: What is on sale.
        max_usd_per_month: A bound beside the budget of the spec, which it leaves as it is.

    Raises:
        SpecError: the spec names what does not exist, or contradicts itself or the model.
        InfeasibleError: nothing serves; holds the nearest misses.
    """
    _check_against_model(spec, architecture)
    engine = _engine(spec, architecture)
    budget = min(filter(None, (spec.budget.usd_per_month, max_usd_per_month)), default=None)
    found: list[Priced] = []
    runners_up: dict[str, list[Priced]] = {}
    everything: list[Priced] = []
    misses: list[tuple[Miss, Rejection]] = []
    places: dict[str, int] = {}
    least_over = inf
    for bounded in _cheapest_first(spec, catalog, engine):
        least_usd, machine = bounded.least_usd, bounded.machine
        places[machine.label] = bounded.place
        best_usd = min((priced.objective_usd for priced in found), default=inf)
        least_monthly = least_usd / _longest_months(engine)
        if budget is not None and least_monthly > max(budget, FAR_DEARER * least_over):
            # Over budget whatever the layout, and not the nearest to it.
            miss = Miss(
                f"costs {least_monthly:,.0f} USD a month at least, the budget is {budget:,.0f}",
                least_monthly / budget,
                fits_memory=True,
                bound=True,
            )
            misses.append((miss, Rejection(candidate=machine.label, reason=miss.reason)))
            continue
        front = pareto_front(everything)
        rivals = Rivals(bounded.usd_per_node_hour, tuple((point.usd_per_run, point.days) for point in front))
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
            if miss.serves and budget is not None:
                least_over = min(least_over, miss.shortfall * budget)
    if not found:
        raise _infeasible(spec, misses, budget)
    misses.sort(key=lambda miss: places[miss[1].candidate])
    found.sort(key=lambda priced: priced.rank)
    notes: tuple[str, ...] = ()
    if isinstance(engine, InferenceEngine) and is_wanted(engine):
        every = sorted([*found, *chain(*runners_up.values())], key=lambda priced: priced.rank)
        refined = refine(every, engine, lambda machine, candidate: _price(spec, catalog, machine, candidate))
        misses += [(miss, Rejection(candidate=p.machine.label, reason=miss.reason)) for p, miss in refined.missed]
        if not refined.served:
            raise _infeasible(spec, misses, budget)
        found, runners_up, notes = refined.served, {}, refined.notes
    best = found[0]
    if budget is not None and best.unknown_usd_per_hour:
        notes = (*notes, *_over_with_unknown(best, budget))
    if isinstance(engine, InferenceEngine):
        notes = (*notes, *engine.notes(best.candidate, best.machine.node))
    others = sorted([*runners_up.get(best.machine.label, ()), *found[1:]], key=lambda priced: priced.rank)
    rejected = tuple(rejection for _, rejection in misses)
    proposals: tuple[CompressionProposal, ...] = ()
    if isinstance(engine, TrainingEngine):
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


def _smallest(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    engine: Engine,
    budget: float | None,
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
        nodes = self.machine.max_nodes if self.machine.multi_node else 1
        return self.node_hours / nodes / 24 >= rivals.days_beaten(nodes)


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


def _longest_months(engine: Engine) -> float:
    """Months over which the cost of a run can be spread: to its deadline, or to the next. Infinite without an end.

    A pinned run may be late.
    """
    if not isinstance(engine, TrainingEngine) or engine.pin.nodes is not None or engine.pin.layout.data is not None:
        return inf
    return (engine.workload.every_days or engine.workload.deadline_days) * 24 / HOURS_PER_MONTH


def _check_against_model(spec: ClusterSpec, architecture: ModelArchitecture) -> None:
    limit, workload = architecture.max_position_embeddings, spec.workload
    if limit is None:
        return
    if isinstance(workload, InferenceWorkload):
        context, field = workload.prompt_tokens + workload.output_tokens, "prompt_tokens + workload.output_tokens"
    else:
        context, field = workload.sequence_length, "sequence_length"
    measured = isinstance(workload, InferenceWorkload) and (spec.pin.nodes or spec.pin.batch)
    if context > limit and not measured:
        raise SpecError(f"workload.{field} is {context}; {architecture.name} reaches {limit} tokens at most")


def _check_training(spec: ClusterSpec) -> None:
    """Refuse what only serving knows.

    Raises:
        SpecError: the field, and what to do.
    """
    weights, pin = spec.precision.weights, spec.pin
    if spec.precision.experts != "auto" or spec.precision.keep:
        raise SpecError("precision.experts and precision.keep are about serving; leave them out when training")
    if weights in ("int8", "int4"):
        raise SpecError(
            f"precision.weights is {weights}, which is for serving: training multiplies in floating point; allowed are"
            " auto, fp32, bf16, fp16, fp8, nvfp4 and mxfp4"
        )
    for name, given in (("pin.batch", pin.batch), ("pin.layout.attention_data", pin.layout.attention_data)):
        if given is not None:
            raise SpecError(f"{name} is {given}; it is about serving: leave it out when training")


def _engine(spec: ClusterSpec, architecture: ModelArchitecture) -> Engine:
    weights, kv_cache = spec.precision.weights, spec.precision.kv_cache
    experts, keep = spec.precision.experts, spec.precision.keep
    if isinstance(spec.workload, InferenceWorkload):
        stored = architecture.published_precision if weights == "auto" else weights
        architecture = with_formats(architecture, stored, None if experts == "auto" else experts, keep)
    else:
        _check_training(spec)
    if isinstance(spec.workload, InferenceWorkload):
        return InferenceEngine(
            profile=ModelProfile.of(architecture),
            workload=spec.workload,
            headroom=spec.headroom,
            pin=spec.pin,
            weights=architecture.published_precision if weights == "auto" else weights,
            kv_cache="bf16" if kv_cache == "auto" else kv_cache,
            may_widen=weights == "auto",
            also=spec.precision.also,
        )
    precision: Precision = "bf16" if weights == "auto" else weights
    if spec.workload.method == "qlora" and BITS_PER_VALUE[precision] != 16:
        raise SpecError(
            f"precision.weights is {precision}, and workload.method is qlora, which stores weights in 4 bits and"
            " multiplies in 16; leave precision.weights out, or set method: lora"
        )
    workload, block = spec.workload, spec.capacity.block
    deadline_days = min(days_left_to_train(workload), inf if block is None else block.days)
    if deadline_days != workload.deadline_days:
        workload = workload.model_copy(update={"deadline_days": deadline_days})
    profile = ModelProfile.of(architecture, operand_bytes=1 if BITS_PER_VALUE[precision] <= 8 else 2)
    return TrainingEngine(profile, workload, spec.headroom, constrained_pin(spec.pin, workload), precision)


def _search_machine(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    machine: Machine,
    engine: Engine,
    budget: float | None,
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
        bought = with_updates(spec, architecture, _price(spec, catalog, machine, found))
        monthly, updates = bought.cost.usd_per_month, bought.updates
        if updates is not None:
            monthly, late = updates.usd_per_month, overrun(updates)
            if late is not None:
                nearest = _nearer(nearest, Miss(late, updates.hours / 24 / updates.every_days, fits_memory=True))
                continue
        if budget is not None and monthly is not None and monthly > budget:
            over = Miss(
                f"{_promise(found)} on {found.nodes} node{'' if found.nodes == 1 else 's'} for {monthly:,.0f} USD a"
                f" month, the budget is {budget:,.0f}",
                monthly / budget,
                fits_memory=True,
                serves=True,
            )
            nearest = _nearer(nearest, over)
            continue
        priced.append(bought)
    priced.sort(key=lambda option: option.rank)
    return priced, nearest or Miss("no parallel layout of the model divides the node", float("inf"))


def _over_with_unknown(best: Priced, budget: float) -> tuple[str, ...]:
    known = best.cost.usd_per_month if best.updates is None else best.updates.usd_per_month
    hourly = best.cost.usd_per_hour
    if known is None or not hourly:
        return ()
    most = known * (1 + best.unknown_usd_per_hour / hourly)
    if most <= budget:
        return ()
    return (
        f"within the budget of {budget:,.0f} USD a month only without what has no known price; with the most that"
        f" others ask for it {most:,.0f}",
    )


def _promise(candidate: Candidate) -> str:
    performance = candidate.performance
    if isinstance(performance, TrainingPerformance):
        return f"done in {performance.days:.3g} days"
    return f"{performance.requests_per_s:.3g} requests/s"


def _nearer(one: Miss | None, other: Miss) -> Miss:
    return other if one is None or other.distance < one.distance else one


def _price(spec: ClusterSpec, catalog: Catalog, machine: Machine, candidate: Candidate) -> Priced:
    performance, run_hours = candidate.performance, None
    mix: Mix | None
    owned = machine.provider == OWN
    busy = 1.0 if isinstance(spec.workload, TrainingWorkload) else mean_demand(spec.capacity)
    block = spec.capacity.block
    if block is not None and not owned:
        mix = replace(block_mix(candidate.nodes, block, machine.offers), mean_demand=busy)
        if isinstance(performance, TrainingPerformance):
            # Paid in advance for the whole term, whatever the run takes.
            run_hours = block.days * 24.0
    elif isinstance(spec.workload, TrainingWorkload) and isinstance(performance, TrainingPerformance):
        on_spot = _on_spot(performance, candidate)
        late = on_spot.days > spec.workload.deadline_days
        capacity = spec.capacity.model_copy(update={"interruption": "never"}) if late else spec.capacity
        mix = training_mix(candidate.nodes, capacity, machine.offers, on_spot.goodput / performance.goodput)
        if mix is not None and mix.purchase.spot_nodes:
            performance = on_spot
        run_hours = performance.days * 24
    elif owned:
        mix = None  # nodes of one's own cost the same in idle hours
    else:
        mix = serving_mix(candidate.nodes, candidate.gang, spec.capacity, machine.offers)
    if mix is None or owned:
        reason = "nodes of one's own" if owned else "no price on file"
        mix = Mix(
            Purchase(on_demand_nodes=candidate.nodes, reason=reason),
            None,
            0.0,
            candidate.nodes,
            mean_demand=busy,
        )
    storage = shared_storage(spec, catalog, machine)
    bill = Bill(
        provider=machine.provider,
        region=machine.region,
        nodes=candidate.nodes,
        shared_storage=storage,
        checkpoints_gib=spec.storage.checkpoints_tib * 1024,
        checkpoint_gb_per_month=checkpoint_traffic_gb(performance),
        root_disk_gib=machine.root_disk_gib if machine.root_disk == "network" else 0,
        orchestrator=_orchestrator(spec, catalog, machine),
        without=unbuilt_roles(spec),
        extra=_extra_lines(spec, catalog, machine, candidate.nodes, storage),
    )
    cost = cluster_cost(catalog.prices, bill, machine.offers, mix, performance, run_hours)
    unknown_usd = most_unknown_usd_per_hour(cost, catalog, machine.provider)
    return Priced(machine, replace(candidate, performance=performance), mix, cost, unknown_usd_per_hour=unknown_usd)


def _orchestrator(spec: ClusterSpec, catalog: Catalog, machine: Machine) -> OrchestratorDefaults | None:
    return (
        None
        if machine.provider == OWN
        else catalog.provider_defaults(machine.provider).orchestrators[spec.orchestrator]
    )


def _extra_lines(
    spec: ClusterSpec, catalog: Catalog, machine: Machine, nodes: int, storage: SharedStorage | None
) -> tuple[ServiceLine, ...]:
    if machine.provider == OWN:
        return ()
    network = network_lines(spec, catalog.provider_defaults(machine.provider), nodes)
    watched = watch_lines(spec, nodes, nodes * machine.node.gpus, shared_storage=storage is not None)
    return (*network, *lustre_lines(spec.storage.lustre, storage), *watched)


def _on_spot(performance: TrainingPerformance, candidate: Candidate) -> TrainingPerformance:
    """The same run on Spot nodes, any of which stops all of it when reclaimed."""
    failures, gpus = candidate.failures, candidate.layout.gpus
    if failures is None:
        return performance
    goodput = failures.goodput(gpus, candidate.nodes)
    days = performance.days * performance.goodput / goodput
    return performance.model_copy(
        update={
            "goodput": goodput,
            "days": days,
            "gpu_hours": days * 24 * gpus,
            "reliability": failures.reliability(gpus, days, performance.step_time_s, candidate.nodes),
        }
    )


def _infeasible(spec: ClusterSpec, misses: list[tuple[Miss, Rejection]], budget: float | None) -> InfeasibleError:
    nearest = sorted(misses, key=lambda miss: (miss[0].distance, miss[1].candidate))[:NEAREST_SHOWN]
    first = nearest[0][0]
    return InfeasibleError(
        f"no cluster carries {spec.name!r}: {_by_how_much(spec, first, len(misses), budget)}",
        tuple(NearestMiss(rejection.candidate, rejection.reason) for _, rejection in nearest),
        lacks=_lacks(first),
    )


def _lacks(nearest: Miss) -> Lack:
    if nearest.serves:
        return "budget"
    if nearest.shortfall == inf:
        return "other"
    return "time" if nearest.fits_memory else "memory"


def _by_how_much(spec: ClusterSpec, nearest: Miss, looked_at: int, budget: float | None) -> str:
    """What the nearest of the misses lacks."""
    among = "the one machine looked at" if looked_at == 1 else f"the {looked_at} machines looked at"
    lacks, times = _lacks(nearest), f"{nearest.shortfall:.2g} times"
    if lacks == "budget" and budget is not None:
        usd = nearest.shortfall * budget
        return (
            f"the cheapest that does it costs {usd:,.0f} USD a month, {usd - budget:,.0f} more than the budget of"
            f" {budget:,.0f} ({times})"
        )
    if isinstance(spec.workload, TrainingWorkload) and lacks == "time":
        at_least = "at least " if nearest.bound else ""
        return f"of {among} the nearest is {at_least}{times} too slow, on as many nodes as it may have"
    if isinstance(spec.workload, TrainingWorkload) and lacks == "memory":
        return f"it does not fit: of {among} the nearest needs {times} the memory that may be used"
    return f"none of {among} will do"
