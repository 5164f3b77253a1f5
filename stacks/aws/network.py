"""The network stack."""

import re
from typing import Final

from cdktf import App

from cdk.aws.addresses import Subnets, control_plane_range, cut
from cdk.aws.control_plane_subnet import ControlPlaneSubnet
from cdk.aws.interfaces import Interface
from cdk.aws.naming import address
from cdk.aws.network import ClusterNetwork, NetworkConfig
from planner.errors import SpecError
from planner.plan import Plan
from provider_catalog.catalog import Catalog
from stacks.aws.base import add_outputs, new_stack
from stacks.clouds import BuiltStack

GIB_PER_FILE_SERVER: Final = 1200
"""Room kept in the subnet: an address for each smallest file system's worth of storage. AWS states no count of
interfaces per file system, and this is its finest unit."""

ADDRESSES_OF_PODS: Final = 32
"""Of a Kubernetes node: a prefix of 16 in use and one held ready (VPC CNI, WARM_PREFIX_TARGET=1). GPU nodes run few
pods."""

ZONE_ID: Final = re.compile(r"[a-z]+\d+(-[a-z]+\d+)?-az\d+")
"""`use1-az6`, and with a Local Zone in the middle (AWS Regions and Availability Zones guide, "AZ IDs")."""


def network_stack(app: App, plan: Plan, catalog: Catalog, node_interfaces: tuple[Interface, ...]) -> BuiltStack:
    """Adds the network of `plan` to `app`.

    Raises:
        SpecError: the network range is too small, or the zone is not one of AWS.
    """
    subnets = _subnets(plan, node_interfaces)
    stack = new_stack(app, plan, "network")
    network = ClusterNetwork(
        stack,
        "network",
        NetworkConfig(name=plan.name, region=plan.choice.region, zone_id=_zone_id(plan, catalog), subnets=subnets),
    )
    outputs: dict[str, tuple[object, str]] = {}
    if plan.spec.orchestrator == "kubernetes":
        other = ControlPlaneSubnet(
            stack,
            "control_plane",
            name=plan.name,
            vpc_id=network.vpc.id,
            cidr=_control_plane_range(subnets),
            compute_zone_id=_zone_id(plan, catalog),
        )
        outputs["control_plane_subnet_id"] = (other.subnet.id, "Subnet of the Kubernetes API in a second zone")
    add_outputs(
        stack,
        outputs
        | {
            "vpc_id": (network.vpc.id, "VPC of the cluster"),
            "compute_subnet_id": (network.compute_subnet.id, "Private subnet of nodes and file servers"),
            "availability_zone": (
                network.compute_subnet.availability_zone,
                "Zone of the cluster, by the name it has in this account",
            ),
            "nat_public_ip": (network.public_ip.public_ip, "Address from which nodes reach the Internet"),
        },
    )
    nat = address(network.nat_gateway)
    return BuiltStack("network", stack, {"nat_gateway": nat, "nat_data": nat, "public_ip": address(network.public_ip)})


def _zone_id(plan: Plan, catalog: Catalog) -> str:
    region = plan.choice.region
    zone = plan.choice.zone or catalog.provider_defaults("aws").default_zones.get(region)
    if zone is None:
        raise SpecError(
            f"placement.zone: none given, and no default is known for region {region}; give a zone id such as use1-az6 "
            "(aws ec2 describe-availability-zones prints them as ZoneId)"
        )
    if not ZONE_ID.fullmatch(zone):
        raise SpecError(
            f"placement.zone: {zone!r} is not an AWS zone id; ids look like use1-az6. Names such as us-east-1a are not "
            "taken, because they mean different places in different accounts"
        )
    return zone


def _subnets(plan: Plan, node_interfaces: tuple[Interface, ...]) -> Subnets:
    addresses_per_node = sum(interface.has_address for interface in node_interfaces)
    if plan.spec.orchestrator == "kubernetes":
        addresses_per_node += ADDRESSES_OF_PODS
    storage = plan.choice.shared_storage
    # One more for the metadata server.
    file_servers = -(-storage.size_gib // GIB_PER_FILE_SERVER) + 1 if storage else 0
    try:
        return cut(plan.spec.network.cidr, plan.choice.nodes * addresses_per_node + file_servers)
    except ValueError as error:
        raise SpecError(f"network.cidr: {error}") from error


def _control_plane_range(subnets: Subnets) -> str:
    try:
        return control_plane_range(subnets)
    except ValueError as error:
        raise SpecError(f"network.cidr: {error}") from error
