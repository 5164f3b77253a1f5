"""Operations of EKS that our stacks call and moto 5.2.5 lacks, written as moto writes its own.

Added: add-ons, access entries with their policies, pod identity associations, updates; the security group and the VPC
of a cluster, its access and upgrade settings, and what a node group says of its updates and of repair; tags of the Auto
Scaling groups of node groups, which moto names but does not make. Shapes follow the EKS API reference. Everything is
ACTIVE as soon as it is asked for.
"""

from typing import Any
from uuid import uuid4

from moto.autoscaling.models import AutoScalingBackend
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.eks import urls
from moto.eks.exceptions import ResourceNotFoundException
from moto.eks.models import Cluster, EKSBackend
from moto.eks.responses import EKSResponse

_create_tags = AutoScalingBackend.create_or_update_tags
_delete_tags = AutoScalingBackend.delete_tags
_describe_tags = AutoScalingBackend.describe_tags
_create_cluster = EKSBackend.create_cluster
_delete_cluster = EKSBackend.delete_cluster
_create_cluster_response = EKSResponse.create_cluster
_create_nodegroup_response = EKSResponse.create_nodegroup

ROLE = "(?P<principalArn>arn:[^/]+:[a-z]+/[^/]+)"
PATHS = (
    "/clusters/(?P<name>[^/]+)/addons$",
    "/clusters/(?P<name>[^/]+)/addons/(?P<addonName>[^/]+)$",
    "/clusters/(?P<name>[^/]+)/access-entries$",
    f"/clusters/(?P<name>[^/]+)/access-entries/{ROLE}$",
    f"/clusters/(?P<name>[^/]+)/access-entries/{ROLE}/access-policies$",
    f"/clusters/(?P<name>[^/]+)/access-entries/{ROLE}/access-policies/(?P<policyArn>arn:.+)$",
    "/clusters/(?P<name>[^/]+)/pod-identity-associations$",
    "/clusters/(?P<name>[^/]+)/pod-identity-associations/(?P<associationId>[^/]+)$",
    "/clusters/(?P<name>[^/]+)/updates/(?P<updateId>[^/]+)$",
)


def _missing(kind: str, name: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(
        clusterName=None,
        nodegroupName=None,
        fargateProfileName=None,
        addonName=None,
        message=f"No {kind} found for name: {name}.",
    )


class _Extras:
    """Resources of a cluster beside its node groups."""

    def __init__(self) -> None:
        self.addons: dict[str, dict[str, Any]] = {}
        self.access_entries: dict[str, dict[str, Any]] = {}
        self.access_policies: dict[tuple[str, str], dict[str, Any]] = {}
        self.pod_identities: dict[str, dict[str, Any]] = {}


def _extras(cluster: Any) -> _Extras:
    if not hasattr(cluster, "extras"):
        cluster.extras = _Extras()
    return cluster.extras  # type: ignore[no-any-return]


def _create_with_group(self: EKSBackend, **kwargs: Any) -> Cluster:
    cluster: Any = _create_cluster(self, **kwargs)
    ec2 = ec2_backends[self.account_id][self.region_name]
    vpc_id = ec2.get_subnet(cluster.resources_vpc_config["subnetIds"][0]).vpc_id
    group = ec2.create_security_group(
        f"eks-cluster-sg-{cluster.name}", "EKS created security group", vpc_id=vpc_id, tags={}
    )
    cluster.resources_vpc_config |= {"vpcId": vpc_id, "clusterSecurityGroupId": group.id}
    return cluster  # type: ignore[no-any-return]


def _delete_with_group(self: EKSBackend, name: str) -> Cluster:
    cluster: Any = _delete_cluster(self, name)
    ec2_backends[self.account_id][self.region_name].delete_security_group(
        group_id=cluster.resources_vpc_config["clusterSecurityGroupId"]
    )
    return cluster  # type: ignore[no-any-return]


def _create_with_access(self: EKSResponse) -> ActionResult:
    answer = _create_cluster_response(self)
    cluster: Any = self.eks_backend.describe_cluster(self._get_param("name"))
    cluster.access_config = self._get_param("accessConfig")
    cluster.upgrade_policy = self._get_param("upgradePolicy")
    return answer


def _create_with_updates(self: EKSResponse) -> ActionResult:
    answer = _create_nodegroup_response(self)
    group: Any = self.eks_backend.describe_nodegroup(self._get_param("name"), self._get_param("nodegroupName"))
    group.update_config = self._get_param("updateConfig")
    group.node_repair_config = self._get_param("nodeRepairConfig")
    if group.launch_template:
        # These come from the template, and EKS shows none of them.
        group.disk_size = group.instance_types = group.remote_access = None
    return answer


def _tags_of_node_groups(backend: AutoScalingBackend) -> dict[tuple[str, str], dict[str, str]]:
    found: dict[tuple[str, str], dict[str, str]] = backend.__dict__.setdefault("tags_of_node_groups", {})
    return found


def _of_node_group(backend: AutoScalingBackend, tag: dict[str, str]) -> bool:
    return tag["ResourceId"] not in backend.autoscaling_groups


def _create_tags_of_all(self: AutoScalingBackend, tags: list[dict[str, str]]) -> None:
    _create_tags(self, [tag for tag in tags if not _of_node_group(self, tag)])
    theirs = [tag for tag in tags if _of_node_group(self, tag)]
    _tags_of_node_groups(self).update({(tag["ResourceId"], tag["Key"]): tag for tag in theirs})


def _delete_tags_of_all(self: AutoScalingBackend, tags: list[dict[str, str]]) -> None:
    _delete_tags(self, [tag for tag in tags if not _of_node_group(self, tag)])
    for tag in tags:
        _tags_of_node_groups(self).pop((tag["ResourceId"], tag["Key"]), None)


def _describe_tags_of_all(self: AutoScalingBackend, filters: list[dict[str, Any]]) -> list[dict[str, str]]:
    fields = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}
    wanted = {fields[each["Name"]]: each["Values"] for each in filters if each["Name"] in fields}
    theirs = [
        tag
        for tag in _tags_of_node_groups(self).values()
        if all(tag[name] in values for name, values in wanted.items())
    ]
    return [*_describe_tags(self, filters), *theirs]


