"""Amazon Managed Service for Prometheus: the workspace, and the collector for an EKS cluster."""

from collections.abc import Sequence

from cdktf_cdktf_provider_aws.prometheus_scraper import (
    PrometheusScraper,
    PrometheusScraperDestination,
    PrometheusScraperDestinationAmp,
    PrometheusScraperSource,
    PrometheusScraperSourceEks,
)
from cdktf_cdktf_provider_aws.prometheus_workspace import PrometheusWorkspace
from constructs import Construct

from cdk.naming import named


def prometheus_workspace(scope: Construct, name: str, kms_key_arn: str) -> PrometheusWorkspace:
    """Adds a workspace, encrypted with the customer key. It keeps metrics for 150 days."""
    return named(PrometheusWorkspace(scope, "metrics", alias=name, kms_key_arn=kms_key_arn), "metrics")


def metrics_collector(
    scope: Construct,
    name: str,
    *,
    cluster_arn: str,
    subnet_ids: Sequence[str],
    security_group_id: str,
    workspace_arn: str,
    configuration: str,
) -> PrometheusScraper:
    """Adds the managed collector that reads the exporters of an EKS cluster.

    AWS runs it outside of the cluster. It reaches the cluster through an interface in each of two zones and creates its
    own access entry (Amazon Managed Service for Prometheus guide, "Set up managed collectors for Amazon EKS"). The
    cluster needs no agent, no pod with write access to the workspace, and no access to the Internet.
    """
    return named(
        PrometheusScraper(
            scope,
            "collector",
            alias=name,
            source=[
                PrometheusScraperSource(
                    eks=[
                        PrometheusScraperSourceEks(
                            cluster_arn=cluster_arn,
                            subnet_ids=list(subnet_ids),
                            security_group_ids=[security_group_id],
                        )
                    ]
                )
            ],
            destination=[
                PrometheusScraperDestination(amp=[PrometheusScraperDestinationAmp(workspace_arn=workspace_arn)])
            ],
            scrape_configuration=configuration,
        ),
        "metrics",
    )
