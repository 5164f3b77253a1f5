"""Virtual network of a cluster: private subnets, a NAT gateway, and no access from the Internet."""

from collections.abc import Mapping
from dataclasses import dataclass

from cdktf import TerraformResource
from cdktf_cdktf_provider_azurerm.nat_gateway import NatGateway
from cdktf_cdktf_provider_azurerm.nat_gateway_public_ip_association import NatGatewayPublicIpAssociation
from cdktf_cdktf_provider_azurerm.network_security_group import NetworkSecurityGroup
from cdktf_cdktf_provider_azurerm.network_security_rule import NetworkSecurityRule
from cdktf_cdktf_provider_azurerm.private_dns_zone import PrivateDnsZone
from cdktf_cdktf_provider_azurerm.private_dns_zone_virtual_network_link import PrivateDnsZoneVirtualNetworkLink
from cdktf_cdktf_provider_azurerm.public_ip import PublicIp
from cdktf_cdktf_provider_azurerm.resource_group import ResourceGroup
from cdktf_cdktf_provider_azurerm.subnet import Subnet
from cdktf_cdktf_provider_azurerm.subnet_nat_gateway_association import SubnetNatGatewayAssociation
from cdktf_cdktf_provider_azurerm.subnet_network_security_group_association import (
    SubnetNetworkSecurityGroupAssociation,
)
from cdktf_cdktf_provider_azurerm.virtual_network import VirtualNetwork
from constructs import Construct

