"""FSx for Lustre file systems, with the security groups of their servers and clients."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from cdktf_cdktf_provider_aws.fsx_data_repository_association import (
    FsxDataRepositoryAssociation,
    FsxDataRepositoryAssociationS3,
    FsxDataRepositoryAssociationS3AutoExportPolicy,
    FsxDataRepositoryAssociationS3AutoImportPolicy,
)
from cdktf_cdktf_provider_aws.fsx_lustre_file_system import (
    FsxLustreFileSystem,
    FsxLustreFileSystemMetadataConfiguration,
)
from cdktf_cdktf_provider_aws.security_group import SecurityGroup
from cdktf_cdktf_provider_aws.vpc_security_group_egress_rule import VpcSecurityGroupEgressRule
from cdktf_cdktf_provider_aws.vpc_security_group_ingress_rule import VpcSecurityGroupIngressRule
from constructs import Construct

from cdk.findings import accept
from cdk.naming import content_name, named

_PolicyT = TypeVar(
    "_PolicyT", FsxDataRepositoryAssociationS3AutoExportPolicy, FsxDataRepositoryAssociationS3AutoImportPolicy
)

LUSTRE_PORTS: Final = ((988, 988), (1018, 1023))
"""TCP port ranges of Lustre (FSx for Lustre guide, "File system access control with Amazon VPC")."""
LUSTRE_VERSION: Final = "2.15"
"""Lustre version of the servers. Clients on Amazon Linux 2023 need 2.12 or newer, and the default of SCRATCH_2 is 2.10
(FSx for Lustre guide, "Lustre client compatibility")."""
BACKUP_TIME: Final = "03:00"
"""Time of day (UTC) at which daily backups start; FSx has no default that a plan could show."""


@dataclass(frozen=True)
class RepositoryConfig:
    """A bucket whose objects appear as files."""

    bucket: str
    """`s3://bucket` or `s3://bucket/prefix`."""
    path: str
    import_events: tuple[str, ...]
    export_events: tuple[str, ...]


@dataclass(frozen=True)
class LustreConfig:
    """Settings of a file system."""

    name: str
    vpc_id: str
    subnet_id: str
    deployment_type: str
    """SCRATCH_2, PERSISTENT_1 or PERSISTENT_2."""
    size_gib: int
    throughput_mb_per_s_per_tib: int
    """Throughput of persistent types; that of a scratch file system is fixed."""
    kms_key_arn: str
    """Key of persistent types; a scratch file system is encrypted with a key of the service."""
    protect: bool
    compression: Literal["lz4", "none"] = "lz4"
    metadata_iops: int | None = None
    """Metadata IOPS of PERSISTENT_2; None: those that come with the size."""
    efa: bool = False
    """Whether clients reach the servers over EFA; for PERSISTENT_2."""
    backup_days: int = 0
    """Days for which backups of persistent types are kept; 0: there are no backups."""
    repositories: tuple[RepositoryConfig, ...] = ()

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
        accept(self.clients, CKV2_AWS_5="the nodes, which another stack starts, are its members")

        # EFA traffic is not TCP: only rules for all traffic let it pass, and only those that refer to a group.
        ports = () if config.efa else LUSTRE_PORTS
        rules = [
            *self._both_ways("shared", self.servers, "peers", self.servers, ports),
            *self._both_ways("shared", self.servers, "clients", self.clients, ports),
            *self._both_ways("shared_clients", self.clients, "servers", self.servers, ports),
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
                data_compression_type=config.compression.upper(),
                efa_enabled=True if config.efa else None,
                metadata_configuration=self._metadata(config),
                automatic_backup_retention_days=config.backup_days or None,
                daily_automatic_backup_start_time=BACKUP_TIME if config.backup_days else None,
                copy_tags_to_backups=True if config.backup_days else None,
                kms_key_id=config.kms_key_arn if config.persistent else None,
                subnet_ids=[config.subnet_id],
                security_group_ids=[self.servers.id],
                tags={"Name": config.name},
                lifecycle=_lifecycle(config),
                # FSx refuses to create a file system whose servers cannot reach each other yet.
                depends_on=rules,
            ),
            "shared",
        )

        if not config.persistent:
            accept(self.file_system, CKV_AWS_190="scratch file systems accept no customer key")
        self.repositories = [
            self._repository(number, repository) for number, repository in enumerate(config.repositories)
        ]

    def _metadata(self, config: LustreConfig) -> FsxLustreFileSystemMetadataConfiguration | None:
        if config.metadata_iops is not None:
            return FsxLustreFileSystemMetadataConfiguration(mode="USER_PROVISIONED", iops=config.metadata_iops)
        # EFA needs a metadata configuration, even if it is the automatic one.
        return FsxLustreFileSystemMetadataConfiguration(mode="AUTOMATIC") if config.efa else None

    def _repository(self, number: int, repository: RepositoryConfig) -> FsxDataRepositoryAssociation:
        # A folder has one bucket at most: with another one, the same association is replaced, in the right order.
        name = content_name("repository", repository.path)
        association = named(
            FsxDataRepositoryAssociation(
                self,
                name,
                file_system_id=self.file_system.id,
                data_repository_path=repository.bucket,
                file_system_path=repository.path,
                batch_import_meta_data_on_create=True,
                # Bucket and folder keep their contents when the association is removed.
                delete_data_in_filesystem=False,
                s3=FsxDataRepositoryAssociationS3(
                    auto_import_policy=_policy(
                        repository.import_events, FsxDataRepositoryAssociationS3AutoImportPolicy
                    ),
                    auto_export_policy=_policy(
                        repository.export_events, FsxDataRepositoryAssociationS3AutoExportPolicy
                    ),
                ),
            ),
            name,
        )
        # Earlier versions named it by its position.
        association.move_from_id(f"{association.terraform_resource_type}.repository_{number}")
        return association

    def _group(self, role: str, config: LustreConfig, description: str) -> SecurityGroup:
        name = f"{config.name}-{role.replace('_', '-')}"
        return named(
            SecurityGroup(self, role, name=name, description=description, vpc_id=config.vpc_id, tags={"Name": name}),
            role,
        )

    def _both_ways(
        self,
        role: str,
        group: SecurityGroup,
        peer_role: str,
        peer: SecurityGroup,
        port_ranges: tuple[tuple[int, int], ...],
    ) -> list[VpcSecurityGroupIngressRule | VpcSecurityGroupEgressRule]:
        """Adds rules for traffic from and to `peer`: on `port_ranges` of TCP, or for all traffic if there are none."""
        rules: list[VpcSecurityGroupIngressRule | VpcSecurityGroupEgressRule] = []
        for ports in port_ranges or (None,):
            first, last = ports or (None, None)
            suffix = "all" if first is None else str(first) if first == last else f"{first}_{last}"
            incoming, outgoing = f"{role}_from_{peer_role}_{suffix}", f"{role}_to_{peer_role}_{suffix}"
            protocol = "-1" if first is None else "tcp"
            rules.append(
                named(
                    VpcSecurityGroupIngressRule(
                        self,
                        f"{incoming}_in",
                        description=f"Lustre from {peer_role}",
                        security_group_id=group.id,
                        referenced_security_group_id=peer.id,
                        ip_protocol=protocol,
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
                        ip_protocol=protocol,
                        from_port=first,
                        to_port=last,
                    ),
                    outgoing,
                )
            )
        return rules


def _lifecycle(config: LustreConfig) -> dict[str, Any] | None:
    # FSx takes the copying of tags at creation only, and the provider would replace a file system that gets backups
    # later. Its backups then carry no tags.
    kept = {"ignore_changes": ["copy_tags_to_backups"]} if config.persistent else {}
    protected = {"prevent_destroy": True} if config.protect else {}
    return {**kept, **protected} or None


def _policy(events: tuple[str, ...], policy: type[_PolicyT]) -> _PolicyT | None:
    return policy(events=[event.upper() for event in events]) if events else None
