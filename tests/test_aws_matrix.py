"""Every instance family under every orchestrator, tests/support/aws_matrix.py, judged by Terraform and checkov."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.plan import Plan
from provider_catalog.catalog import Catalog
from tests.support import aws_moto, checkov
from tests.support.aws_matrix import FAMILIES, ORCHESTRATORS, own_network, planned, plans, stack_plans, write_root
from tests.support.aws_stacks import ROLES
from tests.support.bills import assert_same_bill, bill_of
from tests.support.moto_server import MotoServer
from tests.support.terraform import Terraform

KINDS = ("reserved", "spot", "on_demand", "capacity_block")
# Two workers share the run, and what is asked of one half stays with one of them.
HALVES = [pytest.param(half, marks=pytest.mark.xdist_group(f"matrix-{half}")) for half in (0, 1)]


@dataclass(frozen=True)
class Run:
    """What Terraform says of half of the matrix: `documents` by stack, `plan` of the root that holds them.

    `stacks` is the folder of the stacks as they are written for a user.
    """

    plans: Mapping[str, Plan]
    stacks: Path
    documents: Mapping[str, dict[str, Any]]
    diagnostics: list[dict[str, Any]]
    plan: dict[str, Any]


@pytest.fixture(scope="module")
def matrix() -> Mapping[str, Plan]:
    return plans()


@pytest.fixture(scope="module", params=HALVES, ids=["even", "odd"])
def half(
    request: pytest.FixtureRequest,
    matrix: Mapping[str, Plan],
    terraform: Terraform,
    moto_server: MotoServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    aws_moto.install()
    moto_server.reset()
    chosen = dict(list(matrix.items())[request.param :: len(HALVES)])
    if request.param:
        chosen["own-network"] = planned(own_network(*make_network(moto_server)), Catalog.load())
    root = write_root(tmp_path_factory.mktemp("matrix"), chosen)
    tf = terraform.with_env(moto_server.env)
    tf.init(root)
    documents = {path.parent.name: json.loads(path.read_text()) for path in root.glob("*/main.tf.json")}
    return Run(chosen, root.parent, documents, tf.validate(root), tf.plan(root))


def make_network(aws: MotoServer) -> tuple[str, str]:
    """A VPC with a subnet in it, as the nodes of `own_network` want them."""
    ec2 = aws.client("ec2")
    vpc_id: str = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.7.1.0/24", AvailabilityZoneId="use1-az6")["Subnet"]
    return vpc_id, subnet["SubnetId"]


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


def test_terraform_validates_and_plans_every_spec(half: Run) -> None:
    assert half.diagnostics == []
    changes = half.plan["resource_changes"]
    assert {action for change in changes for action in change["change"]["actions"]} <= {"create", "read"}
    for name, plan in half.plans.items():
        compute = [change for change in changes if change["module_address"] == f"module.{name}-compute"]
        assert nodes_of_stack(plan, compute, half.documents[f"{name}-compute"]) == nodes_by_kind(plan), name


def test_what_is_built_costs_what_was_planned(half: Run, tmp_path: Path) -> None:
    for name, plan in half.plans.items():
        stacks = [half.stacks / f"{name}-{role}" for role in ROLES]
        assert_same_bill(plan, bill_of(plan, [stack for stack in stacks if stack.exists()], tmp_path))


def test_checkov_finds_what_has_a_reason_and_nothing_else(half: Run, tmp_path: Path) -> None:
    command = checkov.command()
    if not command:
        pytest.skip("checkov is not installed: `make tools` brings it")
    found = checkov.findings(command, stack_plans(half.plan), tmp_path)
    reasons = set(checkov.accepted(half.documents))
    assert sorted(found - reasons) == [], "without a reason beside the resource"
    assert sorted(reasons - found) == [], "a reason for what is not found"
    assert len(found) > len(half.plans)


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
