"""Totals of the chosen cluster's bill by stack, phase and token, and the range of the bill."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final

from planner.cost.bill import NAT_GB_PER_NODE_MONTH, NAT_GB_RANGE
from planner.cost.unpriced import unpriced_driver
from planner.engine.candidate import Candidate
from planner.market.machines import Machine
from planner.plan.choice import Purchase
from planner.plan.cost import Cost, CostDriver, CostItem, CostRange, SpareNodesCost, TokenCosts
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.purchase.mix import Mix, block_instances
from planner.spec import ClusterSpec, InferenceWorkload, TrainingWorkload
from provider_catalog.catalog import Catalog
from provider_catalog.prices import PriceBook
from provider_catalog.purchase_kinds import COMPUTE_ROLES, PURCHASE_KINDS, PurchaseKind, compute_role

TRAINING_ENGINE_ERROR: Final = 0.20
"""Error of predicted GPU hours and step times on published runs (docs/planning.md, "How far to trust them")."""
SERVING_ENGINE_ERROR: Final = 0.35
"""Error that nine of ten kernel-level reference points keep (same section)."""
UTILISATION_ERROR: Final = 0.20
"""Error of the mean of a demand profile. Estimate, since the profile is a forecast."""
PAID_BY_NODE: Final = frozenset(
    {"root_disk", "nat_data", "flow_logs", "interface_endpoint_data", "prometheus", "metrics_collected"}
)
"""Roles of lines whose quantity is proportional to the number of nodes."""
_NAT: Final = (
    NAT_GB_RANGE[0] / NAT_GB_PER_NODE_MONTH,
    NAT_GB_RANGE[1] / NAT_GB_PER_NODE_MONTH,
    f"{NAT_GB_RANGE[0]:g} to {NAT_GB_RANGE[1]:g} GB through NAT per node and month",
)
_ENDPOINTS: Final = (*_NAT[:2], _NAT[2].replace("NAT", "private endpoints"))
_CHECKPOINTS: Final = (0.5, 2.0, "checkpoints half to double of storage.checkpoints_tib")
_METRICS: Final = (0.5, 2.0, "metrics half to double")
USAGE_RANGES: Final[dict[str, tuple[float, float, str]]] = {
    "nat_data": _NAT,
    "interface_endpoint_data": _ENDPOINTS,
    "checkpoint_storage": _CHECKPOINTS,
    "private_endpoint_data": _CHECKPOINTS,
    "log_data": (0.3, 10.0, "control plane logs a third to ten times"),
    "prometheus": _METRICS,
    "metrics_collected": _METRICS,
}
"""Range of usage-billed lines by role: low factor, high factor, words. Estimates."""


def with_totals(
    cost: Cost,
    spec: ClusterSpec,
    machine: Machine,
    mix: Mix,
    candidate: Candidate,
    catalog: Catalog,
) -> Cost:
    """Returns the bill with its totals by stack, phase and token, and its range."""
    if cost.usd_per_hour is None:
        return cost
    performance = candidate.performance
    by_stack: dict[str, float] = defaultdict(float)
    for item in cost.items:
        by_stack[item.stack] += item.usd_per_hour or 0.0
    per_training_token = None
    if isinstance(spec.workload, TrainingWorkload) and cost.usd_per_run is not None:
        per_training_token = cost.usd_per_run / spec.workload.computed_tokens * 1e6
    return cost.model_copy(
        update={
            "usd_per_million_training_tokens": per_training_token,
            "tokens": _tokens(cost.usd_per_hour, spec, mix, performance),
            "usd_per_hour_by_stack": dict(by_stack),
            "usd_per_hour_by_phase": _by_phase(cost.usd_per_hour, spec, performance),
            "usd_per_hour_by_rollout": _by_rollout(cost.usd_per_hour, cost.items, spec, mix.purchase),
            "range": _range(cost, spec, machine, mix, candidate, catalog),
            "spare_nodes": _spare_nodes(cost, cost.usd_per_hour, mix.purchase, candidate),
        }
    )


def _spare_nodes(cost: Cost, usd_per_hour: float, purchase: Purchase, candidate: Candidate) -> SpareNodesCost | None:
    """Returns the cost of the advised spare nodes per hour and run; a Capacity Block grows to the next size."""
    performance, nodes = candidate.performance, candidate.nodes
    outlook = performance.reliability if isinstance(performance, TrainingPerformance) else None
    if outlook is None or not outlook.spare_nodes:
        return None
    spares = outlook.spare_nodes
    compute = sum(item.usd_per_hour or 0.0 for item in cost.items if item.role in COMPUTE_ROLES)
    by_node = sum(item.usd_per_hour or 0.0 for item in cost.items if item.role in PAID_BY_NODE)
    bought, more = nodes, float(spares)
    if purchase.capacity_block_instances:
        bought = purchase.capacity_block_instances
        size = block_instances(nodes + spares)
        if size is None:
            return None
        more = max(0.0, size - bought)
    added = compute / bought * more + by_node / nodes * spares
    hours = None if cost.usd_per_run is None else cost.usd_per_run / usd_per_hour
    return SpareNodesCost(
        nodes=spares,
        usd_per_hour=added,
        usd_per_run=None if hours is None else added * hours,
        share_of_bill=added / usd_per_hour,
    )


def _by_phase(
    usd_per_hour: float, spec: ClusterSpec, performance: TrainingPerformance | InferencePerformance
) -> dict[str, float]:
    if isinstance(performance, InferencePerformance):
        prefill = _prefill_share(spec, performance)
        return {"prefill": usd_per_hour * prefill, "decode": usd_per_hour * (1 - prefill)}
    useful = usd_per_hour * performance.goodput
    step = sum(performance.breakdown_s.values())
    phases = {name: useful * seconds / step for name, seconds in performance.breakdown_s.items() if seconds > 0}
    return {**phases, "failures_and_checkpoints": usd_per_hour - useful}


def _by_rollout(
    usd_per_hour: float, items: Iterable[CostItem], spec: ClusterSpec, purchase: Purchase
) -> dict[str, float]:
    """Returns USD an hour by roll-out phase; in the first, on-demand and Spot nodes run only for validation."""
    if spec.rollout.validation_nodes is None:
        return {}
    left = spec.rollout.validation_nodes
    running: dict[PurchaseKind, int] = {}
    # The stacks start nodes in this order.
    for kind in PURCHASE_KINDS:
        running[kind] = min(left, purchase.nodes_of(kind))
        left -= running[kind]
    share = sum(running.values()) / sum(purchase.nodes_of(kind) for kind in running)
    paid_by_the_hour: dict[str, PurchaseKind] = {compute_role(kind): kind for kind in ("on_demand", "spot")}
    validate = 0.0
    for item in items:
        if item.role in paid_by_the_hour:
            validate += running[paid_by_the_hour[item.role]] * (item.unit_price_usd or 0.0)
        else:
            validate += (item.usd_per_hour or 0.0) * (share if item.role in PAID_BY_NODE else 1.0)
    return {"validate": validate, "full": usd_per_hour}


def _prefill_share(spec: ClusterSpec, performance: InferencePerformance) -> float:
    """Returns the share of prefill in the time of one batch: one pass over its prompts, then a step per output token.

    With disaggregated pools it is the share of prefill replicas.
    """
    if performance.pools:
        prefilling = sum(pool.replicas for pool in performance.pools if pool.role == "prefill")
        return prefilling / sum(pool.replicas for pool in performance.pools)
    output_tokens = spec.workload.output_tokens if isinstance(spec.workload, InferenceWorkload) else 1
    return performance.prefill_ms / (performance.prefill_ms + output_tokens * performance.decode_step_ms)


def _tokens(
    usd_per_hour: float, spec: ClusterSpec, mix: Mix, performance: TrainingPerformance | InferencePerformance
) -> TokenCosts | None:
    workload = spec.workload
    if not isinstance(workload, InferenceWorkload) or not isinstance(performance, InferencePerformance):
        return None
    output_per_hour = performance.tokens_per_s * mix.mean_demand * 3600
    input_per_hour = output_per_hour * workload.prompt_tokens / workload.output_tokens
    prefill = _prefill_share(spec, performance)
    return TokenCosts(
        input_usd_per_million=usd_per_hour * prefill / input_per_hour * 1e6,
        output_usd_per_million=usd_per_hour * (1 - prefill) / output_per_hour * 1e6,
        prefill_share=prefill,
    )


def _range(
    cost: Cost,
    spec: ClusterSpec,
    machine: Machine,
    mix: Mix,
    candidate: Candidate,
    catalog: Catalog,
) -> CostRange | None:
    run = isinstance(candidate.performance, TrainingPerformance)
    expected = cost.usd_per_run if run else cost.usd_per_month
    if expected is None or cost.usd_per_hour is None:
        return None
    hours = expected / cost.usd_per_hour
    moving = (
        driver
        for driver in (
            *_spot_price(hours, machine, mix, catalog.prices),
            *_utilisation(hours, cost, mix),
            *_performance(expected, hours, cost, spec, candidate),
            *_usage(hours, cost),
        )
        if driver.high_usd > 0 or driver.low_usd < 0
    )
    unknown = unpriced_driver(hours, cost, catalog, machine.provider)
    drivers = (*moving, *([] if unknown is None else [unknown]))
    return CostRange(
        period="run" if run else "month",
        low_usd=max(0.0, expected + sum(driver.low_usd for driver in drivers)),
        expected_usd=expected,
        high_usd=expected + sum(driver.high_usd for driver in drivers),
        drivers=drivers,
    )


def _performance(
    expected: float, hours: float, cost: Cost, spec: ClusterSpec, candidate: Candidate
) -> Iterator[CostDriver]:
    if isinstance(candidate.performance, InferencePerformance):
        return _throughput(hours, cost, spec, candidate)
    # A Capacity Block is billed for its whole term, however fast the run is.
    return _mfu(expected) if spec.capacity.block is None else iter(())


def _spot_price(hours: float, machine: Machine, mix: Mix, prices: PriceBook) -> Iterator[CostDriver]:
    spot, on_demand = machine.offers.spot, machine.offers.on_demand
    if not mix.purchase.spot_nodes or spot is None:
        return
    cheapest = prices.instance(machine.provider, machine.region, machine.name, "spot") or spot
    highest = on_demand or spot
    node_hours = mix.mean_spot_nodes * hours
    yield CostDriver(
        name="Spot price",
        assumption=(
            f"{spot.usd_per_hour:.4g} USD an hour on {spot.provenance.as_of}; from the cheapest zone in the catalog"
            f" ({cheapest.usd_per_hour:.4g}) to the on-demand price ({highest.usd_per_hour:.4g}), which caps it"
        ),
        low_usd=min(0.0, cheapest.usd_per_hour - spot.usd_per_hour) * node_hours,
        high_usd=max(0.0, highest.usd_per_hour - spot.usd_per_hour) * node_hours,
    )


def _utilisation(hours: float, cost: Cost, mix: Mix) -> Iterator[CostDriver]:
    running = (
        (compute_role("spot"), mix.purchase.spot_nodes, mix.mean_spot_nodes),
        (compute_role("on_demand"), mix.purchase.on_demand_nodes, mix.mean_on_demand_nodes),
    )
    low = high = 0.0
    for role, nodes, mean in running:
        price = next((item.unit_price_usd for item in cost.items if item.role == role), None)
        if price is None or mix.mean_demand >= 1:
            continue
        low -= price * mean * UTILISATION_ERROR * hours
        high += price * max(0.0, min(nodes, mean * (1 + UTILISATION_ERROR)) - mean) * hours
    yield CostDriver(
        name="utilisation",
        assumption=f"mean demand {mix.mean_demand:.0%} of the peak, ±{UTILISATION_ERROR:.0%} (estimate)",
        low_usd=low,
        high_usd=high,
    )


def _mfu(expected: float) -> Iterator[CostDriver]:
    yield CostDriver(
        name="MFU",
        assumption=f"time of the run ±{TRAINING_ENGINE_ERROR:.0%}, the error of the engine on published runs",
        low_usd=-TRAINING_ENGINE_ERROR * expected,
        high_usd=TRAINING_ENGINE_ERROR * expected,
    )


def _throughput(hours: float, cost: Cost, spec: ClusterSpec, candidate: Candidate) -> Iterator[CostDriver]:
    """Yields the cost of more or fewer replicas for the same load, if throughput is below or above the prediction."""
    compute = sum(item.usd_per_hour or 0.0 for item in cost.items if item.role.startswith("compute_")) * hours
    replicas, load = candidate.nodes / candidate.gang, _load_share(spec, candidate)
    most = max(replicas, ceil(replicas * load / (1 - SERVING_ENGINE_ERROR)))
    least = min(replicas, max(1, ceil(replicas * load / (1 + SERVING_ENGINE_ERROR))))
    yield CostDriver(
        name="throughput",
        assumption=(
            f"{least:g} to {most:g} replicas of {candidate.gang} node(s) instead of {replicas:g}, if throughput is"
            f" {SERVING_ENGINE_ERROR:.0%} higher or lower; nine of ten reference points of the engine are within that"
        ),
        low_usd=compute * (least / replicas - 1),
        high_usd=compute * (most / replicas - 1),
    )


def _load_share(spec: ClusterSpec, candidate: Candidate) -> float:
    """Returns the load as a share of what the fleet can carry."""
    workload, performance = spec.workload, candidate.performance
    if not isinstance(workload, InferenceWorkload) or not isinstance(performance, InferencePerformance):
        return 1.0
    if workload.concurrency is not None:
        return min(1.0, workload.concurrency / performance.max_concurrency)
    return min(1.0, workload.offered_requests_per_s / performance.requests_per_s)


def _usage(hours: float, cost: Cost) -> Iterator[CostDriver]:
    by_role = {item.role: (item.usd_per_hour or 0.0) * hours for item in cost.items}
    ranges = {role: factors for role, factors in USAGE_RANGES.items() if role in by_role}
    yield CostDriver(
        name="usage",
        assumption="; ".join(dict.fromkeys(words for _, _, words in ranges.values())) + " (estimates)",
        low_usd=sum(by_role[role] * (low - 1) for role, (low, _, _) in ranges.items()),
        high_usd=sum(by_role[role] * (high - 1) for role, (_, high, _) in ranges.items()),
    )
