"""The burn-in of the phase `validate` under Kubernetes, as files for `kubectl apply -k`.

An Indexed Job runs torchrun in a pod on every node. It needs no operator and no keys for logins between pods. Its image
comes from AWS's registry in the region and has the NCCL and the plugin that a training job uses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdk.aws.eks.objects import NAMESPACE, NO_PRIVILEGES, TOLERATIONS, kustomization, text_of
from cdk.bootstrap import all_reduce

NAME: Final = "burn-in"
LABEL: Final = "llmcluster/burn-in"
DCGM_IMAGE: Final = "nvcr.io/nvidia/cloud-native/dcgm:4.4.2-1-ubuntu22.04"
HUGEPAGES: Final = "5120Mi"
"""Huge pages of libfabric (EKS user guide, "Run machine learning training on Amazon EKS with Elastic Fabric
Adapter")."""
MASTER_PORT: Final = 29500

DIAGNOSE: Final = """\
# Level 3 is DCGM's long hardware diagnostic. The next container reports its verdict.
nv-hostengine
if dcgmi diag --run 3; then
  touch /result/healthy
fi
"""
BURN_IN: Final = """\
#!/usr/bin/env bash
# Burn-in of one node. The verdict becomes a label of the node; a node that fails is tainted too.
set -euo pipefail

fail() {
  echo "burn-in: $NODE_NAME failed: $1" >&2
  python3 /burn-in/report.py "failed-$1"
  exit 1
}

[ -e /result/healthy ] || fail dcgm
if [ -n "$INSIDE_GB_PER_S" ]; then
  torchrun --standalone --nproc-per-node "$GPUS" /burn-in/all-reduce.py "$INSIDE_GB_PER_S" || fail inside
fi
if [ -n "$BETWEEN_GB_PER_S" ]; then
  torchrun --nnodes "$NODES" --node-rank "$JOB_COMPLETION_INDEX" --nproc-per-node "$GPUS" \\
    --master-addr "$MASTER" --master-port "$MASTER_PORT" /burn-in/all-reduce.py "$BETWEEN_GB_PER_S" || fail between
fi
python3 /burn-in/report.py passed
"""
REPORT: Final = '''\
"""Writes the verdict of a burn-in to the node of this pod: a label, and a taint unless the node passed."""

import json
import os
import ssl
import sys
import urllib.request

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
KEY = "llmcluster/burn-in"


def patch(verdict):
    taint = {"key": KEY, "effect": "NoSchedule", "value": "failed"}
    return {
        "metadata": {"labels": {KEY: verdict}},
        "spec": {"taints": [taint if verdict != "passed" else {"$patch": "delete", "key": KEY}]},
    }


def main(verdict):
    with open(f"{ACCOUNT}/token") as token:
        headers = {
            "Authorization": f"Bearer {token.read()}",
            "Content-Type": "application/strategic-merge-patch+json",
        }
    request = urllib.request.Request(
        f"https://kubernetes.default.svc/api/v1/nodes/{os.environ['NODE_NAME']}",
        method="PATCH",
        headers=headers,
        data=json.dumps(patch(verdict)).encode(),
    )
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt"))


if __name__ == "__main__":
    main(sys.argv[1])
'''


@dataclass(frozen=True)
class KubernetesBurnIn:
    """Settings of a burn-in under Kubernetes."""

    nodes: int
    gpus: int
    """GPUs of a node."""
    efa_cards: int
    inside_gb_per_s: float | None
    """Smallest passing bus bandwidth of an all-reduce over the GPUs of a node, in GB/s; None: it is not measured."""
    between_gb_per_s: float | None
    """The same for an all-reduce over all nodes."""
    image: str
    environment: Mapping[str, str]
    """NCCL and libfabric variables by name."""


def burn_in_manifests(config: KubernetesBurnIn, image: Callable[[str], str]) -> dict[str, str]:
    """Contents of the files by name.

    Args:
        config: Settings of the burn-in.
        image: Maps a public image to the one that is pulled, which may be a mirror.
    """
    objects = [_account(), *_rights(), _scripts(), _service(), _job(config, image(DCGM_IMAGE))]
    return {"kustomization.yaml": kustomization(["burn-in.yaml"]), "burn-in.yaml": text_of(*objects)}


def _metadata(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": NAME, "namespace": NAMESPACE, **more}}


def _account() -> dict[str, Any]:
    return {"apiVersion": "v1", **_metadata("ServiceAccount")}


def _rights() -> list[dict[str, Any]]:
    # Kubernetes cannot limit the permission to a pod's own node; `kubectl delete -k` removes the account.
    api = "rbac.authorization.k8s.io"
    role = {"name": f"llmcluster-{NAME}"}
    return [
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRole",
            "metadata": role,
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}],
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": role,
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", **role},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
    ]


