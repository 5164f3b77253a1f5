"""The EKS control plane: private, logged, with encrypted secrets and named administrators (rules A17, A18)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdktf_cdktf_provider_aws.cloudwatch_log_group import CloudwatchLogGroup
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
)
from cdktf_cdktf_provider_aws.data_aws_iam_session_context import DataAwsIamSessionContext
from cdktf_cdktf_provider_aws.eks_access_entry import EksAccessEntry
from cdktf_cdktf_provider_aws.eks_access_policy_association import (
    EksAccessPolicyAssociation,
    EksAccessPolicyAssociationAccessScope,
)
from cdktf_cdktf_provider_aws.eks_cluster import (
    EksCluster,
    EksClusterAccessConfig,
    EksClusterEncryptionConfig,
    EksClusterEncryptionConfigProvider,
    EksClusterUpgradePolicy,
    EksClusterVpcConfig,
)
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from constructs import Construct

from cdk.aws.account import caller_arn, partition
from cdk.aws.roles import service_role
from cdk.naming import content_name, named

CONTROL_PLANE_LOGS: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")
LOG_RETENTION_DAYS: Final = 365
CREATOR_ACCESS: Final = "access_config[0].bootstrap_cluster_creator_admin_permissions"
"""Argument that EKS reads only when it creates a cluster; the provider replaces the cluster if it differs."""


def control_plane_logs(name: str) -> str:
    """Name of the log group to which EKS writes the logs of a cluster."""
    return f"/aws/eks/{name}/cluster"


@dataclass(frozen=True)
class ControlPlaneConfig:
    """Settings of a control plane."""

    name: str
    region: str
    version: str
    subnet_ids: Sequence[str]
    """Subnets in at least two zones, as EKS requires; nodes are in one of them."""
    public_cidrs: Sequence[str]
    """Ranges of addresses that reach the API from the Internet; empty: none."""
    administrators: Sequence[str]
    """ARNs of the roles of administrators; empty: the principal that applies the stack first is the administrator."""
    kms_key_arn: str


class ControlPlane(Construct):
    """An EKS cluster without nodes."""

    def __init__(self, scope: Construct, construct_id: str, config: ControlPlaneConfig) -> None:
        super().__init__(scope, construct_id)
        self.partition = partition(self)
        role = service_role(
            self,
            "cluster",
            name=f"{config.name}-cluster-{config.region}",
            description=f"Control plane of cluster {config.name}",
            service="eks.amazonaws.com",
            partition=self.partition,
            managed_policies={"policy": "AmazonEKSClusterPolicy"},
        )
        secrets = named(
            IamRolePolicy(self, "secrets", name="secrets", role=role.role.id, policy=self._secrets(config).json),
            "secrets",
        )
        # Otherwise EKS would create the group itself, and keep the logs for ever.
        self.logs = named(
            CloudwatchLogGroup(
                self,
                "logs",
                name=control_plane_logs(config.name),
                retention_in_days=LOG_RETENTION_DAYS,
                kms_key_id=config.kms_key_arn,
            ),
            "control_plane",
        )
        self.cluster = named(
            EksCluster(
                self,
                "cluster_",
                name=config.name,
                version=config.version,
                role_arn=role.role.arn,
                vpc_config=EksClusterVpcConfig(
                    subnet_ids=list(config.subnet_ids),
                    endpoint_private_access=True,
                    endpoint_public_access=bool(config.public_cidrs),
                    public_access_cidrs=list(config.public_cidrs) or None,
                ),
                access_config=EksClusterAccessConfig(
                    authentication_mode="API",
                    # Administrators are access entries, which come and go without touching the cluster.
                    bootstrap_cluster_creator_admin_permissions=False,
                ),
                encryption_config=EksClusterEncryptionConfig(
                    resources=["secrets"], provider=EksClusterEncryptionConfigProvider(key_arn=config.kms_key_arn)
                ),
                enabled_cluster_log_types=list(CONTROL_PLANE_LOGS),
                # The add-ons bring the same components, with versions that Terraform controls.
                bootstrap_self_managed_addons=False,
                # Extended support costs six times as much an hour, and would start automatically.
                upgrade_policy=EksClusterUpgradePolicy(support_type="STANDARD"),
                # Earlier versions set it by the list of administrators; such clusters are not replaced.
                lifecycle={"ignore_changes": [CREATOR_ACCESS]},
                depends_on=[*role.attachments, secrets, self.logs],
            ),
            "cluster",
        )
        for index, arn in enumerate(dict.fromkeys(config.administrators)):
            entry, policy = self._administrator(content_name("administrator", arn), arn)
            # Earlier versions named them by their position.
            entry.move_from_id(f"{entry.terraform_resource_type}.administrator_{index}")
            policy.move_from_id(f"{policy.terraform_resource_type}.administrator_{index}")
        if not config.administrators:
            self._applier()

    @property
    def security_group_id(self) -> str:
        """Security group through which control plane and nodes reach each other."""
        return self.cluster.vpc_config.cluster_security_group_id

    def _applier(self) -> None:
        """Makes the principal that applies the stack first the administrator."""
        session = named(DataAwsIamSessionContext(self, "session", arn=caller_arn(self)), "applier")
        entry, _ = self._administrator("applier", session.issuer_arn)
        # A colleague who applies later must not take the place of the first.
        entry.add_override("lifecycle", {"ignore_changes": ["principal_arn"]})

    def _administrator(self, name: str, arn: str) -> tuple[EksAccessEntry, EksAccessPolicyAssociation]:
        entry = named(
            EksAccessEntry(self, name, cluster_name=self.cluster.name, principal_arn=arn, type="STANDARD"), name
        )
        policy = named(
            EksAccessPolicyAssociation(
                self,
                f"{name}_policy",
                cluster_name=self.cluster.name,
                principal_arn=entry.principal_arn,
                policy_arn=(f"arn:{self.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"),
                access_scope=EksAccessPolicyAssociationAccessScope(type="cluster"),
            ),
            name,
        )
        return entry, policy

    def _secrets(self, config: ControlPlaneConfig) -> DataAwsIamPolicyDocument:
        return named(
            DataAwsIamPolicyDocument(
                self,
                "secrets_key",
                statement=[
                    DataAwsIamPolicyDocumentStatement(
                        sid="EncryptSecrets",
                        actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:ListGrants"],
                        resources=[config.kms_key_arn],
                    )
                ],
            ),
            "secrets",
        )
