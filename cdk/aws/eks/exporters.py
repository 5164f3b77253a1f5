"""Metrics exporters on Kubernetes nodes, and the scrape configuration of the managed Prometheus collector."""

from collections.abc import Callable
from typing import Any, Final

from cdk.aws.eks.objects import TOLERATIONS, daemon_set, text_of
from cdk.bootstrap import GPU_EXPORTER_IMAGE, METRICS_DIR, NODE_EXPORTER_IMAGE

NAMESPACE: Final = "monitoring"
GPU_EXPORTER: Final = "gpu-exporter"
NODE_EXPORTER: Final = "node-exporter"
POD_RESOURCES: Final = "/var/lib/kubelet/pod-resources"
"""Folder of the socket through which kubelet tells which pod has which GPU."""


def exporters(image: Callable[[str], str]) -> str:
    """Kubernetes objects of the exporters, as one YAML file.

    Args:
        image: Maps a public image to the one that is pulled, which may be a mirror.
    """
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    return text_of(namespace, _gpu_exporter(image(GPU_EXPORTER_IMAGE)), _node_exporter(image(NODE_EXPORTER_IMAGE)))


def scrape_configuration(cluster: str) -> str:
    """Configuration of the collector, which scrapes every 30 s. Series have the same labels as those of plain nodes."""
    jobs = [_job("gpu", GPU_EXPORTER), _job("node", NODE_EXPORTER)]
    return text_of(
        {"global": {"scrape_interval": "30s", "external_labels": {"cluster": cluster}}, "scrape_configs": jobs}
    )


def _job(name: str, exporter: str) -> dict[str, Any]:
    return {
        "job_name": name,
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [NAMESPACE]}}],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
                "regex": exporter,
                "action": "keep",
            },
            {"source_labels": ["__meta_kubernetes_pod_node_name"], "target_label": "node"},
        ],
    }


def _gpu_exporter(image: str) -> dict[str, Any]:
    container = {
        "name": GPU_EXPORTER,
        "image": image,
        "env": [{"name": "DCGM_EXPORTER_KUBERNETES", "value": "true"}],
        "ports": [{"name": "metrics", "containerPort": 9400}],
        # Reading the profiling counters of GPUs needs CAP_SYS_ADMIN.
        "securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
        "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}},
        "volumeMounts": [{"name": "pod-resources", "mountPath": POD_RESOURCES, "readOnly": True}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
        "tolerations": TOLERATIONS,
        "containers": [container],
        "volumes": [{"name": "pod-resources", "hostPath": {"path": POD_RESOURCES}}],
    }
    return daemon_set(GPU_EXPORTER, NAMESPACE, pod)


def _node_exporter(image: str) -> dict[str, Any]:
    container = {
        "name": NODE_EXPORTER,
        "image": image,
        "args": ["--path.rootfs=/host", f"--collector.textfile.directory=/host{METRICS_DIR}"],
        "ports": [{"name": "metrics", "containerPort": 9100}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "host", "mountPath": "/host", "mountPropagation": "HostToContainer", "readOnly": True}
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        # The exporter has to see interfaces and processes of the node, not those of its pod.
        "hostNetwork": True,
        "hostPID": True,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    }
    return daemon_set(NODE_EXPORTER, NAMESPACE, pod)
