"""The network stack of a network that exists already: it looks the network up, checks it and creates nothing."""

from typing import Final

from cdktf import TerraformStack

from cdk.aws.existing_network import ExistingNetwork, ExistingNetworkConfig
from cdk.aws.interfaces import Interface
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.defaults import OrchestratorDefaults
from stacks.aws.address_counts import file_server_addresses
from stacks.aws.base import add_outputs
from stacks.clouds import BuiltStack

CONTROL_PLANE_SUBNET: Final = "Subnet of the Kubernetes API in a second zone"


def existing_network(
    stack: TerraformStack,
    plan: Plan,
    zone_id: str,
    orchestrator: OrchestratorDefaults,
    node_interfaces: tuple[Interface, ...],
    node_addresses: int,
) -> BuiltStack:
    """Adds the look-ups of the user's VPC and subnets. What the other stacks rely on is checked by postconditions.

    Raises:
        SpecError: the spec does not name a subnet that the orchestrator needs, or its zone holds no control plane.
    """
    spec = plan.spec.network
    if spec.vpc_id is None or spec.subnet_id is None:
        raise SpecError("network: an existing network needs both network.vpc_id and network.subnet_id")
    kubernetes = plan.spec.orchestrator == "kubernetes"
    if kubernetes and spec.control_plane_subnet_id is None:
        raise SpecError(
            "network.control_plane_subnet_id: missing; in an existing network, the Kubernetes API needs a subnet in "
            "another zone than that of network.subnet_id"
        )
    if zone_id in orchestrator.no_control_plane_zones:
        raise SpecError(
            f"network.subnet_id: the cluster stands in {zone_id}, where EKS places no control plane (nor in "
            f"{', '.join(zone for zone in orchestrator.no_control_plane_zones if zone != zone_id)}), and "
            "an existing network brings only one subnet in another zone. Name a subnet of another zone and set "
            "placement.zone to it, or leave out network.vpc_id, so that the control plane gets subnets in two others"
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
            no_control_plane_zone_ids=orchestrator.no_control_plane_zones,
        ),
    )
    outputs: dict[str, tuple[object, str]] = {
        "vpc_id": (network.vpc.id, "VPC of the cluster"),
        "compute_subnet_id": (network.compute_subnet.id, "Private subnet of nodes and file servers"),
        "availability_zone": (
            network.compute_subnet.availability_zone,
            "Name of the cluster's zone in this account",
        ),
    }
    if network.control_plane_subnet:
        outputs["control_plane_subnet_id"] = (network.control_plane_subnet.id, CONTROL_PLANE_SUBNET)
    add_outputs(stack, outputs)
    return BuiltStack("network", stack, {})
