"""Where metrics are kept, and what reads them from the nodes of Kubernetes."""

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
    """Adds an Amazon Managed Service for Prometheus workspace under the customer key; it keeps metrics for 150 days."""
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

    It stands outside of the cluster, reaches in through an interface in each of two zones, and gets its access entry
    by itself (Amazon Managed Service for Prometheus guide, "Set up managed collectors for Amazon EKS"): no agent, no
    right to write for any pod, and no way to the Internet is needed.
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
