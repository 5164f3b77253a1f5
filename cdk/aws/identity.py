"""Identity of a node: Session Manager, checkpoints, what the spec asks for, and nothing else (rules A17, A18)."""

from collections.abc import Iterator
from dataclasses import dataclass

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
)
from cdktf_cdktf_provider_aws.iam_instance_profile import IamInstanceProfile
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from cdktf_cdktf_provider_aws.iam_role_policy_attachment import IamRolePolicyAttachment
from constructs import Construct

from cdk.aws.account import account_id, partition
from cdk.aws.roles import service_trust
from cdk.naming import named


@dataclass(frozen=True)
class IdentityConfig:
    """Settings of a node's identity."""

    name: str
    region: str
    checkpoint_bucket_arn: str
    kms_key_arn: str
    metric_namespace: str | None = None
    """CloudWatch namespace in which nodes publish error counts; None: they publish none."""
    prometheus_workspace_arn: str | None = None
    """Prometheus workspace to which nodes send metrics; None: they send none."""
    pulls_images: bool = False
    """Whether nodes pull container images from ECR registries."""
    reports_to: tuple[str, ...] = ()
    """Names of the Auto Scaling groups to which nodes report that they are ready or have failed."""
    finds_peers: bool = False
    """Whether nodes look up each other's addresses, to measure the bandwidth between them."""


def bound_roles(scope: Construct, policy_arn: str) -> None:
    """Gives every role below `scope` a permissions boundary: a role can do no more than the policy allows."""
    for construct in scope.node.find_all():
        if isinstance(construct, IamRole):
            construct.permissions_boundary = policy_arn


class NodeIdentity(Construct):
    """Role and instance profile of the nodes."""

    def __init__(self, scope: Construct, construct_id: str, config: IdentityConfig) -> None:
        super().__init__(scope, construct_id)
        self.role = named(
            IamRole(
                self,
                "role",
                # IAM is global, but clusters of the same name may exist in two regions.
                name=f"{config.name}-node-{config.region}",
                description=f"Nodes of cluster {config.name}",
                assume_role_policy=service_trust(self, "assume", "ec2_assumes_node", service="ec2.amazonaws.com").json,
            ),
            "node",
        )
        self.instance_profile = named(
            IamInstanceProfile(self, "profile", name=self.role.name, role=self.role.name), "node"
        )
        self.rights: tuple[ITerraformDependable, ...] = tuple(self._rights(config))
        """Permissions that must exist from before nodes start until they end: a node saves its work before it ends."""

    def _rights(self, config: IdentityConfig) -> Iterator[ITerraformDependable]:
        yield self._managed("session_manager", "AmazonSSMManagedInstanceCore")
        yield self._inline("checkpoints", checkpoint_access(self, config))
        if config.pulls_images:
            yield self._managed("images", "AmazonEC2ContainerRegistryPullOnly")
        if config.reports_to:
            yield self._inline("reports", self._reports(config))
        if config.finds_peers:
            # EC2 lists instances by filter, not by resource (Service Authorization Reference).
            statement = DataAwsIamPolicyDocumentStatement(
                sid="FindPeers", actions=["ec2:DescribeInstances"], resources=["*"]
            )
            yield self._inline("peers", named(DataAwsIamPolicyDocument(self, "peers", statement=[statement]), "peers"))
        if statements := metric_statements(config):
            policy = named(DataAwsIamPolicyDocument(self, "metrics", statement=statements), "metrics")
            yield self._inline("metrics", policy)

    def _reports(self, config: IdentityConfig) -> DataAwsIamPolicyDocument:
        arn = f"arn:{partition(self)}:autoscaling:{config.region}:{account_id(self)}:autoScalingGroup:*"
        return named(
            DataAwsIamPolicyDocument(
                self,
                "reports",
                statement=[
                    DataAwsIamPolicyDocumentStatement(
                        sid="ReportReadyOrFailed",
                        actions=["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"],
                        resources=[f"{arn}:autoScalingGroupName/{name}" for name in config.reports_to],
                    ),
                    # Descriptions are given for all groups or for none (Service Authorization Reference).
                    DataAwsIamPolicyDocumentStatement(
                        sid="FindGroup", actions=["autoscaling:DescribeAutoScalingInstances"], resources=["*"]
                    ),
                ],
            ),
            "reports",
        )

    def _managed(self, address: str, policy: str) -> IamRolePolicyAttachment:
        arn = f"arn:{partition(self)}:iam::aws:policy/{policy}"
        return named(IamRolePolicyAttachment(self, address, role=self.role.name, policy_arn=arn), address)

    def _inline(self, address: str, policy: DataAwsIamPolicyDocument) -> IamRolePolicy:
        return named(
            IamRolePolicy(self, f"{address}_policy", name=address, role=self.role.id, policy=policy.json), address
        )


def metric_statements(config: IdentityConfig) -> list[DataAwsIamPolicyDocumentStatement]:
    """Statements that let a node publish error counts and send metrics; empty where it does neither."""
    statements = []
    if config.metric_namespace:
        statements.append(
            DataAwsIamPolicyDocumentStatement(
                sid="PublishCountsOfErrors",
                actions=["cloudwatch:PutMetricData"],
                # CloudWatch metrics have no ARN (Service Authorization Reference): the condition bounds the namespace.
                resources=["*"],
                condition=[
                    DataAwsIamPolicyDocumentStatementCondition(
                        test="StringEquals", variable="cloudwatch:namespace", values=[config.metric_namespace]
                    )
                ],
            )
        )
    if config.prometheus_workspace_arn:
        statements.append(
            DataAwsIamPolicyDocumentStatement(
                sid="SendMetrics", actions=["aps:RemoteWrite"], resources=[config.prometheus_workspace_arn]
            )
        )
    return statements


def checkpoint_access(scope: Construct, config: IdentityConfig) -> DataAwsIamPolicyDocument:
    """Policy for the checkpoints: list, read and write them. Overwritten versions are kept."""
    bucket = config.checkpoint_bucket_arn
    return named(
        DataAwsIamPolicyDocument(
            scope,
            "checkpoint_access",
            statement=[
                DataAwsIamPolicyDocumentStatement(
                    sid="ListCheckpoints",
                    actions=["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                    resources=[bucket],
                ),
                DataAwsIamPolicyDocumentStatement(
                    sid="ReadAndWriteCheckpoints",
                    # Deleting leaves a marker; only the lifecycle rule removes versions.
                    actions=[
                        "s3:AbortMultipartUpload",
                        "s3:DeleteObject",
                        "s3:GetObject",
                        "s3:ListMultipartUploadParts",
                        "s3:PutObject",
                    ],
                    resources=[f"{bucket}/*"],
                ),
                DataAwsIamPolicyDocumentStatement(
                    sid="UseKeyThroughS3",
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=[config.kms_key_arn],
                    condition=[
                        DataAwsIamPolicyDocumentStatementCondition(
                            test="StringEquals",
                            variable="kms:ViaService",
                            values=[f"s3.{config.region}.amazonaws.com"],
                        )
                    ],
                ),
            ],
        ),
        "checkpoints",
    )
