"""FSx for Lustre, with the security groups of its servers and of its clients."""

from dataclasses import dataclass
from typing import Final

from cdktf_cdktf_provider_aws.fsx_lustre_file_system import FsxLustreFileSystem
from cdktf_cdktf_provider_aws.security_group import SecurityGroup
from cdktf_cdktf_provider_aws.vpc_security_group_egress_rule import VpcSecurityGroupEgressRule
from cdktf_cdktf_provider_aws.vpc_security_group_ingress_rule import VpcSecurityGroupIngressRule
from constructs import Construct

from cdk.aws.naming import named

LUSTRE_PORTS: Final = ((988, 988), (1018, 1023))
"""TCP port ranges of Lustre (FSx for Lustre guide, "File system access control with Amazon VPC")."""
LUSTRE_VERSION: Final = "2.15"
"""Amazon Linux 2023 clients need servers of 2.12 or newer, and SCRATCH_2 would start with 2.10 (FSx for Lustre guide,
"Lustre client compatibility")."""


@dataclass(frozen=True)
class LustreConfig:
    """What a file system needs to know."""

    name: str
    vpc_id: str
    subnet_id: str
    deployment_type: str
    """SCRATCH_2, PERSISTENT_1 or PERSISTENT_2."""
    size_gib: int
    throughput_mb_per_s_per_tib: int
    """Of persistent types; a scratch file system has one throughput."""
    kms_key_arn: str
    """Of persistent types; a scratch file system is encrypted with a key of the service."""
    protect: bool

    @property
    def persistent(self) -> bool:
        """Whether the data survives the failure of a file server."""
        return self.deployment_type.startswith("PERSISTENT")


class SharedFileSystem(Construct):
    """A file system that members of its client group can mount, and nobody else."""

    def __init__(self, scope: Construct, construct_id: str, config: LustreConfig) -> None:
        super().__init__(scope, construct_id)
        self.servers = self._group("shared", config, "File servers of the shared file system")
        self.clients = self._group("shared_clients", config, "Nodes that mount the shared file system")

        rules = [
            *self._both_ways("shared", self.servers, "peers", self.servers),
            *self._both_ways("shared", self.servers, "clients", self.clients),
            *self._both_ways("shared_clients", self.clients, "servers", self.servers),
        ]
        self.file_system = named(
            FsxLustreFileSystem(
                self,
                "file_system",
                deployment_type=config.deployment_type,
                storage_type="SSD",
                storage_capacity=config.size_gib,
                per_unit_storage_throughput=config.throughput_mb_per_s_per_tib if config.persistent else None,
                file_system_type_version=LUSTRE_VERSION,
                data_compression_type="LZ4",
                kms_key_id=config.kms_key_arn if config.persistent else None,
                subnet_ids=[config.subnet_id],
                security_group_ids=[self.servers.id],
                tags={"Name": config.name},
                lifecycle={"prevent_destroy": True} if config.protect else None,
                # FSx refuses to create a file system whose servers may not yet talk to each other.
                depends_on=rules,
            ),
            "shared",
        )

    def _group(self, role: str, config: LustreConfig, description: str) -> SecurityGroup:
        name = f"{config.name}-{role.replace('_', '-')}"
        return named(
            SecurityGroup(self, role, name=name, description=description, vpc_id=config.vpc_id, tags={"Name": name}),
            role,
        )

    def _both_ways(
        self, role: str, group: SecurityGroup, peer_role: str, peer: SecurityGroup
    ) -> list[VpcSecurityGroupIngressRule | VpcSecurityGroupEgressRule]:
        rules: list[VpcSecurityGroupIngressRule | VpcSecurityGroupEgressRule] = []
        for first, last in LUSTRE_PORTS:
            ports = str(first) if first == last else f"{first}_{last}"
            incoming, outgoing = f"{role}_from_{peer_role}_{ports}", f"{role}_to_{peer_role}_{ports}"
            rules.append(
                named(
                    VpcSecurityGroupIngressRule(
                        self,
                        f"{incoming}_in",
                        description=f"Lustre from {peer_role}",
                        security_group_id=group.id,
                        referenced_security_group_id=peer.id,
                        ip_protocol="tcp",
                        from_port=first,
                        to_port=last,
                    ),
                    incoming,
                )
            )
            rules.append(
                named(
                    VpcSecurityGroupEgressRule(
                        self,
                        f"{outgoing}_out",
                        description=f"Lustre to {peer_role}",
                        security_group_id=group.id,
                        referenced_security_group_id=peer.id,
                        ip_protocol="tcp",
                        from_port=first,
                        to_port=last,
                    ),
                    outgoing,
                )
            )
        return rules
