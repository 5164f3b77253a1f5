"""What alarms and metrics put on the bill, and where they are not built."""

from typing import Final

from planner.cost import ServiceLine
from planner.errors import SpecError
from planner.spec import ClusterSpec
from provider_catalog.defaults import ProviderDefaults

SERIES_PER_GPU: Final = 40
"""Fields that the DCGM exporter publishes by default (its default-counters.csv), with what a scrape adds. Estimate, 25
to 60."""
SERIES_PER_NODE: Final = 1500
"""Of the node exporter on a host with many processors and cards. Estimate, 800 to 3000."""
SAMPLES_PER_MONTH: Final = 730 * 3600 / 30
"""Of a series that is read every 30 seconds."""
ALARMS: Final = 2
"""GPU and fabric errors; a shared file system adds one."""


def check_watch(spec: ClusterSpec, defaults: ProviderDefaults) -> None:
    """Refuses what is not built.

    Raises:
        SpecError: alarms or metrics on a cloud, or with an orchestrator or network, that has none.
    """
    asked = spec.observability
    if (asked.notify or asked.metrics) and not defaults.observability:
        raise SpecError(f"observability: neither alarms nor metrics are built on {defaults.name}; leave it out")
    if asked.metrics and spec.orchestrator != "none":
        raise SpecError(
            f"observability.metrics: the exporters are set up by cloud-init, orchestrator {spec.orchestrator} brings "
            "its own; leave it out"
        )
    if asked.metrics and spec.network.egress == "endpoints-only":
        raise SpecError(
            "observability.metrics: the exporters are images of public registries, which network.egress endpoints-only "
            "does not reach; leave one of the two out"
        )


def watch_lines(spec: ClusterSpec, nodes: int, gpus: int, *, shared_storage: bool) -> tuple[ServiceLine, ...]:
    """Alarms and their key, the nodes' own metrics, samples of the Prometheus workspace."""
    lines: list[ServiceLine] = []
    if spec.observability.notify:
        own = ALARMS if spec.orchestrator == "none" else 0
        if alarms := own + shared_storage:
            lines.append(ServiceLine("alarms", "alarms", "compute", "alarm_month", alarms, "alarm-month"))
        if own:
            lines.append(
                ServiceLine(
                    "metrics of GPU and fabric errors", "custom_metrics", "compute", "custom_metric_month", own,
                    "metric-month",
                )
            )  # fmt: skip
        lines.append(
            ServiceLine("encryption key of alarms", "alarm_key", "compute", "encryption_key_month", 1, "key-month")
        )
    if spec.observability.metrics:
        series = nodes * SERIES_PER_NODE + gpus * SERIES_PER_GPU
        lines.append(
            ServiceLine(
                "samples of the Prometheus workspace, an estimate", "prometheus", "storage", "metric_samples_million",
                series * SAMPLES_PER_MONTH / 1e6, "million-samples-month",
            )
        )  # fmt: skip
    return tuple(lines)
