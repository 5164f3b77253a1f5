"""Changes of running AWS clusters: Terraform plans pairs of specs against the state of the first one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from planner.errors import SpecError
from planner.plan.choice import Purchase, SharedStorage
from planner.plan.plan import Plan
from tests.support.aws_matrix import state
from tests.support.aws_stacks import ROLES, Documents, stack_folder, synthesize
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform

OPS, DATA = (f"arn:aws:iam::123456789012:role/{name}" for name in ("ops", "data"))
FILES: Final = SharedStorage(
    sku="PERSISTENT_2-125",
    deployment_type="PERSISTENT_2",
    size_gib=2400,
    requested_gib=2000,
    throughput_mb_per_s=293.0,
    throughput_mb_per_s_per_tib=125,
)
REPLICAS: Final = {"multi_node": False, "instance_type": "g6.xlarge"}
BASES: Final[dict[str, dict[str, Any]]] = {
    "kubernetes": {
        "nodes": 2,
        "purchase": Purchase(reserved_nodes=2),
        "shared_storage": FILES,
        "spec": {
            "orchestrator": "kubernetes",
            "kubernetes": {"version": "1.34", "administrators": [OPS], "public_api_cidrs": ["203.0.113.0/24"]},
            "observability": {"notify": ["ops@example.com"]},
            "tags": {"team": "models"},
        },
    },
    "none": {
        **REPLICAS,
        "nodes": 2,
        "purchase": Purchase(on_demand_nodes=2),
        "shared_storage": FILES,
        "spec": {"observability": {"notify": ["ops@example.com"]}, "tags": {"team": "models"}},
    },
    "slurm": {
        "nodes": 2,
        "purchase": Purchase(reserved_nodes=2),
        "shared_storage": FILES,
        "spec": {
            "orchestrator": "slurm",
            "observability": {"notify": ["ops@example.com"]},
            "tags": {"team": "models"},
        },
    },
}
"""A running cluster of each orchestrator."""


@dataclass(frozen=True)
class Case:
    """A change of one field of a spec, or of one decision of its plan."""

    changed: str
    when: str
    """What the change is: `larger`, `smaller`, `any`."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the spec after the change, by dotted name."""
    choice: Mapping[str, Any] = field(default_factory=dict)
    """Decisions of the plan after the change."""
    only: tuple[str, ...] = ("kubernetes", "none", "slurm")


def _files(**changed: Any) -> dict[str, Any]:
    return {"shared_storage": FILES.model_copy(update=changed)}


CASES: Final = (
    Case("kubernetes.administrators", "any", {"kubernetes.administrators": [DATA, OPS]}, only=("kubernetes",)),
    Case("kubernetes.initial_nodes", "any", {"kubernetes.initial_nodes": 0}, only=("kubernetes",)),
    Case("kubernetes.public_api_cidrs", "any", {"kubernetes.public_api_cidrs": []}, only=("kubernetes",)),
    Case("kubernetes.version", "larger", {"kubernetes.version": "1.35"}, only=("kubernetes",)),
    Case("network.cidr", "any", {"network.cidr": "10.43.0.0/16"}),
    Case("network.connected_cidrs", "any", {"network.connected_cidrs": ["192.168.0.0/16"]}),
    Case("network.egress", "any", {"network.egress": "endpoints-only", "network.image_registry": "mirror.example.com"}),
    Case("network.image_registry", "any", {"network.image_registry": "mirror.example.com"}),
    Case("network.flow_logs", "any", {"network.flow_logs": False}),
    Case("network.flow_log_days", "any", {"network.flow_log_days": 30}),
    Case("placement.zone", "any", choice={"zone": "use1-az4"}),
    Case("storage.shared_tib", "larger", choice=_files(size_gib=4800)),
    Case("storage.shared_tib", "smaller", choice=_files(size_gib=1200)),
    Case(
        "storage.shared_sku",
        "any",
        choice=_files(sku="SCRATCH_2", deployment_type="SCRATCH_2", throughput_mb_per_s_per_tib=200),
    ),
    Case(
        "storage.shared_sku",
        "another throughput of the same type",
        choice=_files(sku="PERSISTENT_2-250", throughput_mb_per_s_per_tib=250),
    ),
    Case("storage.scratch", "any", choice={"scratch": "none"}),
    Case("storage.lustre.compression", "any", {"storage.lustre.compression": "none"}),
    Case("storage.lustre.metadata_iops", "larger", {"storage.lustre.metadata_iops": 6000}),
    Case("storage.lustre.efa", "any", {"storage.lustre.efa": True}),
    Case("storage.lustre.backup_days", "any", {"storage.lustre.backup_days": 7}),
    Case(
        "storage.lustre.data_repositories",
        "any",
        {"storage.lustre.data_repositories": [{"bucket": "s3://code", "path": "/code"}]},
    ),
    Case("storage.keep_on_destroy", "any", {"storage.keep_on_destroy": False}),
    Case("observability.notify", "any", {"observability.notify": ["data@example.com", "ops@example.com"]}),
    Case("observability.metrics", "any", {"observability.metrics": True}),
    Case("budget.usd_per_month", "any", {"budget.usd_per_month": 1_000_000}),
    Case(
        "security.permissions_boundary",
        "any",
        {"security.permissions_boundary": "arn:aws:iam::123456789012:policy/boundary"},
    ),
    Case("security.ebs_default_key", "any", {"security.ebs_default_key": True}, only=("slurm",)),
    Case("rollout.validation_nodes", "any", {"rollout.validation_nodes": 1}),
    Case("tags", "any", {"tags": {"team": "models", "cost": "42"}}),
    Case("nodes", "larger", choice={"nodes": 3, "purchase": None}),
    Case("nodes", "smaller", choice={"nodes": 1, "purchase": None, "multi_node": False}, only=("none",)),
    Case("instance_type", "any", choice={"instance_type": "p5.48xlarge"}, only=("kubernetes", "slurm")),
    Case("instance_type", "any", choice={"instance_type": "g6e.12xlarge"}, only=("none",)),
    Case("purchase", "any", choice={"purchase": Purchase(spot_nodes=2)}),
)
"""Changes of every field that reaches a resource, and of every decision."""


