"""Exporters and the agent that sends what they show to a Prometheus workspace, as containers of a node."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Metrics:
    """Where a node sends its metrics."""

    remote_write_url: str
    """May hold Terraform tokens."""
    region: str
    """Of the request's signature."""


@dataclass(frozen=True)
class Container:
    """One container that a unit keeps running."""

    name: str
    what: str
    image: str
    options: str
    arguments: str


CONTAINERS: Final = (
    Container(
        name="gpu-metrics",
        what="Metrics of the GPUs (DCGM exporter)",
        image="nvcr.io/nvidia/k8s/dcgm-exporter:4.4.2-4.7.0-ubuntu22.04",
        options="--gpus all --cap-add SYS_ADMIN",
        arguments="--address 127.0.0.1:9400",
    ),
    Container(
        name="node-metrics",
        what="Metrics of the host (node exporter)",
        image="quay.io/prometheus/node-exporter:v1.9.1",
        options="--pid host --volume /:/host:ro,rslave",
        arguments="--path.rootfs=/host --web.listen-address=127.0.0.1:9100",
    ),
    Container(
        name="metrics",
        what="Sends metrics (Prometheus agent)",
        image="quay.io/prometheus/prometheus:v3.9.1",
        options="--env HOSTNAME=%H --volume /etc/llmcluster/prometheus.yml:/etc/prometheus/prometheus.yml:ro",
        arguments=(
            "--agent --config.file=/etc/prometheus/prometheus.yml --storage.agent.path=/prometheus"
            " --web.listen-address=127.0.0.1:9090"
        ),
    ),
)
"""Pinned, so that two nodes run the same. All listen on the node's own loopback address only."""
