"""The network stack where the spec names a network of the user's own: looked up and checked, nothing is made."""

from typing import Final

from cdktf import TerraformStack

from cdk.aws.existing_network import ExistingNetwork, ExistingNetworkConfig
from cdk.aws.interfaces import Interface
from planner.errors import SpecError
from planner.plan.plan import Plan
from stacks.aws.base import add_outputs
from stacks.clouds import BuiltStack

GIB_PER_FILE_SERVER: Final = 1200
"""Room kept in the subnet: an address for each smallest file system's worth of storage. AWS states no count of
interfaces per file system, and this is its finest unit."""

CONTROL_PLANE_SUBNET: Final = "Subnet of the Kubernetes API in a second zone"


def own_network(
    stack: TerraformStack, plan: Plan, zone_id: str, node_interfaces: tuple[Interface, ...], node_addresses: int
) -> BuiltStack:
    """Adds the look-ups of the user's VPC and subnets, with all that the other stacks rely on as conditions.

    Raises:
        SpecError: a subnet that the orchestrator needs is not named.
    """
    spec = plan.spec.network
    if spec.vpc_id is None or spec.subnet_id is None:
        raise SpecError("network: a network of your own takes both vpc_id and subnet_id")
    kubernetes = plan.spec.orchestrator == "kubernetes"
    if kubernetes and spec.control_plane_subnet_id is None:
        raise SpecError(
            "network.control_plane_subnet_id: missing; in a network of your own, the Kubernetes API needs a subnet in "
            "another zone than network.subnet_id"
        )
    network = ExistingNetwork(
        stack,
        "network",
        ExistingNetworkConfig(
            name=plan.name,
            vpc_id=spec.vpc_id,
            subnet_id=spec.subnet_id,
            zone_id=zone_id,
            node_addresses=node_addresses,
            file_server_addresses=file_server_addresses(plan),
            interface_descriptions=tuple(i.description for i in node_interfaces if i.has_address),
            control_plane_subnet_id=spec.control_plane_subnet_id if kubernetes else None,
        ),
    )
    outputs: dict[str, tuple[object, str]] = {
        "vpc_id": (network.vpc.id, "VPC of the cluster"),
        "compute_subnet_id": (network.compute_subnet.id, "Private subnet of nodes and file servers"),
        "availability_zone": (
            network.compute_subnet.availability_zone,
            "Zone of the cluster, by the name it has in this account",
        ),
    }
    if network.control_plane_subnet:
        outputs["control_plane_subnet_id"] = (network.control_plane_subnet.id, CONTROL_PLANE_SUBNET)
    add_outputs(stack, outputs)
    return BuiltStack("network", stack, {})


def file_server_addresses(plan: Plan) -> int:
    """Addresses that the shared file system takes in the subnet of the nodes."""
    storage = plan.choice.shared_storage
    # One more for the metadata server.
    return -(-storage.size_gib // GIB_PER_FILE_SERVER) + 1 if storage else 0