from cdk.azure.addresses import AddressPlan
from cdk.naming import named


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of the network."""

    cluster: str
    region: str
    zone: str | None
    """Zone of the nodes; NAT gateway and public address are in it too, so that traffic does not cross zones."""
    addresses: AddressPlan
    tags: Mapping[str, str]


@dataclass(frozen=True)
class ClusterNetwork:
    """Resources to which other stacks refer."""

    resource_group: ResourceGroup
    subnets: dict[str, Subnet]
    """Subnets by role: compute, endpoints and, with a shared file system, lustre."""
    nat_gateway: NatGateway
    nat_public_ip: PublicIp
    blob_dns_zone: PrivateDnsZone
    egress_resources: tuple[TerraformResource, ...]
    """Resources that must exist before anything starts in a subnet: NAT, security group, DNS of private blobs."""


def cluster_network(scope: Construct, config: NetworkConfig) -> ClusterNetwork:
    """Adds resource group, virtual network, subnets, security group, NAT gateway and the DNS zone of private blobs."""
    tags = dict(config.tags)
    group = ResourceGroup(scope, "cluster", name=f"rg-{config.cluster}", location=config.region, tags=tags)
    network = named(
        VirtualNetwork(
            scope,
            "network",
            name=f"vnet-{config.cluster}",
            resource_group_name=group.name,
            location=group.location,
            address_space=[config.addresses.network],
            tags=tags,
        ),
        "cluster",
    )
    subnets = _subnets(scope, config, group, network)
    secured = _security(scope, config, group, subnets)
    nat, address, routed = _egress(scope, config, group, subnets)
    zone, link = _private_blobs(scope, group, network, tags)
    return ClusterNetwork(group, subnets, nat, address, zone, (*secured, *routed, link))


def _subnets(
    scope: Construct, config: NetworkConfig, group: ResourceGroup, network: VirtualNetwork
) -> dict[str, Subnet]:
    addresses = config.addresses
    blocks = {"compute": addresses.compute, "lustre": addresses.lustre, "endpoints": addresses.endpoints}
    return {
        role: Subnet(
            scope,
            role,
            name=f"snet-{role}",
            resource_group_name=group.name,
            virtual_network_name=network.name,
            address_prefixes=[block],
            # Outbound traffic uses the NAT gateway alone, never an address that Azure chooses.
            default_outbound_access_enabled=False,
            # Without this, the security group would not apply to private endpoints.
            private_endpoint_network_policies="Enabled" if role == "endpoints" else None,
        )
        for role, block in blocks.items()
        if block is not None
    }


def _security(
    scope: Construct, config: NetworkConfig, group: ResourceGroup, subnets: Mapping[str, Subnet]
) -> list[SubnetNetworkSecurityGroupAssociation]:
    security = named(
        NetworkSecurityGroup(
            scope,
            "security_group",
            name=f"nsg-{config.cluster}",
            resource_group_name=group.name,
            location=group.location,
            tags=dict(config.tags),
        ),
        "cluster",
    )
    NetworkSecurityRule(
        scope,
        "allow_cluster_inbound",
        name="AllowClusterInbound",
        description="Nodes, file servers and private endpoints of the cluster reach each other on every port",
        resource_group_name=group.name,
        network_security_group_name=security.name,
        priority=100,
        direction="Inbound",
        access="Allow",
        protocol="*",
        source_address_prefix=config.addresses.network,
        source_port_range="*",
        destination_address_prefix=config.addresses.network,
        destination_port_range="*",
    )
    NetworkSecurityRule(
        scope,
        "deny_internet_inbound",
        name="DenyInternetInbound",
        description="Nothing comes in from the Internet; the NAT gateway carries replies to what went out",
        resource_group_name=group.name,
        network_security_group_name=security.name,
        priority=4000,
        direction="Inbound",
        access="Deny",
        protocol="*",
        source_address_prefix="Internet",
        source_port_range="*",
        destination_address_prefix="*",
        destination_port_range="*",
    )
    return [
        named(
            SubnetNetworkSecurityGroupAssociation(
                scope, f"{role}_security", subnet_id=subnet.id, network_security_group_id=security.id
            ),
            role,
        )
        for role, subnet in subnets.items()
    ]


def _egress(
    scope: Construct, config: NetworkConfig, group: ResourceGroup, subnets: Mapping[str, Subnet]
) -> tuple[NatGateway, PublicIp, list[TerraformResource]]:
    tags = dict(config.tags)
    zones = None if config.zone is None else [config.zone]
    address = PublicIp(
        scope,
        "nat",
        name=f"pip-{config.cluster}-nat",
        resource_group_name=group.name,
        location=group.location,
        sku="Standard",
        allocation_method="Static",
        zones=zones,
        tags=tags,
    )
    nat = named(
        NatGateway(
            scope,
            "nat_gateway",
            name=f"ng-{config.cluster}",
            resource_group_name=group.name,
            location=group.location,
            sku_name="Standard",
            zones=zones,
            tags=tags,
        ),
        "cluster",
    )
    has_address = named(
        NatGatewayPublicIpAssociation(scope, "nat_address", nat_gateway_id=nat.id, public_ip_address_id=address.id),
        "cluster",
    )
    # The servers of Managed Lustre report to Azure services outside the network, so that their subnet needs NAT too.
    routed = [
        named(
            SubnetNatGatewayAssociation(scope, f"{role}_egress", subnet_id=subnets[role].id, nat_gateway_id=nat.id),
            role,
        )
        for role in ("compute", "lustre")
        if role in subnets
    ]
    return nat, address, [has_address, *routed]


def _private_blobs(
    scope: Construct, group: ResourceGroup, network: VirtualNetwork, tags: dict[str, str]
) -> tuple[PrivateDnsZone, PrivateDnsZoneVirtualNetworkLink]:
    # Private Link prescribes the name of the zone (learn.microsoft.com, private endpoint DNS).
    zone = PrivateDnsZone(
        scope, "blob", name="privatelink.blob.core.windows.net", resource_group_name=group.name, tags=tags
    )
    link = named(
        PrivateDnsZoneVirtualNetworkLink(
            scope,
            "blob_link",
            name="link-cluster",
            resource_group_name=group.name,
            private_dns_zone_name=zone.name,
            virtual_network_id=network.id,
            registration_enabled=False,
            tags=tags,
        ),
        "blob",
    )
    return zone, link
