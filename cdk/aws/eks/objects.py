"""What the files of Kubernetes objects have in common."""

from collections.abc import Sequence
from typing import Any, Final

import yaml

NAMESPACE: Final = "llmcluster"
NO_PRIVILEGES: Final[dict[str, Any]] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
TOLERATIONS: Final = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Labels stand in full wherever they are used."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def text_of(*documents: dict[str, Any]) -> str:
    """The objects as one YAML file; scripts in them stand as they are."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1000)


def kustomization(files: Sequence[str]) -> str:
    """What makes `kubectl apply -k` take these files."""
    return text_of(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
    )


def daemon_set(name: str, namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    """A pod on every node that it fits on."""
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
