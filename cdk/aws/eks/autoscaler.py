"""The Cluster Autoscaler: what it may do in the account, which node groups it scales, and its Kubernetes objects.

It scales the Auto Scaling groups of managed node groups, and so keeps their launch templates, with the network cards,
the placement and the reservation that these name. Karpenter launches instances past these groups (ADR 0006).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
)
from cdktf_cdktf_provider_aws.eks_pod_identity_association import EksPodIdentityAssociation
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from constructs import Construct

from cdk.aws.eks.node_groups import AutoscalerTags
from cdk.aws.eks.objects import NO_PRIVILEGES, text_of
from cdk.aws.roles import pod_role
from cdk.naming import named

NAME: Final = "cluster-autoscaler"
NAMESPACE: Final = "kube-system"
GROUP_TAG: Final = "llmcluster/autoscaler"
"""Tag by which the autoscaler finds the groups that it scales; its value is the name of the cluster. EKS sets the usual
tags (`k8s.io/cluster-autoscaler/…`) on every managed node group, also on those that no scaler may touch."""
TEMPLATE: Final = "k8s.io/cluster-autoscaler/node-template"
"""Prefix of the tags that tell what a node of an empty group will offer (Cluster Autoscaler on AWS, "Auto-Discovery
Setup")."""
ACCELERATOR_LABEL: Final = "k8s.amazonaws.com/accelerator"
"""Label by which the autoscaler waits for the GPUs of a new node (the same page, "Special note on GPU instances")."""
REPOSITORY: Final = "registry.k8s.io/autoscaling/cluster-autoscaler"
EXPANDER: Final = "cluster-autoscaler-priority-expander"
"""Name of the config map that the expander `priority` reads (Cluster Autoscaler, "Priority based expander")."""
NOBODY: Final = 65534


def autoscaler_image(kubernetes_version: str) -> str:
    """The image of the autoscaler for a minor version of Kubernetes: it simulates that version's scheduler."""
    return f"{REPOSITORY}:v{kubernetes_version}.0"


def autoscaler_tags(cluster: str, *, gpus: int, gpu: str, efa_cards: int) -> AutoscalerTags:
    """What the autoscaler reads from a node group.

    Args:
        cluster: Name of the cluster.
        gpus: GPUs of a node.
        gpu: Name of the GPU.
        efa_cards: Network cards of a node with EFA.
    """
    return AutoscalerTags(
        tags={
            GROUP_TAG: cluster,
            f"{TEMPLATE}/resources/nvidia.com/gpu": str(gpus),
            **({f"{TEMPLATE}/resources/vpc.amazonaws.com/efa": str(efa_cards)} if efa_cards else {}),
        },
        labels={ACCELERATOR_LABEL: re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")},
    )


def add_autoscaler_identity(
    scope: Construct, *, name: str, region: str, partition: str, cluster_name: str, account: str
) -> ITerraformDependable:
    """Adds the role of the autoscaler: it may set the size of the groups that it finds, and end their nodes."""
    role = pod_role(
        scope,
        "autoscaler",
        name=f"{name}-autoscaler-{region}",
        description=f"Cluster Autoscaler of cluster {name}",
        partition=partition,
    )
    policy = named(
        DataAwsIamPolicyDocument(
            scope,
            "autoscaler_policy",
            statement=[
                DataAwsIamPolicyDocumentStatement(
                    sid="LookUp",
                    actions=[
                        "autoscaling:DescribeAutoScalingGroups",
                        "autoscaling:DescribeAutoScalingInstances",
                        "autoscaling:DescribeScalingActivities",
                        "autoscaling:DescribeTags",
                        "ec2:DescribeImages",
                        "ec2:DescribeInstanceTypes",
                        "ec2:DescribeLaunchTemplateVersions",
                        "ec2:GetInstanceTypesFromInstanceRequirements",
                    ],
                    # These actions know no resources (Service Authorization Reference).
                    resources=["*"],
                ),
                DataAwsIamPolicyDocumentStatement(
                    sid="ReadNodeGroups",
                    actions=["eks:DescribeNodegroup"],
                    resources=[f"arn:{partition}:eks:{region}:{account}:nodegroup/{name}/*/*"],
                ),
                DataAwsIamPolicyDocumentStatement(
                    sid="Scale",
                    actions=["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
                    resources=[f"arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*"],
                    condition=[
                        DataAwsIamPolicyDocumentStatementCondition(
                            test="StringEquals", variable=f"autoscaling:ResourceTag/{GROUP_TAG}", values=[name]
                        )
                    ],
                ),
            ],
        ),
        "autoscaler",
    )
    rights = named(
        IamRolePolicy(scope, "autoscaler_rights", name="scale", role=role.role.id, policy=policy.json), "autoscaler"
    )
    return named(
        EksPodIdentityAssociation(
            scope,
            "autoscaler_identity",
            cluster_name=cluster_name,
            namespace=NAMESPACE,
            service_account=NAME,
            role_arn=role.role.arn,
            depends_on=[rights],
        ),
        "autoscaler",
    )


def autoscaler_manifest(
    cluster: str, region: str, kubernetes_version: str, image: Callable[[str], str], *, spot: bool
) -> str:
    """Kubernetes objects of the autoscaler, as one YAML file.

    Args:
        cluster: Name of the cluster.
        region: Region of the cluster.
        kubernetes_version: Minor version of Kubernetes.
        image: Maps a public image to the one that is pulled, which may be a mirror.
        spot: Whether a node group is on Spot, which is then filled before the others.
    """
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named(namespaced=True)}
    cluster_rules = [_rule(group, kinds, verbs, names) for group, kinds, verbs, names in _CLUSTER_RULES]
    rules = [_rule(group, kinds, verbs, names) for group, kinds, verbs, names in _NAMESPACE_RULES]
    documents = [
        account,
        _role("ClusterRole", cluster_rules),
        _role("Role", rules),
        _binding("ClusterRole"),
        _binding("Role"),
        *([_priorities()] if spot else []),
        _deployment(image(autoscaler_image(kubernetes_version)), cluster, region, spot),
    ]
    return text_of(*documents)


_READ: Final = ("get", "list", "watch")
_CLUSTER_RULES: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]] = (
    ("", ("events", "endpoints"), ("create", "patch"), ()),
    ("", ("pods/eviction",), ("create",), ()),
    ("", ("pods/status",), ("update",), ()),
    ("", ("endpoints",), ("get", "update"), (NAME,)),
    ("", ("nodes",), (*_READ, "update"), ()),
    (
        "",
        ("namespaces", "pods", "services", "replicationcontrollers", "persistentvolumeclaims", "persistentvolumes"),
        _READ,
        (),
    ),
    ("policy", ("poddisruptionbudgets",), _READ, ()),
    ("apps", ("statefulsets", "replicasets", "daemonsets"), _READ, ()),
    (
        "storage.k8s.io",
        ("storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"),
        _READ,
        (),
    ),
    ("batch", ("jobs",), (*_READ, "patch"), ()),
    ("resource.k8s.io", ("resourceclaims", "resourceslices", "deviceclasses"), _READ, ()),
    ("coordination.k8s.io", ("leases",), ("create",), ()),
    ("coordination.k8s.io", ("leases",), ("get", "update"), (NAME,)),
)
"""What the autoscaler reads to simulate the scheduler, and what it writes: API group, kinds, verbs, names (its own
example for AWS; 1.34 and newer read the objects of dynamic resource allocation too)."""
_NAMESPACE_RULES: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]] = (
    ("", ("configmaps",), ("create", "list", "watch"), ()),
    ("", ("configmaps",), ("delete", "get", "update", "watch"), (f"{NAME}-status", EXPANDER)),
)


