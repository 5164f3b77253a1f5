"""From the catalog and a spec to what a place gives a training run: interruption rate, stores, host memory."""

from math import inf

from planner.errors import SpecError
from planner.machines import OWN, Machine
from planner.plan import SharedStorage
from planner.reliability.checkpoints import OWN_STORAGE, STORE_EFFICIENCY, Store
from planner.reliability.failures import Surroundings
from planner.spec import ClusterSpec, TrainingWorkload
from provider_catalog.catalog import Catalog
from provider_catalog.storage import FileSystemSku, ObjectStore


def surroundings(spec: ClusterSpec, catalog: Catalog, machine: Machine, storage: SharedStorage | None) -> Surroundings:
    """What nodes of a machine find in their place.

    Args:
        spec: What is wanted.
        catalog: What is known.
        machine: The kind of node, and where it stands.
        storage: The shared file system on order.

    Raises:
        SpecError: checkpoints are to go where this place has nothing.
    """
    owned = machine.provider == OWN
    stores: list[Store] = [OWN_STORAGE] if owned else []
    if storage is not None:
        system = catalog.shared_file_system(machine.provider, storage.sku)
        stores.append(file_system_store(system, storage.size_gib, machine.node.nic_gbit_per_s, spec.storage.lustre.efa))
    objects = None if owned else catalog.provider_defaults(machine.provider).object_store
    if objects is not None:
        stores.append(object_store(objects, machine.node.nic_gbit_per_s))
    if isinstance(spec.workload, TrainingWorkload):
        asked = spec.workload.fault_tolerance.checkpoint_to
        if asked == "object_store" and objects is None:
            raise SpecError(
                "workload.fault_tolerance.checkpoint_to is object_store, and nothing is known of one on"
                f" {machine.provider}; allowed is auto, with storage_gb_per_s for storage of one's own"
            )
    return Surroundings(
        rate=catalog.interruption_rate(machine.node.gpu.generation),
        causes=tuple(catalog.interruption_causes.items()),
        stores=tuple(stores) or (OWN_STORAGE,),
        host_memory_bytes=machine.host_memory_bytes,
        owned=owned,
    )


def file_system_store(system: FileSystemSku, size_gib: int, nic_gbit_per_s: float, efa: bool) -> Store:
    """A shared file system of some size as seen by nodes with some network."""
    tib = size_gib / 1024
    client = (system.efa_client_gbit_per_s if efa else None) or system.client_gbit_per_s
    write = system.write_mb_per_s_per_tib or system.throughput_mb_per_s_per_tib
    return Store(
        target="shared_file_system",
        name=system.sku,
        write_bytes_per_s=tib * write * 1e6 * STORE_EFFICIENCY,
        read_bytes_per_s=tib * system.throughput_mb_per_s_per_tib * 1e6 * STORE_EFFICIENCY,
        node_bytes_per_s=min(client, nic_gbit_per_s) / 8 * 1e9 * STORE_EFFICIENCY,
        room_bytes=size_gib * 2**30,
    )


def object_store(store: ObjectStore, nic_gbit_per_s: float) -> Store:
    """An object store as seen by nodes with some network."""
    return Store(
        target="object_store",
        name=store.name,
        write_bytes_per_s=store.write_gb_per_s * 1e9,
        read_bytes_per_s=store.read_gb_per_s * 1e9,
        node_bytes_per_s=min(store.node_gb_per_s, nic_gbit_per_s / 8) * 1e9,
        room_bytes=inf,
    )