class Extended:
    """The request handlers."""

    eks_backend: EKSBackend
    current_account: str
    region: str

    def _get_param(self, name: str, default: Any = None) -> Any:
        raise NotImplementedError

    def _cluster(self) -> Any:
        return self.eks_backend.describe_cluster(self._get_param("name") or self._get_param("clusterName"))

    def _of_cluster(self, kind: str, name: str) -> str:
        return f"arn:aws:eks:{self.region}:{self.current_account}:{kind}/{self._cluster().name}/{name}/{uuid4()}"

    # Add-ons

    def create_addon(self) -> ActionResult:
        cluster, name = self._cluster(), self._get_param("addonName")
        associations = [
            self._associate("kube-system", given["serviceAccount"], given["roleArn"])
            for given in self._get_param("podIdentityAssociations") or []
        ]
        addon = {
            "addonName": name,
            "clusterName": cluster.name,
            "status": "ACTIVE",
            "addonVersion": self._get_param("addonVersion") or "v1.0.0-eksbuild.1",
            "addonArn": self._of_cluster("addon", name),
            "createdAt": utcnow(),
            "modifiedAt": utcnow(),
            "configurationValues": self._get_param("configurationValues"),
            "podIdentityAssociations": [association["associationArn"] for association in associations],
            "tags": self._get_param("tags") or {},
            "health": {"issues": []},
        }
        _extras(cluster).addons[name] = addon
        return ActionResult({"addon": addon})

    def describe_addon(self) -> ActionResult:
        addons, name = _extras(self._cluster()).addons, self._get_param("addonName")
        if name not in addons:
            raise _missing("addon", name)
        return ActionResult({"addon": addons[name]})

    def delete_addon(self) -> ActionResult:
        extras, name = _extras(self._cluster()), self._get_param("addonName")
        if name not in extras.addons:
            raise _missing("addon", name)
        addon = extras.addons.pop(name)
        for key, association in list(extras.pod_identities.items()):
            if association["associationArn"] in addon["podIdentityAssociations"]:
                del extras.pod_identities[key]
        return ActionResult({"addon": addon})

    # Access

    def create_access_entry(self) -> ActionResult:
        cluster, arn = self._cluster(), self._get_param("principalArn")
        entry = {
            "clusterName": cluster.name,
            "principalArn": arn,
            "accessEntryArn": self._of_cluster("access-entry", "role"),
            "createdAt": utcnow(),
            "modifiedAt": utcnow(),
            "kubernetesGroups": self._get_param("kubernetesGroups") or [],
            "username": self._get_param("username") or arn,
            "type": self._get_param("type") or "STANDARD",
            "tags": self._get_param("tags") or {},
        }
        _extras(cluster).access_entries[arn] = entry
        return ActionResult({"accessEntry": entry})

    def describe_access_entry(self) -> ActionResult:
        entries, arn = _extras(self._cluster()).access_entries, self._get_param("principalArn")
        if arn not in entries:
            raise _missing("access entry", arn)
        return ActionResult({"accessEntry": entries[arn]})

    def delete_access_entry(self) -> ActionResult:
        _extras(self._cluster()).access_entries.pop(self._get_param("principalArn"), None)
        return EmptyResult()

    def associate_access_policy(self) -> ActionResult:
        cluster, arn = self._cluster(), self._get_param("principalArn")
        policy = {
            "policyArn": self._get_param("policyArn"),
            "accessScope": self._get_param("accessScope"),
            "associatedAt": utcnow(),
            "modifiedAt": utcnow(),
        }
        _extras(cluster).access_policies[arn, policy["policyArn"]] = policy
        answer = {"clusterName": cluster.name, "principalArn": arn, "associatedAccessPolicy": policy}
        return ActionResult(answer)

    def list_associated_access_policies(self) -> ActionResult:
        cluster, arn = self._cluster(), self._get_param("principalArn")
        found = [policy for (owner, _), policy in _extras(cluster).access_policies.items() if owner == arn]
        return ActionResult({"clusterName": cluster.name, "principalArn": arn, "associatedAccessPolicies": found})

    def disassociate_access_policy(self) -> ActionResult:
        key = (self._get_param("principalArn"), self._get_param("policyArn"))
        _extras(self._cluster()).access_policies.pop(key, None)
        return EmptyResult()

    # Pod identity

    def _associate(self, namespace: str, service_account: str, role_arn: str) -> dict[str, Any]:
        cluster, key = self._cluster(), f"a-{uuid4().hex[:17]}"
        association = {
            "clusterName": cluster.name,
            "namespace": namespace,
            "serviceAccount": service_account,
            "roleArn": role_arn,
            "associationArn": (
                f"arn:aws:eks:{self.region}:{self.current_account}:podidentityassociation/{cluster.name}/{key}"
            ),
            "associationId": key,
            "createdAt": utcnow(),
            "modifiedAt": utcnow(),
            "tags": self._get_param("tags") or {},
        }
        _extras(cluster).pod_identities[key] = association
        return association

    def create_pod_identity_association(self) -> ActionResult:
        association = self._associate(
            self._get_param("namespace"), self._get_param("serviceAccount"), self._get_param("roleArn")
        )
        return ActionResult({"association": association})

    def describe_pod_identity_association(self) -> ActionResult:
        found, key = _extras(self._cluster()).pod_identities, self._get_param("associationId")
        if key not in found:
            raise _missing("pod identity association", key)
        return ActionResult({"association": found[key]})

    def delete_pod_identity_association(self) -> ActionResult:
        association = _extras(self._cluster()).pod_identities.pop(self._get_param("associationId"), None)
        return ActionResult({"association": association})

    # Updates

    def describe_update(self) -> ActionResult:
        update = {"id": self._get_param("updateId"), "status": "Successful", "type": "ConfigUpdate"}
        return ActionResult({"update": {**update, "createdAt": utcnow(), "params": [], "errors": []}})


def install() -> None:
    """Extend moto's EKS in this process; a second call changes nothing."""
    if Extended in EKSResponse.__mro__:
        return
    # Behind moto's own: what they both have is moto's.
    EKSResponse.__bases__ = (*EKSResponse.__bases__, Extended)
    patches: dict[type, dict[str, Any]] = {
        EKSBackend: {"create_cluster": _create_with_group, "delete_cluster": _delete_with_group},
        AutoScalingBackend: {
            "create_or_update_tags": _create_tags_of_all,
            "delete_tags": _delete_tags_of_all,
            "describe_tags": _describe_tags_of_all,
        },
        EKSResponse: {"create_cluster": _create_with_access, "create_nodegroup": _create_with_updates},
    }
    for owner, methods in patches.items():
        for name, method in methods.items():
            setattr(owner, name, method)
    for path in PATHS:
        urls.url_paths["{0}" + path] = urls.response.dispatch
