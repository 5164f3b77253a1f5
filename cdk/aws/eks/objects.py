"""Helpers to write Kubernetes objects as YAML files."""

from collections.abc import Sequence
from typing import Any, Final

import yaml

NAMESPACE: Final = "llmcluster"
NO_PRIVILEGES: Final[dict[str, Any]] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
TOLERATIONS: Final = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Writes repeated labels in full."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def text_of(*documents: dict[str, Any]) -> str:
    """The objects as one YAML file, in which scripts are blocks that a reviewer can read."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1000)


def kustomization(files: Sequence[str]) -> str:
    """The kustomization file that makes `kubectl apply -k` apply `files`."""
    return text_of(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
    )


def daemon_set(name: str, namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    """A DaemonSet, which runs `pod` on every node that its selector and tolerations admit."""
    labels = {"app.kubernetes.io/name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
