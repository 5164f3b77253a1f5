"""What a place gives a training run: its interruption rate, stores for checkpoints, and host memory."""

from planner.market.machines import Machine
from planner.reliability.failures import NodeEnvironment
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog


def node_environment(spec: ClusterSpec, catalog: Catalog, machine: Machine) -> NodeEnvironment:
    """What the nodes of a machine find in their place.

    Args:
        spec: Names the shared file system and the target of checkpoints.
        catalog: Holds the interruption rates of GPU generations.
        machine: The kind of node and its place.

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
