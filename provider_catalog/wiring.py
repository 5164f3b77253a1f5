"""How nodes of a cloud are wired inside and among each other, as far as it is public."""

from pydantic import Field

from provider_catalog.facts import Fact
from provider_catalog.hardware import InstanceType, Paths


class NodeWiring(Fact):
    """Where GPUs and cards of some instance types sit."""

    instance_types: tuple[str, ...]
    gpus_per_pcie_switch: int | None = Field(default=None, gt=0)
    gpus_per_numa_node: int | None = Field(default=None, gt=0)
    source: str
    as_of: str


class Network(Fact):
    """What lies between nodes of one fabric."""

    fabric: str
    paths: Paths
    note: str
    source: str
    as_of: str


class Wiring(Fact):
    """The topology.yaml of one cloud."""

    networks: tuple[Network, ...] = ()
    nodes: tuple[NodeWiring, ...] = ()

    def node(self, instance_type: InstanceType) -> NodeWiring | None:
        """What is known of the type; None: nothing is published."""
        return next((row for row in self.nodes if instance_type.name in row.instance_types), None)

    def network(self, fabric: str) -> Network | None:
        """What is known of the fabric."""
        return next((row for row in self.networks if row.fabric == fabric), None)
