"""A candidate with its purchase mix and its bill, in the form that the search ranks."""

from dataclasses import dataclass, replace

from planner.cost.bill import BilledServices, ServiceLine, checkpoint_traffic_gb, cluster_cost
from planner.cost.lustre_lines import lustre_lines
from planner.cost.network_lines import network_lines, unbuilt_roles
from planner.cost.observability_lines import observability_lines
from planner.cost.unpriced import unpriced_upper_bound_usd_per_hour
from planner.engine.candidate import Candidate
from planner.market.machines import Machine
from planner.plan.choice import Purchase, SharedStorage
from planner.plan.cost import Cost, UpdateCosts
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.purchase.mix import (
    Mix,
    Scaler,
    block_mix,
    mean_demand,
    own_reservation_mix,
    serving_mix,
    training_mix,
)
from planner.spec import ClusterSpec, InferenceWorkload, OwnReservation, TrainingWorkload
from provider_catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Priced:
    """A candidate on a machine with its purchase mix and its bill."""

    machine: Machine
    candidate: Candidate
    mix: Mix
    cost: Cost
    updates: UpdateCosts | None = None
    unpriced_usd_per_hour: float = 0.0
    """Upper bound for unpriced items in USD an hour."""
    uncarried_share: float = 0.0
    """Share of the offered requests that pinned nodes do not serve."""

    @property
    def search_cost_usd(self) -> float:
        """Cost in USD that the search minimises: of the run or update when training, of an hour when serving.

        Unpriced items count at their upper bound, so that a gap in a price list never makes a cloud look cheap. The
        cost is infinite where the nodes have no known price.
        """
        hourly = self.cost.usd_per_hour
        amount = self.cost.usd_per_run if self.cost.usd_per_run is not None else hourly
        if self.updates is not None:
            amount = self.updates.usd_per_update
        if amount is None or hourly is None:
            return float("inf")
        return amount * self.unpriced_factor

    @property
    def unpriced_factor(self) -> float:
        """Factor on the bill that counts unpriced items at their upper bound."""
        hourly = self.cost.usd_per_hour
        return 1 + self.unpriced_usd_per_hour / hourly if hourly else 1.0

    @property
    def bills(self) -> tuple[float | None, float | None]:
        """USD a month, and USD for the run or for one update."""
        if self.updates is not None:
            return self.updates.usd_per_month, self.updates.usd_per_update
        return self.cost.usd_per_month, self.cost.usd_per_run

    @property
    def days_or_tpot_ms(self) -> float:
        """Speed for ranking, lower is better: days of a run, or TPOT in milliseconds."""
        performance = self.candidate.performance
        return performance.days if isinstance(performance, TrainingPerformance) else performance.tpot_ms

    @property
    def rank(self) -> tuple[object, ...]:
        """Sort key: fit in memory, load carried, cost, speed, simplicity, then the name to keep ties stable.

        Only a pinned layout can exceed the memory, and only pinned nodes can leave load behind.
        """
        layout = self.candidate.layout
        simplicity = (layout.pipeline, layout.tensor, layout.zero_stage, layout.micro_batch)
        memory = self.candidate.memory
        overfull = memory.total_bytes > memory.capacity_bytes
        money_and_speed = (round(self.search_cost_usd, 6), round(self.days_or_tpot_ms, 9))
        return (overfull, round(self.uncarried_share, 6), *money_and_speed, simplicity, self.machine.label)


