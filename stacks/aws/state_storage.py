"""The stack of the bucket that holds the Terraform states of all other stacks. It is deployed first."""

from typing import Final

from cdktf import App, LocalBackend, TerraformStack

from cdk.aws.buckets import BucketConfig, PrivateBucket
from cdk.aws.encryption import rotated_key
from cdk.aws.provider import aws
from planner.errors import SpecError
from planner.spec import ClusterSpec
from stacks.aws.base import add_outputs, checked_tags
from stacks.state import LOCAL_STATE_FOLDER, name_provider_source

STATE_DAYS: Final = 365
"""Days for which an earlier state can be restored: more than for a checkpoint, since a state is small and
irreplaceable."""


def state_stack(app: App, spec: ClusterSpec) -> TerraformStack:
    """Adds the bucket of `spec.state`, with its own key. The state of this stack is a local file.

    Raises:
        SpecError: AWS would refuse a tag, or the spec names no bucket in S3.
    """
    state = spec.state
    if state.bucket is None or state.region is None:
        raise SpecError("state: backend s3 needs state.bucket and state.region")
    stack = TerraformStack(app, state.bucket)
    LocalBackend(stack, path=f"{LOCAL_STATE_FOLDER}/{state.bucket}.tfstate")
    aws(stack, state.region, {**checked_tags(spec.tags), "managed-by": "llmcluster"})
    name_provider_source(stack, "aws")
    key = rotated_key(
        stack, "states", name=state.bucket, description="Terraform states of llmcluster clusters", protect=True
    )
    bucket = PrivateBucket(
        stack,
        "states",
        BucketConfig(role="states", bucket=state.bucket, kms_key_arn=key.arn, protect=True, noncurrent_days=STATE_DAYS),
    )
    add_outputs(
        stack,
        {
            "bucket": (bucket.bucket.bucket, "Name of the bucket, for state.bucket of the specs"),
            "key_arn": (key.arn, "ARN of the key that encrypts the states"),
        },
    )
    return stack
