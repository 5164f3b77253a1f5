"""Notes on checkpoint storage that is slow or small, with the storage tiers that would be sufficient."""

from collections.abc import Callable, Sequence
from math import floor, inf

from planner.errors import SpecError
from planner.plan.choice import SharedStorage
from planner.reliability.checkpoint_stores import file_system_store
from planner.reliability.checkpoints import KEPT_CHECKPOINTS, CheckpointStore
from planner.reliability.failures import SHARED_PREFERRED_WITHIN, CheckpointPlan, FailureModel
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.storage import FileSystemSku

MOST_TIB = 10_000
"""Largest file system that a spec may request, in TiB."""


def checkpoint_notes(
    spec: ClusterSpec,
    catalog: Catalog,
    failures: FailureModel,
    gpus: int,
    spot_nodes: int,
    nic_gbit_per_s: float,
    storage: tuple[str, SharedStorage] | None,
) -> list[str]:
    """Return notes on slow or small checkpoint storage and on hosts with too little memory for async checkpoints.

    Args:
        spec: The user's spec.
        catalog: Storage tiers on sale.
        failures: Failure model of the run.
        gpus: GPUs of the run.
        spot_nodes: Nodes of the run on Spot.
        nic_gbit_per_s: Network rate of a node.
        storage: Provider and size of the shared file system to provision; None without one.
    """
    chosen = failures.checkpoint_plan(gpus, spot_nodes)
    size, nodes = failures.checkpoint_bytes, max(1, gpus // failures.gpus_per_node)
    notes = []
    tolerance = failures.tolerance
    if tolerance.checkpoint == "async" and chosen.mode == "sync":
        notes.append(
            f"checkpoints are synchronous: a node's part of a checkpoint, {size / nodes / 2**30:,.0f} GiB, would take"
            " too much of its host memory for an asynchronous copy"
        )
    kept = KEPT_CHECKPOINTS * size
    if chosen.store.target == "object_store" and kept > spec.storage.checkpoints_tib * 2**40:
        notes.append(
            f"storage.checkpoints_tib is {spec.storage.checkpoints_tib:g}, but the object store keeps at least"
            f" {KEPT_CHECKPOINTS} checkpoints of {size / 1e9:,.0f} GB, {kept / 2**40:.2f} TiB: the bill is too low"
        )
    shared = next((store for store in failures.node_environment.stores if store.target == "shared_file_system"), None)
    if shared is None or storage is None or tolerance.storage_gb_per_s is not None:
        return notes
    on_shared = failures.on_store(shared, gpus, chosen.mtbf_s)
    costs = _cost_of_storage(failures, on_shared, gpus)
    roomy = shared.holds(size)
    if costs <= SHARED_PREFERRED_WITHIN and roomy:
        return notes
    why = [] if roomy else [f"does not hold {KEPT_CHECKPOINTS} checkpoints of {size / 1e9:,.0f} GB"]
    if costs > SHARED_PREFERRED_WITHIN:
        share = on_shared.write_s / (on_shared.timing.interval_s + on_shared.timing.stall_s)
        why.append(
            f"takes {_duration(on_shared.write_s)} to write a checkpoint of {size / 1e9:,.0f} GB, {share:.0%} of the"
            f" checkpoint interval, which costs {costs:.1%} of the run's time"
        )
    where = "" if chosen.store.target == "shared_file_system" else f"; checkpoints go to {chosen.store.name} instead"
    provider, ordered = storage
    tiers = _better(spec, catalog, failures, gpus, chosen, nic_gbit_per_s, provider, ordered)
    remedy = f"; sufficient would be {' or '.join(tiers)}" if tiers else ""
    notes.append(f"the shared file system of {ordered.size_gib:,} GiB {' and '.join(why)}{where}{remedy}")
    return notes


def _cost_of_storage(failures: FailureModel, chosen: CheckpointPlan, gpus: int) -> float:
    ideal = CheckpointStore(chosen.store.target, "ideal", inf, inf, inf)
    return failures.on_store(ideal, gpus, chosen.mtbf_s).shares.useful - chosen.shares.useful


def _better(
    spec: ClusterSpec,
    catalog: Catalog,
    failures: FailureModel,
    gpus: int,
    chosen: CheckpointPlan,
    nic_gbit_per_s: float,
    provider: str,
    ordered: SharedStorage,
) -> list[str]:
    """Return spec settings for sufficient storage: a larger size of the same tier, or a faster tier that needs less."""

    def enough(system: FileSystemSku, size_gib: int) -> bool:
        store = file_system_store(system, size_gib, nic_gbit_per_s, spec.storage.lustre.efa)
        found = failures.on_store(store, gpus, chosen.mtbf_s)
        fast = _cost_of_storage(failures, found, gpus) <= SHARED_PREFERRED_WITHIN
        return fast and store.holds(failures.checkpoint_bytes)

    tiers = []
    same = catalog.shared_file_system(provider, ordered.sku)
    larger = _smallest(same, ordered.requested_gib, enough, spec.storage.lustre.efa)
    if larger is not None:
        tiers.append(f"storage.shared_tib {_tib(larger)}")
    others: Sequence[FileSystemSku] = sorted(
        (system for system in catalog.shared_file_systems[provider] if _line(system.sku) == _line(same.sku)),
        key=lambda system: system.throughput_mb_per_s_per_tib,
    )
    for system in others:
        size = _smallest(system, ordered.requested_gib, enough, spec.storage.lustre.efa)
        faster = system.throughput_mb_per_s_per_tib > same.throughput_mb_per_s_per_tib
        if faster and size is not None and (larger is None or size < larger):
            tiers.append(f"storage.shared_sku {system.sku} and shared_tib {_tib(size)}")
            break
    return tiers


def _line(sku: str) -> str:
    """Return the name of a SKU without its throughput."""
    return sku.rpartition("-")[0]


def _smallest(
    system: FileSystemSku, requested_gib: float, enough: Callable[[FileSystemSku, int], bool], efa: bool
) -> int | None:
    """Return the smallest purchasable size, no smaller than requested, that is sufficient; None where none is."""
    low, high = requested_gib, float(min(MOST_TIB * 1024, system.max_gib or MOST_TIB * 1024))
    try:
        if not enough(system, system.legal_size_gib(high, efa=efa)):
            return None
        while high - low > 1:
            middle = (low + high) / 2
            low, high = (low, middle) if enough(system, system.legal_size_gib(middle, efa=efa)) else (middle, high)
        return system.legal_size_gib(high, efa=efa)
    except CatalogError as error:
        raise SpecError(f"storage.shared_tib: {error}") from error


def _tib(size_gib: int) -> str:
    """Return the size in TiB, rounded down: the catalog rounds it up to the purchasable size that is meant."""
    return f"{floor(size_gib / 1024 * 100) / 100:g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
