"""Every instance family under every orchestrator: the specs of tests/support/aws_matrix.py, judged by Terraform."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.plan import Plan
from tests.support import aws_moto
from tests.support.aws_matrix import FAMILIES, ORCHESTRATORS, plans, write_root
from tests.support.moto_server import MotoServer
from tests.support.terraform import Terraform

KINDS = ("reserved", "spot", "on_demand", "capacity_block")
# Two workers share the run.
HALVES = (0, 1)


@pytest.fixture(scope="module")
def matrix() -> Mapping[str, Plan]:
    return plans()


def nodes_by_kind(plan: Plan) -> dict[str, int]:
    purchase = plan.choice.purchase.model_dump()
    return {kind: purchase[f"{kind}_nodes"] for kind in KINDS if purchase[f"{kind}_nodes"]}


def test_the_matrix_is_wide(matrix: Mapping[str, Plan]) -> None:
    assert len(matrix) >= 40
    seen = Counter((plan.spec.orchestrator, kind) for plan in matrix.values() for kind in nodes_by_kind(plan))
    assert {orchestrator for orchestrator, _ in seen} == set(ORCHESTRATORS)
    for orchestrator in ORCHESTRATORS:
        assert {kind for found, kind in seen if found == orchestrator} == set(KINDS), orchestrator
    for orchestrator in ORCHESTRATORS:
        specs = [plan.spec for plan in matrix.values() if plan.spec.orchestrator == orchestrator]
        assert any(spec.rollout.validation_nodes for spec in specs), orchestrator
        assert any(spec.observability.metrics for spec in specs), orchestrator
        assert any(spec.network.egress == "endpoints-only" for spec in specs), orchestrator
    families = {instance_type.split(".")[0] for instance_type, *_ in FAMILIES}
    assert families == {"p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300", "g5", "g6", "g6e"}


@pytest.mark.parametrize("half", HALVES)
def test_terraform_validates_and_plans_every_spec(
    half: int, matrix: Mapping[str, Plan], terraform: Terraform, aws: MotoServer, tmp_path: Path
) -> None:
    aws_moto.install()
    chosen = dict(list(matrix.items())[half :: len(HALVES)])
    root = write_root(tmp_path, chosen)
    tf = terraform.with_env(aws.env)
    tf.init(root)

    assert tf.validate(root) == []
    changes = tf.plan(root)["resource_changes"]

    assert {action for change in changes for action in change["change"]["actions"]} <= {"create", "read"}
    for name, plan in chosen.items():
        module = f"{name}-compute"
        compute = [change for change in changes if change.get("module_address") == f"module.{module}"]
        document = json.loads((root / module / "main.tf.json").read_text())
        assert nodes_of_stack(plan, compute, document) == nodes_by_kind(plan), name


def nodes_of_stack(plan: Plan, changes: list[dict[str, Any]], document: dict[str, Any]) -> dict[str, int]:
    """Nodes by kind of purchase that a compute stack holds: the mix of the plan, one to one."""
    after = {(change["type"], change["name"]): change["change"]["after"] for change in changes}
    if plan.spec.orchestrator == "slurm":
        queues = yaml.safe_load(document["locals"]["parallelcluster"])["Scheduling"]["SlurmQueues"]
        counts = {queue["Name"].replace("-", "_"): queue["ComputeResources"][0]["MaxCount"] for queue in queues}
        groups = {name: _full(count, document) for name, count in counts.items()}
    elif plan.spec.orchestrator == "kubernetes":
        found = {name: group for (kind, name), group in after.items() if kind == "aws_eks_node_group"}
        groups = {name: group["scaling_config"][0]["max_size"] for name, group in found.items() if name != "system"}
    else:
        groups = {name: group["max_size"] for (kind, name), group in after.items() if kind == "aws_autoscaling_group"}
    reserved = after.get(("aws_ec2_capacity_reservation", "reserved"))
    assert (reserved["instance_count"] if reserved else 0) == groups.get("reserved", 0)
    return groups


def _full(count: int | str, document: dict[str, Any]) -> int:
    """A number of nodes, in the last phase where it is a reference to a local of the stack."""
    if isinstance(count, int):
        return count
    expression: str = document["locals"][count.removeprefix("${local.").removesuffix("}")]
    return int(expression.rsplit(" : ", 1)[1].removesuffix("}"))
