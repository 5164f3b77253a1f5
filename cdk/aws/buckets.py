"""Buckets that hold checkpoints or states (rule A15)."""

from dataclasses import dataclass
from typing import Final

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
    DataAwsIamPolicyDocumentStatementPrincipals,
)
from cdktf_cdktf_provider_aws.s3_bucket import S3Bucket
from cdktf_cdktf_provider_aws.s3_bucket_lifecycle_configuration import (
    S3BucketLifecycleConfiguration,
    S3BucketLifecycleConfigurationRule,
    S3BucketLifecycleConfigurationRuleAbortIncompleteMultipartUpload,
    S3BucketLifecycleConfigurationRuleFilter,
    S3BucketLifecycleConfigurationRuleNoncurrentVersionExpiration,
)
from cdktf_cdktf_provider_aws.s3_bucket_ownership_controls import (
    S3BucketOwnershipControls,
    S3BucketOwnershipControlsRule,
)
from cdktf_cdktf_provider_aws.s3_bucket_policy import S3BucketPolicy
from cdktf_cdktf_provider_aws.s3_bucket_public_access_block import S3BucketPublicAccessBlock
from cdktf_cdktf_provider_aws.s3_bucket_server_side_encryption_configuration import (
    S3BucketServerSideEncryptionConfigurationA,
    S3BucketServerSideEncryptionConfigurationRuleA,
    S3BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultA,
)
from cdktf_cdktf_provider_aws.s3_bucket_versioning import (
    S3BucketVersioningA,
    S3BucketVersioningVersioningConfiguration,
)
from constructs import Construct

from cdk.findings import accept
from cdk.naming import named

MULTIPART_DAYS: Final = 7
"""When the parts of an upload that nobody finished are removed; they are billed and invisible in listings."""


@dataclass(frozen=True)
class BucketConfig:
    """What a bucket needs to know."""

    role: str
    """What it holds, and how its parts are called in the HCL."""
    bucket: str
    """Name, 3 to 63 characters, unique in all of AWS."""
    kms_key_arn: str
    protect: bool
    noncurrent_days: int
    """How long what was overwritten or deleted can be brought back."""
    derived: bool = False
    """Whether all that is in it comes from Terraform, so that it goes with the bucket."""


class PrivateBucket(Construct):
    """Versioned bucket, encrypted with the customer key, reachable over TLS only, never public."""

    def __init__(self, scope: Construct, construct_id: str, config: BucketConfig) -> None:
        super().__init__(scope, construct_id)
        self.bucket = named(
            S3Bucket(
                self,
                "bucket",
                bucket=config.bucket,
                force_destroy=config.derived or None,
                lifecycle={"prevent_destroy": True} if config.protect else None,
            ),
            config.role,
        )
        accept(
            self.bucket,
            CKV_AWS_18="who read or wrote what is in the data events of the account's CloudTrail, one bucket for all",
            CKV_AWS_144="a copy in another region doubles the bill; versions protect from mistakes, S3 from lost disks",
            CKV2_AWS_62="nothing waits for new objects",
        )
        bucket_id = self.bucket.id
        versioning = named(
            S3BucketVersioningA(
                self,
                "versioning",
                bucket=bucket_id,
                versioning_configuration=S3BucketVersioningVersioningConfiguration(status="Enabled"),
            ),
            config.role,
        )
        encryption = named(
            S3BucketServerSideEncryptionConfigurationA(
                self,
                "encryption",
                bucket=bucket_id,
                rule=[
                    S3BucketServerSideEncryptionConfigurationRuleA(
                        # One data key for many objects: a checkpoint of thousands of shards stays below KMS's limits.
                        bucket_key_enabled=True,
                        apply_server_side_encryption_by_default=(
                            S3BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultA(
                                sse_algorithm="aws:kms", kms_master_key_id=config.kms_key_arn
                            )
                        ),
                    )
                ],
            ),
            config.role,
        )
        public_access = named(
            S3BucketPublicAccessBlock(
                self,
                "public_access",
                bucket=bucket_id,
                block_public_acls=True,
                block_public_policy=True,
                ignore_public_acls=True,
                restrict_public_buckets=True,
            ),
            config.role,
        )
        # One after the other: S3 refuses to change who may reach a bucket in two ways at once (OperationAborted;
        # hashicorp/terraform-provider-aws, issues 7628 and 33478).
        policy = named(
            S3BucketPolicy(
                self, "policy", bucket=bucket_id, policy=self._tls_only(config).json, depends_on=[public_access]
            ),
            config.role,
        )
        ownership = named(
            S3BucketOwnershipControls(
                self,
                "ownership",
                bucket=bucket_id,
                rule=S3BucketOwnershipControlsRule(object_ownership="BucketOwnerEnforced"),
                depends_on=[policy],
            ),
            config.role,
        )
        named(
            S3BucketLifecycleConfiguration(
                self,
                "leftovers",
                bucket=bucket_id,
                rule=[
                    S3BucketLifecycleConfigurationRule(
                        id="expire-old-versions",
                        status="Enabled",
                        filter=[S3BucketLifecycleConfigurationRuleFilter(prefix="")],
                        noncurrent_version_expiration=[
                            S3BucketLifecycleConfigurationRuleNoncurrentVersionExpiration(
                                noncurrent_days=config.noncurrent_days
                            )
                        ],
                    ),
                    S3BucketLifecycleConfigurationRule(
                        id="abort-unfinished-uploads",
                        status="Enabled",
                        filter=[S3BucketLifecycleConfigurationRuleFilter(prefix="")],
                        abort_incomplete_multipart_upload=[
                            S3BucketLifecycleConfigurationRuleAbortIncompleteMultipartUpload(
                                days_after_initiation=MULTIPART_DAYS
                            )
                        ],
                    ),
                ],
                depends_on=[versioning],
            ),
            config.role,
        )

        self.protections: list[ITerraformDependable] = [versioning, encryption, public_access, ownership, policy]
        """What an object of ours waits for: one written before versioning has no version to go back to."""

    def _tls_only(self, config: BucketConfig) -> DataAwsIamPolicyDocument:
        return named(
            DataAwsIamPolicyDocument(
                self,
                "tls_only",
                statement=[
                    DataAwsIamPolicyDocumentStatement(
                        sid="DenyPlainHttp",
                        effect="Deny",
                        actions=["s3:*"],
                        resources=[self.bucket.arn, f"{self.bucket.arn}/*"],
                        principals=[DataAwsIamPolicyDocumentStatementPrincipals(type="*", identifiers=["*"])],
                        condition=[
                            DataAwsIamPolicyDocumentStatementCondition(
                                test="Bool", variable="aws:SecureTransport", values=["false"]
                            )
                        ],
                    )
                ],
            ),
            config.role,
        )
