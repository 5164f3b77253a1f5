"""Kubernetes objects that go with a cluster: device plugins, the place where jobs run, the shared volume.

They are files beside the stack and outputs of it, not resources: a private API cannot be reached from where Terraform
runs, and no provider of Kubernetes is needed to plan.
"""

import json
from typing import Any, Final

import yaml

from provider_catalog.collectives import Variable

NAMESPACE: Final = "llmcluster"
SERVICE_ACCOUNT: Final = "job"
VOLUME: Final = "shared"
ENVIRONMENT: Final = "fabric-environment"
"""Config map that a job's container takes with `envFrom`."""
NVIDIA_PLUGIN_IMAGE: Final = "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"
EFA_PLUGIN_VERSION: Final = "v0.5.20"
REGISTRY_ACCOUNT: Final = "602401143452"
REGISTRY_ACCOUNTS: Final = {
    "ap-southeast-3": "296578399912",
    "eu-south-2": "455263428931",
    "me-central-1": "759879836304",
}
"""Where EKS images come from, and the regions that have a registry of their own (EKS user guide, "View Amazon container
image registries for Amazon EKS add-ons")."""
KUBELET_PLUGINS: Final = "/var/lib/kubelet/device-plugins"
NO_PRIVILEGES: Final[dict[str, Any]] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
TOLERATIONS: Final = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def manifests(region: str, *, efa: bool, environment: tuple[Variable, ...] = ()) -> dict[str, str]:
    """Files by name, for `kubectl apply -k`.

    Args:
        region: where the images of EKS come from.
        efa: whether nodes have EFA.
        environment: of collective communication on the nodes, for the containers of jobs.
    """
    files = {
        "namespace.yaml": _text(_namespace(), _service_account()),
        "nvidia-device-plugin.yaml": _text(_nvidia_device_plugin()),
        **({"efa-device-plugin.yaml": _text(_efa_device_plugin(region))} if efa else {}),
    }
    if any(entry.value is not None for entry in environment):
        files[f"{ENVIRONMENT}.yaml"] = _environment(environment)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return {"kustomization.yaml": _text(kustomization), **files}


def shared_volume(file_system_id: str, dns_name: str, mount_name: str, size_gib: int) -> str:
    """The shared file system as a volume and the claim that jobs mount (FSx CSI driver, static provisioning).

    The arguments may hold Terraform tokens.
    """
    capacity = {"storage": f"{size_gib}Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": VOLUME},
        "spec": {
            "capacity": capacity,
            "accessModes": ["ReadWriteMany"],
            "mountOptions": ["relatime", "flock"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": NAMESPACE, "name": VOLUME},
            "csi": {
                "driver": "fsx.csi.aws.com",
                "volumeHandle": file_system_id,
                "volumeAttributes": {"dnsname": dns_name, "mountname": mount_name},
            },
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": VOLUME, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": VOLUME,
            "resources": {"requests": capacity},
        },
    }
    return _text(volume, claim)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Labels stand in full wherever they are used."""
        return True


def _text(*documents: dict[str, Any]) -> str:
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1000)


def _environment(environment: tuple[Variable, ...]) -> str:
    """A config map with the reason above each variable, which a YAML writer would drop."""
    frame = _text({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ENVIRONMENT, "namespace": NAMESPACE}})
    lines = ["data:"]
    for entry in environment:
        if entry.value is not None:
            lines += [f"  # {entry.reason} ({entry.source})", f"  {entry.variable}: {json.dumps(entry.value)}"]
    return frame + "\n".join(lines) + "\n"


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _service_account() -> dict[str, Any]:
    # Pod Identity gives its pods the role of the jobs.
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE},
    }


def _nvidia_device_plugin() -> dict[str, Any]:
    return _device_plugin(
        "nvidia-device-plugin",
        NVIDIA_PLUGIN_IMAGE,
        {"nvidia.com/gpu.present": "true"},
        environment=[{"name": "FAIL_ON_INIT_ERROR", "value": "true"}],
    )


def _efa_device_plugin(region: str) -> dict[str, Any]:
    account = REGISTRY_ACCOUNTS.get(region, REGISTRY_ACCOUNT)
    image = f"{account}.dkr.ecr.{region}.amazonaws.com/eks/aws-efa-k8s-device-plugin:{EFA_PLUGIN_VERSION}"
    return _device_plugin(
        "efa-device-plugin",
        image,
        {"llmcluster/efa": "true"},
        host_paths={"infiniband": "/dev/infiniband"},
        host_network=True,
    )


def _device_plugin(
    name: str,
    image: str,
    node_selector: dict[str, str],
    *,
    environment: list[dict[str, str]] | None = None,
    host_paths: dict[str, str] | None = None,
    host_network: bool = False,
) -> dict[str, Any]:
    paths = {"device-plugins": KUBELET_PLUGINS, **(host_paths or {})}
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        **({"env": environment} if environment else {}),
        "securityContext": NO_PRIVILEGES,
        "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}},
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in paths.items()],
    }
    pod: dict[str, Any] = {
        **({"hostNetwork": True} if host_network else {}),
        "automountServiceAccountToken": False,
        "priorityClassName": "system-node-critical",
        "nodeSelector": node_selector,
        "tolerations": TOLERATIONS,
        "containers": [container],
        "volumes": [{"name": volume, "hostPath": {"path": path}} for volume, path in paths.items()],
    }
    labels = {"app.kubernetes.io/name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
