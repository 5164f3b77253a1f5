"""Metrics of a node: exporters, and the agent that sends their metrics to a Prometheus workspace, as containers."""

from dataclasses import dataclass
from typing import Final

METRICS_DIR: Final = "/var/lib/llmcluster/metrics"
"""Folder of a node for counters that the node exporter does not collect itself; it reads them there as text."""


def mirrored(image: str, registry: str | None) -> str:
    """Name under which `image` is pulled: its public name, or the same path below the mirror `registry`."""
    return image if registry is None else f"{registry}/{image.partition('/')[2]}"


@dataclass(frozen=True)
class Metrics:
    """Settings of the metrics that a node sends."""

    remote_write_url: str
    """URL of the workspace; it may hold Terraform tokens."""
    region: str
    """Region for which requests are signed."""
    image_registry: str | None = None
    """Mirror of the public images; None: images are pulled from their public registries."""
    login_command: str | None = None
    """Shell command that logs Docker in to the mirror; None where no login is needed."""


@dataclass(frozen=True)
class Container:
    """A container that a systemd unit keeps running."""

    name: str
    description: str
    image: str
    options: str
    arguments: str


GPU_EXPORTER_IMAGE: Final = "nvcr.io/nvidia/k8s/dcgm-exporter:4.4.2-4.7.0-ubuntu22.04"
NODE_EXPORTER_IMAGE: Final = "quay.io/prometheus/node-exporter:v1.9.1"
CONTAINERS: Final = (
    Container(
        name="gpu-metrics",
        description="Metrics of the GPUs (DCGM exporter)",
        image=GPU_EXPORTER_IMAGE,
        options="--gpus all --cap-add SYS_ADMIN",
        arguments="--address 127.0.0.1:9400",
    ),
    Container(
        name="node-metrics",
        description="Metrics of the host (node exporter)",
        image=NODE_EXPORTER_IMAGE,
        options="--pid host --volume /:/host:ro,rslave",
        arguments=(
            f"--path.rootfs=/host --web.listen-address=127.0.0.1:9100 --collector.textfile.directory=/host{METRICS_DIR}"
        ),
    ),
    Container(
        name="metrics",
        description="Sends metrics (Prometheus agent)",
        image="quay.io/prometheus/prometheus:v3.9.1",
        options="--env HOSTNAME=%H --volume /etc/llmcluster/prometheus.yml:/etc/prometheus/prometheus.yml:ro",
        arguments=(
            "--agent --config.file=/etc/prometheus/prometheus.yml --storage.agent.path=/prometheus"
            " --web.listen-address=127.0.0.1:9090"
        ),
    ),
)
"""Containers of every node. Images are pinned, so that all nodes run the same; all containers listen on the loopback
address only."""
