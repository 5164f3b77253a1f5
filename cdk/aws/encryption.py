"""KMS keys of a cluster: the customer key of its data, and keys of logs, alarms and Terraform states."""

from collections.abc import Sequence

from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
    DataAwsIamPolicyDocumentStatementPrincipals,
)
from cdktf_cdktf_provider_aws.kms_alias import KmsAlias
from cdktf_cdktf_provider_aws.kms_key import KmsKey
from constructs import Construct

from cdk.aws.account import account_id, partition
from cdk.naming import named

AUTO_SCALING_ROLE = "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
"""Role that AWS creates with the first Auto Scaling group of an account (EC2 Auto Scaling guide, "Service-linked
roles")."""


def rotated_key(
    scope: Construct,
    role: str,
    *,
    name: str,
    description: str,
    statements: Sequence[DataAwsIamPolicyDocumentStatement] = (),
    protect: bool = False,
) -> KmsKey:
    """Adds a rotated key, its alias and its policy. Administrators of the account manage it.

    Args:
        scope: Construct to which they are added.
        role: Purpose of the key, and its name in the HCL.
        name: Name of the alias.
        description: Description that the console shows.
        statements: Statements of the key policy for other principals.
        protect: Whether Terraform refuses to destroy it.
    """
    policy = named(
        DataAwsIamPolicyDocument(
            scope,
            "key_policy",
            statement=[
                # In a key policy "*" means this one key.
                DataAwsIamPolicyDocumentStatement(
                    sid="AccountAdministersKey",
                    actions=["kms:*"],
                    resources=["*"],
                    principals=_aws_principal(f"arn:{partition(scope)}:iam::{account_id(scope)}:root"),
                ),
                *statements,
            ],
        ),
        f"{role}_key",
    )
    key = named(
        KmsKey(
            scope,
            "key",
            description=description,
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=policy.json,
            tags={"Name": name},
            lifecycle={"prevent_destroy": True} if protect else None,
        ),
        role,
    )
    named(KmsAlias(scope, "alias", name=f"alias/{name}", target_key_id=key.key_id), role)
    return key


class EncryptionKey(Construct):
    """The customer key for disks, checkpoints and shared files. Auto Scaling may use it for root disks (rule A16)."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        region: str,
        protect: bool,
        auto_scaling: bool,
        log_groups: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        account_arn = f"arn:{partition(self)}:iam::{account_id(self)}"
        log_arn = f"arn:{partition(self)}:logs:{region}:{account_id(self)}:log-group"
        policy = named(
            DataAwsIamPolicyDocument(
                self,
                "policy",
                statement=[
                    # In a key policy "*" means this one key.
                    DataAwsIamPolicyDocumentStatement(
                        sid="AccountAdministersKey",
                        actions=["kms:*"],
                        resources=["*"],
                        principals=_aws_principal(f"{account_arn}:root"),
                    ),
                    *(_auto_scaling_uses_key(f"{account_arn}:{AUTO_SCALING_ROLE}") if auto_scaling else []),
                    *([logs_use_key(region, [f"{log_arn}:{group}" for group in log_groups])] if log_groups else []),
                ],
            ),
            "key",
        )
        self.key = named(
            KmsKey(
                self,
                "key",
                description=f"Disks, checkpoints and shared files of cluster {name}",
                enable_key_rotation=True,
                deletion_window_in_days=30,
                policy=policy.json,
                tags={"Name": name},
                lifecycle={"prevent_destroy": True} if protect else None,
            ),
            "cluster",
        )
        named(KmsAlias(self, "alias", name=f"alias/{name}", target_key_id=self.key.key_id), "cluster")


def _auto_scaling_uses_key(role_arn: str) -> list[DataAwsIamPolicyDocumentStatement]:
    """Statements that let Auto Scaling start nodes whose root disks are encrypted with a key.

    Source: EC2 Auto Scaling guide, "Required AWS KMS key policy for use with encrypted volumes". Without them launches
    fail, and only the activity history of the group shows it.
    """
    return [
        DataAwsIamPolicyDocumentStatement(
            sid="AutoScalingUsesKey",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            resources=["*"],
            principals=_aws_principal(role_arn),
        ),
        DataAwsIamPolicyDocumentStatement(
            sid="AutoScalingGrantsKeyToVolumes",
            actions=["kms:CreateGrant"],
            resources=["*"],
            principals=_aws_principal(role_arn),
            condition=[
                DataAwsIamPolicyDocumentStatementCondition(
                    test="Bool", variable="kms:GrantIsForAWSResource", values=["true"]
                )
            ],
        ),
    ]


def logs_use_key(region: str, group_arns: Sequence[str]) -> DataAwsIamPolicyDocumentStatement:
    """Statement that lets CloudWatch Logs encrypt these log groups with a key.

    Source: CloudWatch Logs guide, "Encrypt log data in CloudWatch Logs using AWS KMS", step 2.
    """
    return DataAwsIamPolicyDocumentStatement(
        sid="LogsUseKey",
        actions=["kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
        resources=["*"],
        principals=[
            DataAwsIamPolicyDocumentStatementPrincipals(type="Service", identifiers=[f"logs.{region}.amazonaws.com"])
        ],
        condition=[
            DataAwsIamPolicyDocumentStatementCondition(
                test="ArnEquals", variable="kms:EncryptionContext:aws:logs:arn", values=list(group_arns)
            )
        ],
    )


def _aws_principal(arn: str) -> list[DataAwsIamPolicyDocumentStatementPrincipals]:
    return [DataAwsIamPolicyDocumentStatementPrincipals(type="AWS", identifiers=[arn])]
