"""Kubernetes objects of a cluster: device plugins, namespace and service account of jobs, the shared volume.

They are files and outputs of the stack, not Terraform resources: Terraform often cannot reach a private Kubernetes API,
and a plan then needs no Kubernetes provider.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from cdk.aws.eks.objects import NAMESPACE, NO_PRIVILEGES, TOLERATIONS, daemon_set, kustomization, text_of
from provider_catalog.collective_environment import Variable

SERVICE_ACCOUNT: Final = "job"
VOLUME: Final = "shared"
ENVIRONMENT: Final = "fabric-environment"
"""Config map that the containers of jobs use with `envFrom`."""
NVIDIA_PLUGIN_IMAGE: Final = "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"
EFA_PLUGIN_VERSION: Final = "v0.5.20"
REGISTRY_ACCOUNT: Final = "602401143452"
REGISTRY_ACCOUNTS: Final = {
    "ap-southeast-3": "296578399912",
    "eu-south-2": "455263428931",
    "me-central-1": "759879836304",
}
"""Accounts of EKS images in regions with a registry of their own; REGISTRY_ACCOUNT is the account for all other regions
(EKS user guide, "View Amazon container image registries for Amazon EKS add-ons")."""
KUBELET_PLUGINS: Final = "/var/lib/kubelet/device-plugins"


def manifests(
    region: str,
    image: Callable[[str], str] = str,
    *,
    efa: bool,
    environment: tuple[Variable, ...] = (),
    exporters: str | None = None,
    autoscaler: str | None = None,
) -> dict[str, str]:
    """Contents of the files for `kubectl apply -k`, by name.

    Args:
        region: Region from whose registry AWS images are pulled.
        image: Maps a public image to the one that is pulled, which may be a mirror.
        efa: Whether nodes have EFA.
        environment: Variables of collective communication, for the containers of jobs.
        exporters: Kubernetes objects of the exporters, as YAML; None where no metrics are collected.
        autoscaler: Kubernetes objects of the Cluster Autoscaler, as YAML; None where no node group is scaled.
    """
    files = {
        "namespace.yaml": text_of(_namespace(), _service_account()),
        "nvidia-device-plugin.yaml": text_of(_nvidia_device_plugin(image(NVIDIA_PLUGIN_IMAGE))),
        **({"efa-device-plugin.yaml": text_of(_efa_device_plugin(region))} if efa else {}),
        **({"exporters.yaml": exporters} if exporters else {}),
        **({"cluster-autoscaler.yaml": autoscaler} if autoscaler else {}),
    }
    if any(entry.value is not None for entry in environment):
        files[f"{ENVIRONMENT}.yaml"] = _environment(environment)
    return {"kustomization.yaml": kustomization(list(files)), **files}


def shared_volume(file_system_id: str, dns_name: str, mount_name: str, size_gib: int) -> str:
    """The shared file system as a volume, and the claim that jobs mount (FSx CSI driver, static provisioning).

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
    return text_of(volume, claim)


def _environment(environment: tuple[Variable, ...]) -> str:
    """A config map with a comment above each variable; it is written by hand, as a YAML writer drops comments."""
    frame = text_of(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ENVIRONMENT, "namespace": NAMESPACE}}
    )
    lines = ["data:"]
    for entry in environment:
        if entry.value is not None:
            lines += [f"  # {entry.reason} ({entry.source})", f"  {entry.variable}: {json.dumps(entry.value)}"]
    return frame + "\n".join(lines) + "\n"


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _service_account() -> dict[str, Any]:
    # Pod Identity gives pods of this account the role of the jobs.
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE},
    }


def _nvidia_device_plugin(image: str) -> dict[str, Any]:
    return _device_plugin(
        "nvidia-device-plugin",
        image,
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
    return daemon_set(name, "kube-system", pod)
