"""Interface endpoints of AWS services, for a network without access to the Internet."""

from dataclasses import dataclass

from cdktf_cdktf_provider_aws.security_group import SecurityGroup
from cdktf_cdktf_provider_aws.vpc_endpoint import VpcEndpoint
from cdktf_cdktf_provider_aws.vpc_security_group_ingress_rule import VpcSecurityGroupIngressRule
from constructs import Construct

from cdk.naming import named


@dataclass(frozen=True)
class EndpointConfig:
    """Settings of the endpoints of a network."""

    name: str
    region: str
    vpc_id: str
    vpc_cidr: str
    subnet_id: str
    services: tuple[str, ...]
    """Names of services below com.amazonaws.<region>, such as `ssmmessages` or `ecr.api`."""


class InterfaceEndpoints(Construct):
    """An interface endpoint in the subnet of the nodes for every service, under the usual DNS name of the service."""

    def __init__(self, scope: Construct, construct_id: str, config: EndpointConfig) -> None:
        super().__init__(scope, construct_id)
        group = named(
            SecurityGroup(
                self,
                "group",
                name=f"{config.name}-endpoints",
                description=f"Private endpoints of cluster {config.name}",
                vpc_id=config.vpc_id,
                tags={"Name": f"{config.name}-endpoints"},
            ),
            "endpoints",
        )
        from_network = named(
            VpcSecurityGroupIngressRule(
                self,
                "from_network",
                description="HTTPS from the cluster's network",
                security_group_id=group.id,
                cidr_ipv4=config.vpc_cidr,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
            ),
            "endpoints_from_network",
        )
        self.endpoints = tuple(self._endpoint(config, service, group, from_network) for service in config.services)

    def _endpoint(
        self, config: EndpointConfig, service: str, group: SecurityGroup, rule: VpcSecurityGroupIngressRule
    ) -> VpcEndpoint:
        role = service.replace(".", "_").replace("-", "_")
        return named(
            VpcEndpoint(
                self,
                role,
                vpc_id=config.vpc_id,
                service_name=f"com.amazonaws.{config.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=[config.subnet_id],
                security_group_ids=[group.id],
                tags={"Name": f"{config.name}-{service}"},
                # As soon as the endpoint exists, the DNS name of the service leads to it for the whole network.
                depends_on=[rule],
            ),
            role,
        )
