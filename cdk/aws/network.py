"""The network of a cluster: one zone, private nodes, and either a NAT gateway or private endpoints only."""

from dataclasses import dataclass
from typing import Literal

from cdktf import TerraformResource
from cdktf_cdktf_provider_aws.default_security_group import DefaultSecurityGroup
from cdktf_cdktf_provider_aws.eip import Eip
from cdktf_cdktf_provider_aws.internet_gateway import InternetGateway
from cdktf_cdktf_provider_aws.nat_gateway import NatGateway
from cdktf_cdktf_provider_aws.route import Route
from cdktf_cdktf_provider_aws.route_table import RouteTable
from cdktf_cdktf_provider_aws.route_table_association import RouteTableAssociation
from cdktf_cdktf_provider_aws.subnet import Subnet
from cdktf_cdktf_provider_aws.vpc import Vpc
from cdktf_cdktf_provider_aws.vpc_endpoint import VpcEndpoint
from constructs import Construct

from cdk.aws.account import account_id, partition
from cdk.aws.addresses import Subnets
from cdk.aws.endpoints import EndpointConfig, InterfaceEndpoints
from cdk.aws.flow_logs import FlowLogConfig, NetworkFlowLog
from cdk.aws.s3_endpoint_policy import s3_endpoint_policy
from cdk.findings import accept
from cdk.naming import named


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of a network."""

    name: str
    region: str
    zone_id: str
    """Zone *id* (`use1-az6`): zone names mean different places in different accounts."""
    subnets: Subnets
    egress: Literal["nat", "endpoints-only"] = "nat"
    endpoint_services: tuple[str, ...] = ()
    """Services reached by private endpoints under `endpoints-only`: names below com.amazonaws.<region>."""
    dynamodb: bool = False
    """Whether nodes reach DynamoDB through a gateway endpoint."""
    signals: bool = False
    """Whether nodes send signals to CloudFormation through S3, as those of ParallelCluster do."""
    flow_log_days: int | None = None
    """Days for which flow logs are kept; None: there are none."""


@dataclass(frozen=True)
class Nat:
    """The NAT gateway and its routes."""

    gateway: NatGateway
    public_ip: Eip
    routes: tuple[TerraformResource, ...]
    """Routes from the nodes to the gateway, and from the gateway to the Internet."""


class ClusterNetwork(Construct):
    """A VPC with a private subnet for nodes and file servers and, for NAT, a public one that holds only the gateway.

    Both subnets are in one Availability Zone (rule A5): a gang does not work across zones, and traffic through a NAT
    gateway in another zone would be billed twice.
    """

    def __init__(self, scope: Construct, construct_id: str, config: NetworkConfig) -> None:
        super().__init__(scope, construct_id)
        name = config.name

        self.vpc = named(
            Vpc(
                self,
                "vpc",
                cidr_block=config.subnets.network,
                enable_dns_support=True,
                enable_dns_hostnames=True,
                tags={"Name": name},
            ),
            "cluster",
        )
        # The default group has no rules, so that whatever starts without another group cannot communicate.
        named(DefaultSecurityGroup(self, "closed", vpc_id=self.vpc.id, tags={"Name": f"{name}-unused"}), "closed")

        self.compute_subnet = self._subnet("compute", config, config.subnets.compute)
        compute_routes, joined = self._route_table("compute", name, self.compute_subnet)
        self.nat = self._nat(config, compute_routes) if config.egress == "nat" else None
        # Checkpoints and weights use this endpoint, free of charge, instead of the NAT gateway.
        allowed = s3_endpoint_policy(
            config.region, partition(self), account_id(self), config.egress, signals=config.signals
        )
        self.s3_endpoint = self._gateway("s3", config, compute_routes, policy=allowed)
        self.dynamodb_endpoint = self._gateway("dynamodb", config, compute_routes) if config.dynamodb else None
        self.endpoints = self._endpoints(config) if config.egress == "endpoints-only" else ()
        gateways = (self.s3_endpoint, *((self.dynamodb_endpoint,) if self.dynamodb_endpoint else ()))
        self.egress_resources: tuple[TerraformResource, ...] = (
            joined,
            *(self.nat.routes if self.nat else ()),
            *gateways,
            *self.endpoints,
        )
        """Resources that must exist before a node starts in the subnet, because it needs them at its first boot."""
        self.flow_log = self._flow_log(config, config.flow_log_days) if config.flow_log_days else None
        if not self.flow_log:
            accept(self.vpc, CKV2_AWS_11="the spec turns flow logs off")

    def _gateway(
        self, service: str, config: NetworkConfig, routes: RouteTable, *, policy: str | None = None
    ) -> VpcEndpoint:
        return named(
            VpcEndpoint(
                self,
                service,
                vpc_id=self.vpc.id,
                service_name=f"com.amazonaws.{config.region}.{service}",
                vpc_endpoint_type="Gateway",
                policy=policy,
                route_table_ids=[routes.id],
                tags={"Name": f"{config.name}-{service}"},
            ),
            service,
        )

    def _nat(self, config: NetworkConfig, compute_routes: RouteTable) -> Nat:
        name = config.name
        public_subnet = self._subnet("public", config, config.subnets.public)
        internet = named(
            InternetGateway(self, "internet", vpc_id=self.vpc.id, tags={"Name": name}),
            "cluster",
        )
        public_routes, public_joined = self._route_table("public", name, public_subnet)
        to_internet = named(
            Route(
                self,
                "public_route",
                route_table_id=public_routes.id,
                destination_cidr_block="0.0.0.0/0",
                gateway_id=internet.id,
            ),
            "public_internet",
        )

        public_ip = named(Eip(self, "nat_ip", domain="vpc", tags={"Name": f"{name}-nat"}, depends_on=[internet]), "nat")
        gateway = named(
            NatGateway(
                self,
                "nat",
                allocation_id=public_ip.id,
                subnet_id=public_subnet.id,
                tags={"Name": name},
                depends_on=[internet],
            ),
            "cluster",
        )

        to_gateway = named(
            Route(
                self,
                "compute_route",
                route_table_id=compute_routes.id,
                destination_cidr_block="0.0.0.0/0",
                nat_gateway_id=gateway.id,
            ),
            "compute_nat",
        )
        return Nat(gateway, public_ip, (to_gateway, public_joined, to_internet))

    def _endpoints(self, config: NetworkConfig) -> tuple[VpcEndpoint, ...]:
        return InterfaceEndpoints(
            self,
            "endpoints",
            EndpointConfig(
                name=config.name,
                region=config.region,
                vpc_id=self.vpc.id,
                vpc_cidr=self.vpc.cidr_block,
                subnet_id=self.compute_subnet.id,
                services=config.endpoint_services,
            ),
        ).endpoints

    def _flow_log(self, config: NetworkConfig, retention_days: int) -> NetworkFlowLog:
        return NetworkFlowLog(
            self,
            "flow_logs",
            FlowLogConfig(name=config.name, region=config.region, vpc_id=self.vpc.id, retention_days=retention_days),
        )

    def _subnet(self, role: str, config: NetworkConfig, cidr: str) -> Subnet:
        return named(
            Subnet(
                self,
                f"{role}_subnet",
                vpc_id=self.vpc.id,
                cidr_block=cidr,
                availability_zone_id=config.zone_id,
                map_public_ip_on_launch=False,
                tags={"Name": f"{config.name}-{role}"},
            ),
            role,
        )

    def _route_table(self, role: str, name: str, subnet: Subnet) -> tuple[RouteTable, RouteTableAssociation]:
        table = named(
            RouteTable(self, f"{role}_routes", vpc_id=self.vpc.id, tags={"Name": f"{name}-{role}"}),
            role,
        )
        joined = named(
            RouteTableAssociation(self, f"{role}_association", subnet_id=subnet.id, route_table_id=table.id),
            role,
        )
        return table, joined
