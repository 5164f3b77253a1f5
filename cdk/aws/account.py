"""Account and partition in which a stack is deployed, looked up once for each stack."""

from typing import cast

from cdktf import TerraformStack
from cdktf_cdktf_provider_aws.data_aws_caller_identity import DataAwsCallerIdentity
from cdktf_cdktf_provider_aws.data_aws_partition import DataAwsPartition
from constructs import Construct

from cdk.naming import named

_ACCOUNT, _PARTITION = "current-account", "current-partition"


def account_id(scope: Construct) -> str:
    """Id of the account in which the stack of `scope` is deployed."""
    return _caller(scope).account_id


def caller_arn(scope: Construct) -> str:
    """ARN of the principal that deploys the stack of `scope`; under an assumed role it is the ARN of the session."""
    return _caller(scope).arn


def _caller(scope: Construct) -> DataAwsCallerIdentity:
    stack = TerraformStack.of(scope)
    found = stack.node.try_find_child(_ACCOUNT)
    # A second look-up of the same name would be merged in JSON, but would be an error in HCL.
    return cast("DataAwsCallerIdentity", found or named(DataAwsCallerIdentity(stack, _ACCOUNT), "current"))


def partition(scope: Construct) -> str:
    """Partition in which the stack of `scope` is deployed: `aws`, `aws-cn` or `aws-us-gov`."""
    stack = TerraformStack.of(scope)
    found = stack.node.try_find_child(_PARTITION)
    return cast("DataAwsPartition", found or named(DataAwsPartition(stack, _PARTITION), "current")).partition
