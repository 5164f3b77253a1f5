"""The network stack."""

from collections.abc import Mapping
from typing import Final

from cdktf import App

from cdk.azure.addresses import AddressPlan
from cdk.azure.network import NetworkConfig, cluster_network
from cdk.naming import address
from planner.plan.plan import Plan
from stacks.azure.base import add_output, new_stack
from stacks.clouds import BuiltStack

SUBNETS: Final = {
    "compute": "Subnet of the nodes",
    "lustre": "Subnet of the shared file system, which nothing else may use",
    "endpoints": "Subnet of private endpoints",
}
"""Descriptions of the outputs, by role of the subnet."""


def network_stack(app: App, plan: Plan, addresses: AddressPlan, tags: Mapping[str, str]) -> BuiltStack:
    """Adds the network of `plan` to `app`."""
    stack = new_stack(app, plan, "network")
    network = cluster_network(
        stack,
        NetworkConfig(
            cluster=plan.name,
            region=plan.choice.region,
            zone=plan.choice.zone,
            addresses=addresses,
            tags=tags,
        ),
    )
    add_output(stack, "resource_group_name", network.resource_group.name, "Resource group of the whole cluster")
    for role, subnet in network.subnets.items():
        add_output(stack, f"{role}_subnet_id", subnet.id, SUBNETS[role], after=network.egress_resources)
    add_output(
        stack, "blob_dns_zone_id", network.blob_dns_zone.id, "DNS zone in which private endpoints of blobs register"
    )
    add_output(stack, "nat_public_ip", network.nat_public_ip.ip_address, "Address from which nodes reach the Internet")
    nat = address(network.nat_gateway)
    return BuiltStack(
        "network",
        stack,
        {
            "nat_gateway": nat,
            "nat_data": nat,
            "public_ip": address(network.nat_public_ip),
            "private_dns_zone": address(network.blob_dns_zone),
        },
    )
