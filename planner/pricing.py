"""What a candidate costs on a machine: how its nodes are bought, and the bill."""

from dataclasses import replace

from planner.assembly import Priced, shared_storage
from planner.candidate import Candidate
from planner.capacity import Mix, block_mix, mean_demand, serving_mix, training_mix
from planner.cost import Bill, ServiceLine, checkpoint_traffic_gb, cluster_cost
from planner.lustre_lines import lustre_lines
from planner.machines import OWN, Machine
from planner.network_lines import network_lines, unbuilt_roles
from planner.plan import Purchase, SharedStorage, TrainingPerformance
from planner.spec import ClusterSpec, TrainingWorkload
from planner.unknown_prices import most_unknown_usd_per_hour
from planner.watch_lines import watch_lines
from provider_catalog.catalog import Catalog
from provider_catalog.defaults import OrchestratorDefaults


def price(spec: ClusterSpec, catalog: Catalog, machine: Machine, candidate: Candidate) -> Priced:
    """A candidate with the way its nodes are bought and its bill.

    Args:
        spec: Capacity, storage and orchestrator are taken from it.
        catalog: Prices and defaults; what has no price is left out of the bill.
        machine: Whose offers are bought, or nodes of one's own.
        candidate: Nodes and performance; a run on Spot nodes gets the goodput that reclaims leave it.
    """
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
            "breakdown_between_steps_s": failures.between_steps_s(gpus, performance.step_time_s, candidate.nodes),
            "effective_step_time_s": performance.step_time_s / goodput,
            "days": days,
            "gpu_hours": days * 24 * gpus,
            "reliability": failures.reliability(gpus, days, performance.step_time_s, candidate.nodes),
        }
    )
