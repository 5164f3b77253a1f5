"""Duration and cost of the repeated updates of a model in continued training."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from planner.cost.priced import Priced
from planner.errors import times
from planner.plan.cost import Cost, UpdateCosts, UpdateOption
from planner.plan.performance import TrainingPerformance
from planner.purchase.mix import block_days, block_instances
from planner.reliability.checkpoints import ON_PREM_STORAGE
from planner.sizing.optimizer_state import WEIGHT_BYTES
from planner.spec import ClusterSpec, TrainingWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.purchase_kinds import compute_role
from provider_catalog.units import HOURS_PER_MONTH, HOURS_PER_YEAR

START_H: Final = 0.5
"""Hours from `terraform apply` of the compute stack to the first step: instances, drivers, file system, burn-in,
containers. Estimate, 0.2 to 1."""
EVALUATION_SHARE: Final = 0.05
"""Evaluation as a share of the training time. Estimate, 0.01 to 0.2: MLPerf Training 4.0's Llama 2 70B LoRA
evaluates 37 s for every 178 s of training (NVIDIA, eos_ngc24.04_nemo)."""
TOKEN_BYTES: Final = 4


def days_left_to_train(workload: TrainingWorkload) -> float:
    """Returns the deadline in days of the training alone, so that an update ends before the next one starts."""
    if workload.every_days is None:
        return workload.deadline_days
    return min(workload.deadline_days, max(workload.every_days - START_H / 24, 1e-9) / (1 + EVALUATION_SHARE))


def update_costs(spec: ClusterSpec, architecture: ModelArchitecture, priced: Priced) -> UpdateCosts | None:
    """Returns the cost of an update and of a year of updates; None unless the workload is continued training.

    Network and storage stacks exist all the time. The compute stack is applied for each update and destroyed after it.
    """
    workload, performance = spec.workload, priced.candidate.performance
    if not isinstance(workload, TrainingWorkload) or workload.every_days is None:
        return None
    if not isinstance(performance, TrainingPerformance):
        return None
    parts = _hours(workload, architecture, priced, performance.days * 24)
    hours, per_year = sum(parts.values()), 365 / workload.every_days
    standing = _hourly(priced.cost, compute=False)
    if priced.cost.usd_per_hour is None:
        return UpdateCosts(every_days=workload.every_days, per_year=per_year, hours=hours, hours_by_part=parts)
    usd = _compute_usd(priced, spec, hours)
    return UpdateCosts(
        every_days=workload.every_days,
        per_year=per_year,
        hours=hours,
        hours_by_part=parts,
        usd_per_update=usd,
        standing_usd_per_month=standing * HOURS_PER_MONTH,
        usd_per_month=usd * per_year / 12 + standing * HOURS_PER_MONTH,
        usd_per_year=usd * per_year + standing * HOURS_PER_YEAR,
        options=tuple(_options(priced, hours, per_year)),
    )


def late_update_reason(updates: UpdateCosts) -> str | None:
    """Returns why an update does not end before the next one starts; None if it does."""
    days = updates.hours / 24
    if days <= updates.every_days:
        return None
    return (
        f"an update takes {days:.3g} days, {days - updates.every_days:.3g} more than workload.every_days"
        f" ({updates.every_days:g}): {times(days / updates.every_days)} too long"
    )


def update_notes(name: str, updates: UpdateCosts, cost: Cost) -> Iterator[str]:
    """Yields notes on continued training for the reviewer of a plan."""
    share = updates.hours / (24 * updates.every_days)
    yield (
        f"an update holds its nodes for {updates.hours:.3g} of every {24 * updates.every_days:g} hours ({share:.0%}):"
        f" apply {name}-compute before it and destroy it after; {name}-network and {name}-storage stay and are billed"
    )
    known = [option for option in updates.options if option.usd_per_year is not None and not option.chosen]
    ours = next((option.usd_per_year for option in updates.options if option.chosen), None)
    for option in known:
        if ours is not None and option.usd_per_year is not None and option.usd_per_year < ours:
            yield f"{option.name} would cost {ours - option.usd_per_year:,.0f} USD a year less: {option.note}"
    system = sum(item.usd_per_hour or 0.0 for item in cost.items if item.role == "shared_storage") * HOURS_PER_MONTH
    if updates.usd_per_month and system > 0.2 * updates.usd_per_month:
        yield (
            f"the file system is {system / updates.usd_per_month:.0%} of the monthly cost and idle between updates; if"
            " all data is in the object store, it can be destroyed with the nodes (storage.keep_on_destroy: false)"
        )


def _hours(
    workload: TrainingWorkload, architecture: ModelArchitecture, priced: Priced, training_h: float
) -> dict[str, float]:
    """Returns the hours of each part of an update; all nodes read and write the checkpoint store of the run."""
    failures, candidate = priced.candidate.failures, priced.candidate
    store, size_bytes = ON_PREM_STORAGE, 0
    if failures is not None:
        store = failures.checkpoint_plan(candidate.layout.gpus, priced.mix.purchase.spot_nodes).store
        size_bytes = failures.checkpoint_bytes
    nodes = candidate.nodes
    return {
        "start": START_H,
        "load_weights": store.read_s(WEIGHT_BYTES * architecture.total_parameters, nodes) / 3600,
        "load_data": store.read_s(TOKEN_BYTES * workload.computed_tokens, nodes) / 3600,
        "train": training_h,
        "evaluate": EVALUATION_SHARE * training_h,
        "write_checkpoint": store.write_s(size_bytes, nodes) / 3600,
    }


def _hourly(cost: Cost, *, compute: bool) -> float:
    return sum(item.usd_per_hour or 0.0 for item in cost.items if (item.stack == "compute") == compute)


def _compute_usd(priced: Priced, spec: ClusterSpec, hours: float) -> float:
    """Returns the cost of the compute stack for one update; a Capacity Block is billed for its whole term."""
    block = spec.capacity.block
    in_block = sum(i.usd_per_hour or 0.0 for i in priced.cost.items if i.role == compute_role("capacity_block"))
    term_h = 0.0 if block is None else block.days * 24.0
    return (_hourly(priced.cost, compute=True) - in_block) * hours + in_block * term_h


def _options(priced: Priced, hours: float, per_year: float) -> Iterator[UpdateOption]:
    """Yields the ways to buy the nodes of an update; the costs are those of the nodes alone."""
    if priced.machine.place.owned:
        return
    offers, nodes, purchase = priced.machine.offers, priced.candidate.nodes, priced.mix.purchase
    if offers.on_demand is not None:
        yield _option(
            "on-demand, for each update",
            nodes * hours * offers.on_demand.usd_per_hour,
            per_year,
            "a capacity reservation for the update costs the same",
            chosen=bool(purchase.on_demand_nodes or purchase.reserved_nodes),
        )
    if offers.spot is not None:
        note = "reclaims included" if purchase.spot_nodes else "time lost to reclaims not included"
        usd = nodes * hours * offers.spot.usd_per_hour
        yield _option("Spot, for each update", usd, per_year, note, chosen=bool(purchase.spot_nodes))
    days, size = block_days(hours / 24), block_instances(nodes)
    if offers.block is not None and days is not None and size is not None:
        usd = size * days * 24 * offers.block.usd_per_hour
        note = f"{size} instance{'' if size == 1 else 's'} for {days} day{'' if days == 1 else 's'}, paid in advance"
        yield _option("a Capacity Block for each", usd, per_year, note, chosen=bool(purchase.capacity_block_nodes))
    if offers.commitment is not None:
        usd = nodes * HOURS_PER_YEAR * offers.commitment.usd_per_hour
        note = f"billed all year, used {min(1.0, hours * per_year / HOURS_PER_YEAR):.0%} of it"
        yield _option(f"{offers.commitment.option} commitment", usd / per_year, per_year, note, chosen=False)


def _option(name: str, usd: float, per_year: float, note: str, *, chosen: bool) -> UpdateOption:
    return UpdateOption(name=name, usd_per_update=usd, usd_per_year=usd * per_year, note=note, chosen=chosen)


def with_updates(spec: ClusterSpec, architecture: ModelArchitecture, option: Priced) -> Priced:
    """Returns a priced run with its update costs, where the spec repeats it."""
    return replace(option, updates=update_costs(spec, architecture, option))
