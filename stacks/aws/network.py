"""The network stack."""

from typing import Final

from cdktf import App, TerraformOutput, TerraformRemoteState

from cdk.aws.addresses import Subnets, control_plane_ranges, cut
from cdk.aws.eks.control_plane_subnet import ControlPlaneSubnets
from cdk.aws.fabric import ClosedNetwork
from cdk.aws.interfaces import Interface
from cdk.aws.network import ClusterNetwork, NetworkConfig
from cdk.naming import address
from planner.cost.network_lines import endpoint_services
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.defaults import OrchestratorDefaults
from stacks.aws.address_counts import file_server_addresses, node_addresses
from stacks.aws.base import add_outputs, new_stack
from stacks.aws.checks import add_checks
from stacks.aws.existing_network import CONTROL_PLANE_SUBNET, existing_network
from stacks.aws.zones import zone_id
from stacks.clouds import BuiltStack
from stacks.state import depend_on

COMPUTE_SUBNET: Final = "compute_subnet_id"
"""Output with the subnet of nodes and file servers."""


def network_stack(app: App, plan: Plan, catalog: Catalog, node_interfaces: tuple[Interface, ...]) -> BuiltStack:
    """Adds the network of `plan` to `app`.

    Raises:
        SpecError: the network range is too small, or the zone is not one of AWS.
    """
    stack = new_stack(app, plan, "network")
    add_checks(stack, plan, catalog)
    orchestrator = catalog.provider_defaults("aws").orchestrators[plan.spec.orchestrator]
    if plan.spec.network.vpc_id is not None:
        return existing_network(
            stack,
            plan,
            zone_id(plan, catalog),
            orchestrator,
            node_interfaces,
            node_addresses(plan, catalog, node_interfaces),
        )
    spec = plan.spec.network
    endpoints = endpoint_services(plan.spec, catalog.provider_defaults("aws"))
    needed = node_addresses(plan, catalog, node_interfaces) + file_server_addresses(plan) + len(endpoints)
    subnets = _subnets(plan, needed)
    network = ClusterNetwork(
        stack,
        "network",
        NetworkConfig(
            name=plan.name,
            region=plan.choice.region,
            zone_id=zone_id(plan, catalog),
            subnets=subnets,
            egress=spec.egress,
            endpoint_services=endpoints,
            dynamodb=_uses_dynamodb(plan),
            signals=plan.spec.orchestrator == "slurm",
            flow_log_days=spec.flow_log_days if spec.flow_logs else None,
        ),
    )
    outputs: dict[str, tuple[object, str]] = {
        "vpc_id": (network.vpc.id, "VPC of the cluster"),
        "availability_zone": (
            network.compute_subnet.availability_zone,
            "Name of the cluster's zone in this account",
        ),
    }
    if plan.spec.orchestrator == "kubernetes":
        names = control_plane_outputs(zone_id(plan, catalog), orchestrator)
        others = ControlPlaneSubnets(
            stack,
            "control_plane",
            name=plan.name,
            vpc_id=network.vpc.id,
            cidrs=_control_plane_ranges(subnets, sum(name != COMPUTE_SUBNET for name in names)),
            compute_zone_id=zone_id(plan, catalog),
            avoided_zone_ids=orchestrator.no_control_plane_zones,
        )
        for name, other in zip([name for name in names if name != COMPUTE_SUBNET], others.subnets, strict=True):
            outputs[name] = (other.id, CONTROL_PLANE_SUBNET)
    # No node starts before NAT or the endpoints exist.
    subnet = TerraformOutput(
        stack,
        COMPUTE_SUBNET,
        value=network.compute_subnet.id,
        description="Private subnet of nodes and file servers",
    )
    depend_on(subnet, [address(way) for way in network.egress_resources])
    addresses: dict[str, str] = {}
    if network.nat:
        nat = address(network.nat.gateway)
        addresses |= {"nat_gateway": nat, "nat_data": nat, "public_ip": address(network.nat.public_ip)}
        outputs["nat_public_ip"] = (network.nat.public_ip.public_ip, "Address from which nodes reach the Internet")
    else:
        first = address(network.endpoints[0])
        addresses |= {"interface_endpoints": first, "interface_endpoint_data": first}
        outputs |= {
            "vpc_cidr": (network.vpc.cidr_block, "Address range of the network, which holds the private endpoints"),
            "s3_prefix_list_id": (
                network.s3_endpoint.prefix_list_id,
                "Prefix list of S3, for its gateway endpoint",
            ),
        }
        if network.dynamodb_endpoint:
            prefixes = network.dynamodb_endpoint.prefix_list_id
            outputs["dynamodb_prefix_list_id"] = (
                prefixes,
                "Prefix list of DynamoDB, for its gateway endpoint",
            )
    if network.flow_log:
        addresses |= {"flow_logs": address(network.flow_log.flow_log), "log_key": address(network.flow_log.key)}
    add_outputs(stack, outputs)
    return BuiltStack("network", stack, addresses)


def control_plane_outputs(zone: str, orchestrator: OrchestratorDefaults) -> tuple[str, str]:
    """Outputs of this stack with the two subnets of a Kubernetes control plane, whose nodes stand in `zone`."""
    if zone in orchestrator.no_control_plane_zones:
        return "control_plane_subnet_id", "second_control_plane_subnet_id"
    return COMPUTE_SUBNET, "control_plane_subnet_id"


def closed_network(plan: Plan, network: TerraformRemoteState) -> ClosedNetwork | None:
    """Destinations that nodes may reach in a network without access to the Internet; None where there is access."""
    if plan.spec.network.egress != "endpoints-only":
        return None
    return ClosedNetwork(
        vpc_cidr=network.get_string("vpc_cidr"),
        s3_prefix_list_id=network.get_string("s3_prefix_list_id"),
        dynamodb_prefix_list_id=network.get_string("dynamodb_prefix_list_id") if _uses_dynamodb(plan) else None,
    )


def _uses_dynamodb(plan: Plan) -> bool:
    """Whether nodes need a private way to DynamoDB, where ParallelCluster keeps the state of its nodes."""
    return plan.spec.network.egress == "endpoints-only" and plan.spec.orchestrator == "slurm"


def _subnets(plan: Plan, needed_addresses: int) -> Subnets:
    try:
        return cut(plan.spec.network.cidr, needed_addresses)
    except ValueError as error:
        raise SpecError(f"network.cidr: {error}") from error


def _control_plane_ranges(subnets: Subnets, zones: int) -> list[str]:
    try:
        return control_plane_ranges(subnets, zones)
    except ValueError as error:
        raise SpecError(f"network.cidr: {error}") from error