def _rule(group: str, kinds: tuple[str, ...], verbs: tuple[str, ...], names: tuple[str, ...]) -> dict[str, Any]:
    named_only = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": list(kinds), **named_only, "verbs": list(verbs)}


def _named(*, namespaced: bool) -> dict[str, Any]:
    return {"name": NAME, **({"namespace": NAMESPACE} if namespaced else {})}


def _role(kind: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": _named(namespaced=kind == "Role"),
        "rules": rules,
    }


def _binding(kind: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{kind}Binding",
        "metadata": _named(namespaced=kind == "Role"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", **_named(namespaced=True)}],
    }


def _priorities() -> dict[str, Any]:
    """Spot first, as the plan counts it: on-demand nodes start where Spot is full or lacks capacity."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": EXPANDER, "namespace": NAMESPACE},
        "data": {"priorities": "20:\n- .*-spot-.*\n10:\n- .*\n"},
    }


def _deployment(image: str, cluster: str, region: str, spot: bool) -> dict[str, Any]:
    labels: Mapping[str, str] = {"app.kubernetes.io/name": NAME}
    container: dict[str, Any] = {
        "name": NAME,
        "image": image,
        "command": [
            "./cluster-autoscaler",
            "--cloud-provider=aws",
            f"--node-group-auto-discovery=asg:tag={GROUP_TAG}={cluster}",
            f"--expander={'priority,' if spot else ''}least-waste",
            # Caches of a model on a local disk do not keep a node.
            "--skip-nodes-with-local-storage=false",
            "--v=2",
        ],
        "env": [{"name": "AWS_REGION", "value": region}],
        "securityContext": {**NO_PRIVILEGES, "readOnlyRootFilesystem": True},
        "resources": {"requests": {"cpu": "100m", "memory": "600Mi"}, "limits": {"memory": "1Gi"}},
        "livenessProbe": {"httpGet": {"path": "/health-check", "port": 8085}, "initialDelaySeconds": 60},
    }
    pod = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_named(namespaced=True), "labels": dict(labels)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        },
    }
