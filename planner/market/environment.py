"""From the catalog and a spec to what a place gives a training run: interruption rate, stores, host memory."""

from planner.errors import SpecError
from planner.market.machines import OWN, Machine
from planner.plan.plan import SharedStorage
from planner.reliability.checkpoint_stores import file_system_store, object_store
from planner.reliability.checkpoints import ON_PREM_STORAGE, CheckpointStore
from planner.reliability.failures import NodeEnvironment
from planner.spec import ClusterSpec, TrainingWorkload
from provider_catalog.catalog import Catalog


def node_environment(
    spec: ClusterSpec, catalog: Catalog, machine: Machine, storage: SharedStorage | None
) -> NodeEnvironment:
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
    stores: list[CheckpointStore] = [ON_PREM_STORAGE] if owned else []
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
    return NodeEnvironment(
        rate=catalog.interruption_rate(machine.node.gpu.generation),
        causes=tuple(catalog.interruption_causes.items()),
        stores=tuple(stores) or (ON_PREM_STORAGE,),
        host_memory_bytes=machine.host_memory_bytes,
        owned=owned,
    )
