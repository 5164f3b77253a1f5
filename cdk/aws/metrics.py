"""Where metrics are kept."""

from cdktf_cdktf_provider_aws.prometheus_workspace import PrometheusWorkspace
from constructs import Construct

from cdk.aws.naming import named


def prometheus_workspace(scope: Construct, name: str, kms_key_arn: str) -> PrometheusWorkspace:
    """Adds an Amazon Managed Service for Prometheus workspace under the customer key; it keeps metrics for 150 days."""
    return named(PrometheusWorkspace(scope, "metrics", alias=name, kms_key_arn=kms_key_arn), "metrics")