def _scripts() -> dict[str, Any]:
    scripts = {"burn-in.sh": BURN_IN, "report.py": REPORT, "all-reduce.py": all_reduce()}
    return {"apiVersion": "v1", **_metadata("ConfigMap"), "data": scripts}


def _service() -> dict[str, Any]:
    # Gives the first pod a DNS name, before it is ready: the other pods connect to it.
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"batch.kubernetes.io/job-name": NAME}}
    return {"apiVersion": "v1", **_metadata("Service"), "spec": spec}


def _job(config: KubernetesBurnIn, dcgm_image: str) -> dict[str, Any]:
    efa = {"vpc.amazonaws.com/efa": config.efa_cards, "hugepages-2Mi": HUGEPAGES} if config.efa_cards else {}
    devices = {"nvidia.com/gpu": config.gpus}
    environment = {
        "GPUS": str(config.gpus),
        "NODES": str(config.nodes),
        "MASTER": f"{NAME}-0.{NAME}",
        "MASTER_PORT": str(MASTER_PORT),
        "INSIDE_GB_PER_S": _threshold(config.inside_gb_per_s),
        "BETWEEN_GB_PER_S": _threshold(config.between_gb_per_s),
        **config.environment,
    }
    result = {"name": "result", "mountPath": "/result"}
    pod = {
        "serviceAccountName": NAME,
        "subdomain": NAME,
        "restartPolicy": "Never",
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
        # Nodes that failed before are tested again.
        "tolerations": [*TOLERATIONS, {"key": LABEL, "operator": "Exists", "effect": "NoSchedule"}],
        "initContainers": [
            {
                "name": "dcgm",
                "image": dcgm_image,
                "command": ["bash", "-c", DIAGNOSE],
                # Reading the profiling counters of GPUs needs CAP_SYS_ADMIN.
                "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}},
                "resources": {"limits": devices},
                "volumeMounts": [result],
            }
        ],
        "containers": [
            {
                "name": NAME,
                "image": config.image,
                "command": ["bash", "/burn-in/burn-in.sh"],
                "env": [
                    {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    *({"name": name, "value": value} for name, value in environment.items()),
                ],
                "securityContext": {**NO_PRIVILEGES, "capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}},
                "resources": {"limits": {**devices, **efa}, "requests": {"cpu": "4", "memory": "16Gi"}},
                "volumeMounts": [
                    result,
                    {"name": "scripts", "mountPath": "/burn-in"},
                    {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - shared memory of NCCL
                ],
            }
        ],
        "volumes": [
            {"name": "result", "emptyDir": {}},
            {"name": "scripts", "configMap": {"name": NAME}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        **_metadata("Job"),
        "spec": {
            "completionMode": "Indexed",
            "completions": config.nodes,
            "parallelism": config.nodes,
            # A failing node does not end the others; every node is tested once.
            "backoffLimitPerIndex": 0,
            "template": {"spec": pod},
        },
    }


def _threshold(gb_per_s: float | None) -> str:
    return "" if gb_per_s is None else str(gb_per_s)
