"""Lines of the bill for alarms and metrics."""

from typing import Final

from planner.cost.bill import ServiceLine
from planner.spec import ClusterSpec
from provider_catalog.units import HOURS_PER_MONTH

SERIES_PER_GPU: Final = 40
"""Time series per GPU: the default fields of the DCGM exporter (its default-counters.csv) and those that a scrape adds.
Estimate, 25 to 60."""
SERIES_PER_NODE: Final = 1500
"""Time series of the node exporter on a host with many processors and network cards. Estimate, 800 to 3000."""
SAMPLES_PER_MONTH: Final = HOURS_PER_MONTH * 3600 / 30
"""Samples of one series that is scraped every 30 seconds."""
ALARMS: Final = 2
"""Alarms of a cluster: GPU errors and fabric errors. A shared file system adds one."""


def observability_lines(spec: ClusterSpec, nodes: int, gpus: int, *, shared_storage: bool) -> tuple[ServiceLine, ...]:
    """Returns the lines for alarms with their key, custom metrics, and samples of the Prometheus workspace."""
    lines: list[ServiceLine] = []
    if spec.observability.notify:
        lines += [
            ServiceLine("alarms", "alarms", "compute", "alarm_month", ALARMS + shared_storage, "alarm-month"),
            ServiceLine(
                "metrics of GPU and fabric errors", "custom_metrics", "compute", "custom_metric_month", ALARMS,
                "metric-month",
            ),
            ServiceLine("encryption key of alarms", "alarm_key", "compute", "encryption_key_month", 1, "key-month"),
        ]  # fmt: skip
    if spec.observability.metrics:
        series = nodes * SERIES_PER_NODE + gpus * SERIES_PER_GPU
        lines.append(
            ServiceLine(
                "samples of the Prometheus workspace, an estimate", "prometheus", "storage", "metric_samples_million",
                series * SAMPLES_PER_MONTH / 1e6, "million-samples-month",
            )
        )  # fmt: skip
        if spec.orchestrator == "kubernetes":
            # With other orchestrators an agent on each node sends the samples.
            lines += [
                ServiceLine(
                    "collector of metrics", "metrics_collector", "compute", "metric_collector_hour", 1, "hour"
                ),
                ServiceLine(
                    "samples of the collector, an estimate", "metrics_collected", "compute",
                    "metric_collector_samples_million", series * SAMPLES_PER_MONTH / 1e6, "million-samples-month",
                ),
            ]  # fmt: skip
    return tuple(lines)
