"""Encryption of the root volumes of nodes that ParallelCluster starts, with the customer key (rule A16).

ParallelCluster accepts no key for root volumes (aws/aws-parallelcluster, issue 5756): they are encrypted with the
default key of EBS in the account and region. One cluster must not change that default for all others, so that Terraform
only checks it.
"""

from cdktf import Op, Postcondition, TerraformResourceLifecycle, TerraformSelf
from cdktf_cdktf_provider_aws.data_aws_ebs_default_kms_key import DataAwsEbsDefaultKmsKey
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
)
from constructs import Construct

from cdk.naming import named


def require_default_key(scope: Construct, *, key_arn: str, region: str) -> None:
    """Adds the look-up of the default key of EBS, which fails unless the default is `key_arn`."""
    named(
        DataAwsEbsDefaultKmsKey(
            scope,
            "default_key",
            lifecycle=TerraformResourceLifecycle(
                postcondition=[
                    Postcondition(
                        condition=Op.eq(TerraformSelf.get_string("key_arn"), key_arn),
                        error_message=(
                            "security.ebs_default_key: root volumes would be encrypted with another key. Make the key "
                            f"of the cluster the default: aws ec2 modify-ebs-default-kms-key-id --region {region} "
                            f"--kms-key-id {key_arn}"
                        ),
                    )
                ]
            ),
        ),
        "root_volumes",
    )


def volume_access(scope: Construct, *, key_arn: str, region: str) -> DataAwsIamPolicyDocument:
    """Policy that lets a head node start nodes whose volumes are encrypted with the key.

    Source: Amazon EBS user guide, "Requirements for Amazon EBS encryption", permissions for users.
    """
    through_ec2 = DataAwsIamPolicyDocumentStatementCondition(
        test="StringEquals", variable="kms:ViaService", values=[f"ec2.{region}.amazonaws.com"]
    )
    for_volumes = DataAwsIamPolicyDocumentStatementCondition(
        test="Bool", variable="kms:GrantIsForAWSResource", values=["true"]
    )
    return named(
        DataAwsIamPolicyDocument(
            scope,
            "volume_access",
            statement=[
                DataAwsIamPolicyDocumentStatement(
                    sid="UseKeyThroughEc2",
                    actions=[
                        "kms:Decrypt",
                        "kms:DescribeKey",
                        "kms:GenerateDataKeyWithoutPlaintext",
                        "kms:ReEncryptFrom",
                        "kms:ReEncryptTo",
                    ],
                    resources=[key_arn],
                    condition=[through_ec2],
                ),
                DataAwsIamPolicyDocumentStatement(
                    sid="GrantKeyToVolumes",
                    actions=["kms:CreateGrant"],
                    resources=[key_arn],
                    condition=[through_ec2, for_volumes],
                ),
            ],
        ),
        "volumes",
    )