def price(spec: ClusterSpec, catalog: Catalog, machine: Machine, candidate: Candidate) -> Priced:
    """Prices a candidate: decides how its nodes are bought and makes the bill.

    Args:
        spec: The spec with capacity, storage and orchestrator.
        catalog: The catalog with prices and defaults; unpriced items get no amount.
        machine: The machine type with its offers, or on-premises nodes.
        candidate: Nodes, layout and performance; for a run on Spot the goodput is lowered by reclaims.
    """
    performance, run_hours = candidate.performance, None
    mix: Mix | None
    owned = machine.place.owned
    busy = 1.0 if isinstance(spec.workload, TrainingWorkload) else mean_demand(spec.capacity)
    block, own = spec.capacity.block, spec.capacity.reservation
    if block is not None and not owned:
        mix = replace(block_mix(candidate.nodes, block, machine.offers), mean_demand=busy)
        if isinstance(performance, TrainingPerformance):
            # A block is paid in advance for its whole term, however long the run takes.
            run_hours = block.days * 24.0
    elif isinstance(own, OwnReservation) and not owned:
        mix = replace(own_reservation_mix(candidate.nodes, own, machine.offers), mean_demand=busy)
        if isinstance(performance, TrainingPerformance):
            run_hours = performance.days * 24
    elif isinstance(spec.workload, TrainingWorkload) and isinstance(performance, TrainingPerformance):
        reclaimed = on_spot(performance, candidate)
        late = reclaimed.days > spec.workload.deadline_days
        capacity = spec.capacity.model_copy(update={"interruption": "never"}) if late else spec.capacity
        mix = training_mix(candidate.nodes, capacity, machine.offers, reclaimed.goodput / performance.goodput)
        if mix is not None and mix.purchase.spot_nodes:
            performance = reclaimed
        run_hours = performance.days * 24
    elif owned:
        mix = None  # on-premises nodes cost the same in idle hours
    else:
        mix = serving_mix(
            candidate.nodes,
            candidate.gang,
            spec.capacity,
            machine.offers,
            scaler=_scaler(spec, machine, candidate.gang),
            spare_nodes=_spare_nodes(spec, candidate),
        )
    if mix is None or owned:
        reason = "on-premises nodes" if owned else "no known price"
        mix = Mix(
            Purchase(on_demand_nodes=candidate.nodes, reason=reason),
            None,
            0.0,
            candidate.nodes,
            mean_demand=busy,
        )
    storage = machine.place.shared_storage(spec)
    services = BilledServices(
        provider=machine.provider,
        region=machine.region,
        nodes=candidate.nodes,
        shared_storage=storage,
        checkpoints_gib=spec.storage.checkpoints_tib * 1024,
        checkpoint_gb_per_month=checkpoint_traffic_gb(performance),
        root_disk_gib=machine.root_disk_gib if machine.root_disk == "network" else 0,
        orchestrator=machine.place.orchestrator(spec.orchestrator),
        omitted_roles=unbuilt_roles(spec),
        extra_lines=_extra_lines(spec, machine, candidate.nodes, storage),
    )
    cost = cluster_cost(catalog.prices, services, machine.offers, mix, performance, run_hours)
    unknown_usd = unpriced_upper_bound_usd_per_hour(cost, catalog, machine.provider)
    return Priced(
        machine,
        replace(candidate, performance=performance),
        mix,
        cost,
        unpriced_usd_per_hour=unknown_usd,
        uncarried_share=_uncarried_share(spec, performance),
    )


def _uncarried_share(spec: ClusterSpec, performance: TrainingPerformance | InferencePerformance) -> float:
    """Returns the share of the offered load that pinned nodes do not serve; other plans have the nodes they need."""
    workload = spec.workload
    if not isinstance(workload, InferenceWorkload) or not isinstance(performance, InferencePerformance):
        return 0.0
    if spec.pin.nodes is None or spec.pin.batch is not None:
        return 0.0
    if workload.concurrency is not None:
        return max(0.0, 1 - performance.max_concurrency / workload.concurrency)
    return max(0.0, 1 - performance.requests_per_s / workload.offered_requests_per_s)


def _spare_nodes(spec: ClusterSpec, candidate: Candidate) -> int:
    workload = spec.workload
    return candidate.spare_nodes(workload.spare_replicas) if isinstance(workload, InferenceWorkload) else 0


def _scaler(spec: ClusterSpec, machine: Machine, gang: int) -> Scaler:
    """Returns what starts and stops the nodes of a serving fleet."""
    defaults = machine.place.defaults
    if defaults is None or "schedules" not in defaults.features:
        return "unknown"
    if spec.orchestrator == "slurm":
        return "jobs"
    # An Auto Scaling group chooses the nodes that it ends one by one, and would break several gangs at once.
    return "schedule" if gang == 1 else "nothing"


def _extra_lines(
    spec: ClusterSpec, machine: Machine, nodes: int, storage: SharedStorage | None
) -> tuple[ServiceLine, ...]:
    defaults = machine.place.defaults
    if defaults is None:
        return ()
    network = network_lines(spec, defaults, nodes)
    observability = observability_lines(spec, nodes, nodes * machine.node.gpus, shared_storage=storage is not None)
    return (*network, *lustre_lines(spec.storage.lustre, storage), *observability)


def on_spot(performance: TrainingPerformance, candidate: Candidate) -> TrainingPerformance:
    """Returns the performance of the run on Spot nodes, where each reclaimed node stops the whole run."""
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
