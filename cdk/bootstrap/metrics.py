"""Exporters and the agent that sends what they show to a Prometheus workspace, as containers of a node."""

from dataclasses import dataclass
from typing import Final

METRICS_DIR: Final = "/var/lib/llmcluster/metrics"
"""Of a node: counters that the node exporter does not read by itself, as text."""


def mirrored(image: str, registry: str | None) -> str:
    """Where `image` is pulled from: its public registry, or below `registry`, which has it under the same path."""
    return image if registry is None else f"{registry}/{image.partition('/')[2]}"


@dataclass(frozen=True)
class Metrics:
    """Where a node sends its metrics."""

    remote_write_url: str
    """May hold Terraform tokens."""
    region: str
    """Of the request's signature."""
    image_registry: str | None = None
    """Has copies of the public images."""
    login_command: str | None = None
    """Shell command that lets Docker pull from there; None where anybody may."""


@dataclass(frozen=True)
class Container:
    """One container that a unit keeps running."""

    name: str
    what: str
    image: str
    options: str
    arguments: str


GPU_EXPORTER_IMAGE: Final = "nvcr.io/nvidia/k8s/dcgm-exporter:4.4.2-4.7.0-ubuntu22.04"
NODE_EXPORTER_IMAGE: Final = "quay.io/prometheus/node-exporter:v1.9.1"
CONTAINERS: Final = (
    Container(
        name="gpu-metrics",
        what="Metrics of the GPUs (DCGM exporter)",
        image=GPU_EXPORTER_IMAGE,
        options="--gpus all --cap-add SYS_ADMIN",
        arguments="--address 127.0.0.1:9400",
    ),
    Container(
        name="node-metrics",
        what="Metrics of the host (node exporter)",
        image=NODE_EXPORTER_IMAGE,
        options="--pid host --volume /:/host:ro,rslave",
        arguments=(
            f"--path.rootfs=/host --web.listen-address=127.0.0.1:9100 --collector.textfile.directory=/host{METRICS_DIR}"
        ),
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
