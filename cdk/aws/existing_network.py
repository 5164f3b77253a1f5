"""An existing network of the user: it is looked up, and checked before anything is put into it (rules A4, A5)."""

import json
from dataclasses import dataclass
from typing import Final

from cdktf import Postcondition, TerraformResourceLifecycle
from cdktf_cdktf_provider_aws.data_aws_network_interfaces import (
    DataAwsNetworkInterfaces,
    DataAwsNetworkInterfacesFilter,
)
from cdktf_cdktf_provider_aws.data_aws_subnet import DataAwsSubnet
from cdktf_cdktf_provider_aws.data_aws_vpc import DataAwsVpc
from constructs import Construct

from cdk.aws.addresses import RESERVED_ADDRESSES
from cdk.naming import named

_SELF: Final = "self"


@dataclass(frozen=True)
class ExistingNetworkConfig:
    """The network to look up, and what the cluster needs of it."""

    name: str
    vpc_id: str
    subnet_id: str
    zone_id: str
    node_addresses: int
    """Addresses that the nodes need."""
    file_server_addresses: int
    interface_descriptions: tuple[str, ...]
    """Descriptions of a node's interfaces that have an address; interfaces of running nodes are found by them."""
    control_plane_subnet_id: str | None = None
    """A subnet in another zone, which the Kubernetes API needs; None without Kubernetes."""
    no_control_plane_zone_ids: tuple[str, ...] = ()
    """Zones in which EKS places no control plane."""


class ExistingNetwork(Construct):
    """Looks up VPC and subnet by id. The message of each condition names the field of the spec to change."""

    def __init__(self, scope: Construct, construct_id: str, config: ExistingNetworkConfig) -> None:
        super().__init__(scope, construct_id)
        self.vpc = named(
            DataAwsVpc(
                self,
                "vpc",
                id=config.vpc_id,
                lifecycle=_conditions(
                    (
                        f"{_SELF}.enable_dns_support && {_SELF}.enable_dns_hostnames",
                        f"network.vpc_id: {config.vpc_id} needs DNS support and DNS hostnames, because the shared file "
                        "system and private endpoints are reached by name. Turn both on in the VPC's settings.",
                    )
                ),
            ),
            "cluster",
        )
        running = named(
            DataAwsNetworkInterfaces(
                self,
                "interfaces",
                filter=[
                    DataAwsNetworkInterfacesFilter(name="subnet-id", values=[config.subnet_id]),
                    DataAwsNetworkInterfacesFilter(name="tag:cluster", values=[config.name]),
                    DataAwsNetworkInterfacesFilter(name="description", values=list(config.interface_descriptions)),
                ],
            ),
            "nodes",
        )
        needed = config.node_addresses + config.file_server_addresses
        size = f'pow(2, 32 - tonumber(split("/", {_SELF}.cidr_block)[1])) - {RESERVED_ADDRESSES}'
        # Addresses that running nodes of this cluster already have count as free.
        free = f"{_SELF}.available_ip_address_count + length({running.fqn}.ids)"
        self.compute_subnet = named(
            DataAwsSubnet(
                self,
                "subnet",
                id=config.subnet_id,
                lifecycle=_conditions(
                    (
                        f'{_SELF}.vpc_id == "{config.vpc_id}"',
                        f"network.subnet_id: {config.subnet_id} is not a subnet of {config.vpc_id} (network.vpc_id).",
                    ),
                    (
                        f'{_SELF}.availability_zone_id == "{config.zone_id}"',
                        f"network.subnet_id: {config.subnet_id} is not in zone {config.zone_id}, where the cluster is "
                        "planned. Name a subnet of that zone, or set placement.zone to the zone of this one.",
                    ),
                    (
                        f"{size} >= {needed}",
                        f"network.subnet_id: {config.subnet_id} is too small: nodes and file servers take {needed} "
                        "addresses. Name a larger subnet, or plan fewer nodes.",
                    ),
                    (
                        f"{free} >= {config.node_addresses}",
                        f"network.subnet_id: {config.subnet_id} has too few free addresses: the nodes take "
                        f"{config.node_addresses}. Free some, or name another subnet.",
                    ),
                ),
            ),
            "compute",
        )
        self.control_plane_subnet = (
            self._control_plane(config, config.control_plane_subnet_id) if config.control_plane_subnet_id else None
        )

    def _control_plane(self, config: ExistingNetworkConfig, subnet_id: str) -> DataAwsSubnet:
        return named(
            DataAwsSubnet(
                self,
                "control_plane",
                id=subnet_id,
                lifecycle=_conditions(
                    (
                        f'{_SELF}.vpc_id == "{config.vpc_id}"',
                        f"network.control_plane_subnet_id: {subnet_id} is not a subnet of {config.vpc_id}.",
                    ),
                    (
                        f'{_SELF}.availability_zone_id != "{config.zone_id}"',
                        f"network.control_plane_subnet_id: {subnet_id} is in the zone of the nodes; the Kubernetes API "
                        "asks for subnets in two zones. Name a subnet of another zone.",
                    ),
                    (
                        f"!contains({json.dumps(config.no_control_plane_zone_ids)}, {_SELF}.availability_zone_id)",
                        f"network.control_plane_subnet_id: {subnet_id} is in a zone where EKS places no control plane "
                        f"({', '.join(config.no_control_plane_zone_ids)}). Name a subnet of another zone.",
                    ),
                ),
            ),
            "control_plane",
        )


def _conditions(*rules: tuple[str, str]) -> TerraformResourceLifecycle:
    return TerraformResourceLifecycle(
        postcondition=[Postcondition(condition=f"${{{condition}}}", error_message=text) for condition, text in rules]
    )