_BESIDE: Final = (
    "the names of all stacks, states and resources contain it: Terraform builds a second cluster and leaves the old "
    "one alone; destroy the old one with its own documents"
)
BY_CONSTRUCTION: Final[list[dict[str, Any]]] = [
    {"field": "name", "verdict": "replaced", "reason": _BESIDE},
    {
        "field": "region",
        "verdict": "replaced",
        "reason": (
            "Terraform looks for the old resources in the new region, does not find them and loses sight of them; "
            "destroy the cluster first"
        ),
    },
    {
        "field": "orchestrator",
        "verdict": "replaced",
        "reason": "the nodes and their control plane are destroyed; network, file system and checkpoints stay",
    },
    {
        "field": "network.vpc_id",
        "verdict": "replaced",
        "reason": (
            "the network of the cluster is destroyed or built, and nodes and file system stand in the other one: "
            "destroy the compute and storage stacks first"
        ),
    },
    {
        "field": "state",
        "verdict": "in place",
        "reason": "no resource changes; run terraform init -migrate-state in every stack",
    },
    {
        "field": "imports",
        "verdict": "in place",
        "reason": "what is named is taken over by the next apply",
    },
]
"""Rows that no plan shows, because Terraform sees another state or another region."""


def plan_of(orchestrator: str, case: Case | None = None) -> Plan:
    """Return the plan of a running cluster, or of the same cluster after a change."""
    base = BASES[orchestrator]
    spec: dict[str, Any] = json.loads(json.dumps(base["spec"]))
    choice = {key: value for key, value in base.items() if key != "spec"}
    if case is not None:
        for name, value in case.spec.items():
            *parents, leaf = name.split(".")
            place = spec
            for parent in parents:
                place = place.setdefault(parent, {})
            place[leaf] = value
        choice |= case.choice
        if choice["purchase"] is None:
            kind = next(iter(base["purchase"].nodes_by_kind()))
            choice["purchase"] = Purchase(**{f"{kind}_nodes": choice["nodes"]})
    return example_plan(spec=spec, **choice)


@dataclass(frozen=True)
class Verdict:
    """What Terraform plans for a change."""

    verdict: str
    """`none`, `in place`, `rolling`, `replaced` or `refused`."""
    resources: tuple[str, ...]
    """Resources that are replaced, or whose nodes are; empty where none is."""
    reason: str = ""
    """Why the change is refused."""


