"""Private buckets: for checkpoints, Terraform states and boot scripts (rule A15)."""

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
"""Days after which S3 removes the parts of an unfinished upload, which are billed but invisible in listings."""


@dataclass(frozen=True)
class BucketConfig:
    """Settings of a bucket."""

    role: str
    """Purpose of the bucket, and the name of its resources in the HCL."""
    bucket: str
    """Name of the bucket: 3 to 63 characters, unique in all of AWS."""
    kms_key_arn: str
    protect: bool
    noncurrent_days: int
    """Days for which an overwritten or deleted object can be restored."""
    derived: bool = False
    """Whether Terraform writes all objects of the bucket, so that they are deleted with it."""


class PrivateBucket(Construct):
    """A versioned bucket: encrypted with the customer key, reachable over TLS only, never public."""

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
            CKV_AWS_18="the data events of the account's CloudTrail record who read or wrote an object",
            CKV_AWS_144="a copy in another region doubles the bill; versions protect from mistakes, S3 from lost disks",
            CKV2_AWS_62="no service of the cluster reacts to new objects",
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
                        # One data key serves many objects, so that thousands of shards stay below the limits of KMS.
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
        # Created one after the other: S3 refuses concurrent changes of a bucket's access settings (OperationAborted;
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
        """Settings that must exist before Terraform writes an object: one written before versioning has no version."""

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
