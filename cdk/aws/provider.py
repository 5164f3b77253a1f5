"""The AWS provider block, the same in every stack."""

from collections.abc import Mapping

from cdktf_cdktf_provider_aws.provider import AwsProvider
from constructs import Construct


def aws(scope: Construct, region: str, tags: Mapping[str, str]) -> AwsProvider:
    """Adds the provider, which tags every resource. Credentials come from outside: environment, profile or OIDC."""
    return AwsProvider(scope, "aws", region=region, default_tags=[{"tags": dict(tags)}])
