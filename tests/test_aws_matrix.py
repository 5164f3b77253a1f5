"""Terraform and checkov judge every spec of tests/support/aws_matrix.py: each family under each orchestrator."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.plan.plan import Plan
from planner.spec import OwnReservation
from provider_catalog.catalog import Catalog
from tests.support import aws_moto, checkov
from tests.support.aws_matrix import (
    FAMILIES,
    FEATURES,
    ORCHESTRATORS,
    own_network,
    planned,
    plans,
    stack_plans,
    with_feature,
    write_root,
)
from tests.support.aws_stacks import ROLES
from tests.support.bills import assert_same_bill, bill_of
from tests.support.moto_server import MotoServer
from tests.support.terraform import Terraform

KINDS = ("reserved", "spot", "on_demand", "capacity_block")
# Two workers share the run.
HALVES = (0, 1)


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


def judged_by_terraform(
    half: int, matrix: Mapping[str, Plan], terraform: Terraform, aws: MotoServer, folder: Path
) -> Run:
    """Synthesize, validate and plan half of the matrix; the odd half includes what the account has already."""
    aws_moto.install()
    chosen = dict(list(matrix.items())[half :: len(HALVES)])
    if half:
        existing = [own_network(*make_network(aws)), *in_reservation(make_reservation(aws))]
        chosen |= {document["name"]: planned(document, Catalog.load()) for document in existing}
    root = write_root(folder, chosen)
    tf = terraform.with_env(aws.env)
    tf.init(root)
    documents = {path.parent.name: json.loads(path.read_text()) for path in root.glob("*/main.tf.json")}
    return Run(chosen, root.parent, documents, tf.validate(root), tf.plan(root))


def make_network(aws: MotoServer) -> tuple[str, str]:
    """Create a VPC and a subnet for the nodes of `own_network`."""
    ec2 = aws.client("ec2")
    vpc_id: str = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.7.1.0/24", AvailabilityZoneId="use1-az6")["Subnet"]
    return vpc_id, subnet["SubnetId"]


def make_reservation(aws: MotoServer) -> str:
    """Create a reservation of two nodes, as if someone had bought it before."""
    ec2 = aws.client("ec2")
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    made = ec2.create_capacity_reservation(
        InstanceType="p4d.24xlarge",
        InstancePlatform="Linux/UNIX",
        InstanceCount=2,
        AvailabilityZone=next(zone["ZoneName"] for zone in zones if zone["ZoneId"] == "use1-az6"),
        InstanceMatchCriteria="targeted",
    )
    reservation_id: str = made["CapacityReservation"]["CapacityReservationId"]
    return reservation_id


def in_reservation(reservation_id: str) -> Iterator[dict[str, Any]]:
    """Yield one spec for each orchestrator, with all nodes in a reservation."""
    held = {"id": reservation_id, "zone": "use1-az6", "instances": 2}
    for orchestrator in ORCHESTRATORS:
        yield with_feature(f"reserved-{orchestrator[:4]}", orchestrator, {"capacity": {"reservation": held}})


def nodes_by_kind(plan: Plan) -> dict[str, int]:
    purchase = plan.choice.purchase.model_dump()
    return {kind: purchase[f"{kind}_nodes"] for kind in KINDS if purchase[f"{kind}_nodes"]}


def test_the_matrix_covers_every_family_orchestrator_and_purchase(matrix: Mapping[str, Plan]) -> None:
    # The existing network and the reservation come on top.
    assert len(matrix) == len(FAMILIES + tuple(FEATURES)) * len(ORCHESTRATORS) >= 60
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


@pytest.mark.parametrize("half", HALVES, ids=["even", "odd"])
def test_every_spec_is_planned_clean_as_bought_at_its_price(
    half: int, matrix: Mapping[str, Plan], terraform: Terraform, aws: MotoServer, tmp_path: Path
) -> None:
    run = judged_by_terraform(half, matrix, terraform, aws, tmp_path)

    assert run.diagnostics == []
    assert_nodes_are_bought_as_planned(run)
    for name, plan in run.plans.items():
        stacks = [run.stacks / f"{name}-{role}" for role in ROLES]
        assert_same_bill(plan, bill_of(plan, [stack for stack in stacks if stack.exists()], tmp_path))
    command = checkov.command()
    if not command:
        pytest.skip("all but checkov: it is not installed, `make tools` brings it")
    assert_checkov_finds_what_has_a_reason(command, run, tmp_path)


def assert_nodes_are_bought_as_planned(run: Run) -> None:
    changes = run.plan["resource_changes"]
    assert {action for change in changes for action in change["change"]["actions"]} <= {"create", "read"}
    for name, plan in run.plans.items():
        compute = [change for change in changes if change["module_address"] == f"module.{name}-compute"]
        assert nodes_of_stack(plan, compute, run.documents[f"{name}-compute"]) == nodes_by_kind(plan), name


def assert_checkov_finds_what_has_a_reason(command: str, run: Run, folder: Path) -> None:
    found = checkov.findings(command, stack_plans(run.plan), folder)
    reasons = set(checkov.accepted(run.documents))
    assert sorted(found - reasons) == [], "without a reason beside the resource"
    assert sorted(reasons - found) == [], "a reason for what is not found"
    assert len(found) > len(run.plans)


def nodes_of_stack(plan: Plan, changes: list[dict[str, Any]], document: dict[str, Any]) -> dict[str, int]:
    """Return the number of nodes of a compute stack by kind of purchase."""
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
    made = after.get(("aws_ec2_capacity_reservation", "reserved"))
    held = isinstance(plan.spec.capacity.reservation, OwnReservation)
    assert (made["instance_count"] if made else 0) == (0 if held else groups.get("reserved", 0))
    return groups


def _full(count: int | str, document: dict[str, Any]) -> int:
    """Return a number of nodes; a reference to a local counts with its value in the last phase."""
    if isinstance(count, int):
        return count
    expression: str = document["locals"][count.removeprefix("${local.").removesuffix("}")]
    return int(expression.rsplit(" : ", 1)[1].removesuffix("}"))
