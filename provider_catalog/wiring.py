"""Published facts about the wiring of a cloud's nodes: inside a node, and between nodes."""

from pydantic import Field

from provider_catalog.facts import Fact
from provider_catalog.hardware import InstanceType, Paths


class NodeWiring(Fact):
    """The positions of GPUs and network cards in some instance types."""

    instance_types: tuple[str, ...]
    gpus_per_pcie_switch: int | None = Field(default=None, gt=0)
    gpus_per_numa_node: int | None = Field(default=None, gt=0)
    source: str
    as_of: str


class FabricWiring(Fact):
    """The network between the nodes of one fabric."""

    fabric: str
    paths: Paths
    note: str
    source: str
    as_of: str


class Wiring(Fact):
    """The topology.yaml of one cloud."""

    networks: tuple[FabricWiring, ...] = ()
    nodes: tuple[NodeWiring, ...] = ()

    def node(self, instance_type: InstanceType) -> NodeWiring | None:
        """The wiring of that type; None if nothing is published."""
        return next((row for row in self.nodes if instance_type.name in row.instance_types), None)

    def network(self, fabric: str) -> FabricWiring | None:
        """The network of that fabric; None if nothing is known."""
        return next((row for row in self.networks if row.fabric == fabric), None)
