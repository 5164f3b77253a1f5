"""The stack that is deployed before all others: the bucket in which their states live."""

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
"""How long an earlier state can be brought back: longer than a checkpoint, because it is small and irreplaceable."""


def state_stack(app: App, spec: ClusterSpec) -> TerraformStack:
    """Adds the bucket of `spec.state` with a key of its own. Its own state is a local file beside those of the stacks.

    Raises:
        SpecError: a tag is not one that AWS takes, or the state has no bucket in S3.
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
        {"bucket": (bucket.bucket.bucket, "state.bucket of the specs"), "key_arn": (key.arn, "Key of the states")},
    )
    return stack
