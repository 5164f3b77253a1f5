"""Environment of a training run: interruption rate, checkpoint stores and host memory of its nodes."""

from planner.market.machines import Machine
from planner.reliability.failures import NodeEnvironment
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog


def node_environment(spec: ClusterSpec, catalog: Catalog, machine: Machine) -> NodeEnvironment:
    """Returns the environment of nodes of one machine type.

    Args:
        spec: The spec; it names the shared file system and the checkpoint target.
        catalog: The catalog with interruption rates by GPU generation.
        machine: The machine type and its place.

    Raises:
        SpecError: the spec sends checkpoints to a store that the place does not have.
    """
    return NodeEnvironment(
        rate=catalog.interruption_rate(machine.node.gpu.generation),
        causes=tuple(catalog.interruption_causes.items()),
        stores=machine.place.checkpoint_stores(spec, machine.node.nic_gbit_per_s),
        host_memory_bytes=machine.host_memory_bytes,
        owned=machine.place.owned,
    )