class LivingCluster:
    """A cluster that was applied to a local AWS, and the changes that Terraform would make to it."""

    def __init__(self, orchestrator: str, terraform: Terraform, account: MotoServer, folder: Path) -> None:
        self._orchestrator = orchestrator
        self._terraform = terraform.with_env(account.env)
        self._folder = folder
        plan = plan_of(orchestrator)
        self._documents = synthesize(plan, folder)
        self._stacks = {role: stack_folder(folder, plan, role) for role in ROLES}
        for stack in self._stacks.values():
            account.write_override(stack)
            self._terraform.init(stack)
            self._terraform.apply(stack)

    def verdict(self, case: Case) -> Verdict:
        """Plan a change, and say what it does to the running cluster."""
        try:
            after = synthesize(plan_of(self._orchestrator, case), self._folder / "after")
        except SpecError as error:
            return Verdict("refused", (), str(error))
        states = {role: self._folder / "state" / f"example-{role}.tfstate" for role in ROLES}
        kept = {role: path.read_text() for role, path in states.items()}
        try:
            for role, path in states.items():
                path.write_text(_with_outputs(kept[role], after[role].get("output", {})))
            return self._planned(after)
        finally:
            for role, path in states.items():
                path.write_text(kept[role])

    def _planned(self, after: Documents) -> Verdict:
        changes: dict[str, dict[str, Any]] = {}
        for role, stack in self._stacks.items():
            if _document(after[role]) == _document(self._documents[role]):
                continue
            path = stack / "cdk.tf.json"
            kept = path.read_text()
            path.write_text(json.dumps(_document(after[role])))
            try:
                planned = self._terraform.run(
                    ["plan", "-no-color", "-refresh=false", "-lock=false", "-out=test.tfplan"], stack, check=False
                )
                if planned.returncode:
                    reason, resources = _refusal(planned.stderr)
                    return Verdict("refused", resources, reason)
                shown = self._terraform.show_json(stack, "test.tfplan")
            finally:
                path.write_text(kept)
            for change in shown.get("resource_changes", []):
                if change["mode"] == "managed" and change["change"]["actions"] != ["no-op"]:
                    changes[f"{role}.{change['address']}"] = change["change"]
            if shown.get("output_changes", {}).get("cluster_configuration", {}).get("actions") == ["update"]:
                changes["compute.cluster_configuration"] = {"actions": ["update"], "rolling": True}
        return _verdict(changes)


def _with_outputs(text: str, outputs: Mapping[str, Any]) -> str:
    """Return a state with stand-ins for outputs that its stack does not have yet: the stacks are planned one by one."""
    found = json.loads(text)
    missing = {name: output for name, output in outputs.items() if name not in found["outputs"]}
    found["outputs"] |= state(missing)["outputs"]
    return json.dumps(found)


def _document(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("files", "addresses")}


REPLACEABLE: Final = (
    "aws_eks_access_",
    "aws_fsx_data_repository_association",
    "aws_iam_",
    "aws_route",
    "aws_s3_object",
    "aws_sns_topic_subscription",
    "aws_vpc_security_group_",
    "aws_autoscaling_schedule",
)
"""Resources that hold nothing: replacing them is a change in place of the cluster."""


def _verdict(changes: Mapping[str, dict[str, Any]]) -> Verdict:
    replaced = [
        address
        for address, change in changes.items()
        if set(change["actions"]) >= {"create", "delete"}
        and not address.split(".", 1)[1].removeprefix("data.").startswith(REPLACEABLE)
    ]
    if replaced:
        return Verdict("replaced", tuple(sorted(replaced)))
    rolling = [address for address, change in changes.items() if _rolls(address, change)]
    if rolling:
        return Verdict("rolling", tuple(sorted(rolling)))
    return Verdict("in place" if changes else "none", ())


def _rolls(address: str, change: dict[str, Any]) -> bool:
    """Whether an update replaces nodes one by one: another template, image or version, or Slurm's configuration."""
    if change.get("rolling"):
        return True
    if change["actions"] != ["update"]:
        return False
    kind = address.split(".")[1]
    before, after, unknown = change["before"], change["after"], change.get("after_unknown", {})
    if kind == "aws_eks_node_group":
        fields: tuple[str, ...] = ("launch_template", "version", "release_version")
    elif kind == "aws_autoscaling_group":
        fields = ("launch_template", "mixed_instances_policy")
    else:
        return False
    return any(before.get(name) != after.get(name) or _unknown(unknown.get(name)) for name in fields)


def _unknown(value: Any) -> bool:
    if isinstance(value, list):
        return any(_unknown(each) for each in value)
    if isinstance(value, dict):
        return any(_unknown(each) for each in value.values())
    return value is True


def _refusal(stderr: str) -> tuple[str, tuple[str, ...]]:
    text = " ".join(line.strip("│╷╵ ") for line in stderr.splitlines() if line.strip("│╷╵ "))
    protected = tuple(sorted({word.rstrip(",") for word in text.split() if word.startswith("aws_") and "." in word}))
    if "prevent_destroy" in text:
        return "Terraform would have to replace protected data, and stops", protected
    return text.removeprefix("Error: ")[:300], ()


def reason_of(resources: Sequence[str]) -> str:
    """Say what else follows from the replacement of these resources, in stacks that are planned later."""
    if any(address.startswith("network.aws_subnet.compute") for address in resources):
        return "nodes and file system stand in the subnet: destroy the compute and storage stacks first"
    return ""


def rows(orchestrator: str, cluster: LivingCluster) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of changes for one orchestrator."""
    for case in CASES:
        if orchestrator in case.only:
            found = cluster.verdict(case)
            row: dict[str, Any] = {"field": case.changed, "orchestrator": orchestrator, "when": case.when}
            row["verdict"] = found.verdict
            if found.resources:
                row["resources"] = list(found.resources)
            if reason := found.reason or reason_of(found.resources):
                row["reason"] = reason
            yield row
