"""The fabric between nodes: the placement group of a gang, and the security group that lets EFA traffic through."""

from collections.abc import Sequence
from dataclasses import dataclass

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup
from cdktf_cdktf_provider_aws.security_group import SecurityGroup
from cdktf_cdktf_provider_aws.vpc_security_group_egress_rule import VpcSecurityGroupEgressRule
from cdktf_cdktf_provider_aws.vpc_security_group_ingress_rule import VpcSecurityGroupIngressRule
from constructs import Construct

from cdk.naming import named


def gang_placement(scope: Construct, name: str) -> PlacementGroup:
    """Adds the placement group that keeps the nodes of a gang close together in the network (rule A5)."""
    return named(PlacementGroup(scope, "placement", name=name, strategy="cluster"), "gang")


@dataclass(frozen=True)
class ClosedNetwork:
    """Destinations of HTTPS in a network without access to the Internet."""

    vpc_cidr: str
    """Address range of the private endpoints."""
    s3_prefix_list_id: str
    dynamodb_prefix_list_id: str | None = None
    """Prefix list of DynamoDB; None if nodes do not use it."""


class NodeSecurityGroup(Construct):
    """Security group of nodes: all traffic among them, HTTPS to the outside, nothing from outside (rules A1, A17)."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        vpc_id: str,
        closed: ClosedNetwork | None = None,
        connected_cidrs: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        self.group = named(
            SecurityGroup(
                self,
                "group",
                name=f"{name}-nodes",
                description=f"Nodes of cluster {name}",
                vpc_id=vpc_id,
                tags={"Name": f"{name}-nodes"},
            ),
            "nodes",
        )
        # EFA traffic is dropped unless the group allows all traffic to and from itself.
        from_nodes = named(
            VpcSecurityGroupIngressRule(
                self,
                "from_nodes",
                description="All traffic from other nodes, EFA included",
                security_group_id=self.group.id,
                referenced_security_group_id=self.group.id,
                ip_protocol="-1",
            ),
            "from_nodes",
        )
        to_nodes = named(
            VpcSecurityGroupEgressRule(
                self,
                "to_nodes",
                description="All traffic to other nodes, EFA included",
                security_group_id=self.group.id,
                referenced_security_group_id=self.group.id,
                ip_protocol="-1",
            ),
            "to_nodes",
        )
        connected = [self._to_connected(cidr) for cidr in connected_cidrs]
        self.rules: tuple[ITerraformDependable, ...] = (from_nodes, to_nodes, *self._outside(closed), *connected)
        """Rules that must exist before nodes start: they need the network as soon as they boot."""

    def _outside(self, closed: ClosedNetwork | None) -> list[VpcSecurityGroupEgressRule]:
        if closed is None:
            description = "HTTPS to AWS APIs, package and container registries"
            return [self._https("to_https", description, cidr_ipv4="0.0.0.0/0")]
        rules = [
            self._https("to_endpoints", "HTTPS to the private endpoints", cidr_ipv4=closed.vpc_cidr),
            self._https("to_s3", "HTTPS to S3 through its gateway", prefix_list_id=closed.s3_prefix_list_id),
        ]
        if closed.dynamodb_prefix_list_id:
            description = "HTTPS to DynamoDB through its gateway"
            rules.append(self._https("to_dynamodb", description, prefix_list_id=closed.dynamodb_prefix_list_id))
        return rules

    def _to_connected(self, cidr: str) -> VpcSecurityGroupEgressRule:
        # Named by content: a range that is added or removed leaves the rules of the others alone.
        role = f"to_{cidr.replace('.', '_').replace('/', '_')}"
        return named(
            VpcSecurityGroupEgressRule(
                self,
                role,
                description="All traffic to a connected network",
                security_group_id=self.group.id,
                cidr_ipv4=cidr,
                ip_protocol="-1",
            ),
            role,
        )

    def _https(
        self, name: str, description: str, *, cidr_ipv4: str | None = None, prefix_list_id: str | None = None
    ) -> VpcSecurityGroupEgressRule:
        return named(
            VpcSecurityGroupEgressRule(
                self,
                name,
                description=description,
                security_group_id=self.group.id,
                cidr_ipv4=cidr_ipv4,
                prefix_list_id=prefix_list_id,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
            ),
            name,
        )
