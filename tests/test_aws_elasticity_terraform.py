"""Terraform builds, keeps and removes what starts and stops nodes, against a local AWS."""

import json
from pathlib import Path
from typing import Any

import pytest

from provider_catalog.catalog import Catalog
from stacks.estimate.bill import estimate
from tests.support.aws_ground import compute, lay_ground
from tests.support.elastic import scheduled
from tests.support.moto_server import MotoServer
from tests.support.terraform import Terraform

OFFICE = {("45 7 * * 1-5", 3), ("0 20 * * 1-5", 0)}


def actions(account: MotoServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.client("autoscaling").describe_scheduled_actions()[
        "ScheduledUpdateGroupActions"
    ]
    return found


def assert_the_state_costs_what_the_document_does(tf: Terraform, folder: Path, scratch: Path) -> None:
    usage = scratch / "usage.yaml"
    usage.write_text("{quantities: {log_data: 1}}")
    state = scratch / "state.json"
    state.write_text(json.dumps(tf.show_json(folder)))
    (built,) = estimate([state], Catalog.load(), usage=usage, region="us-east-1")
    (written,) = estimate([folder], Catalog.load(), usage=usage, region="us-east-1")
    nodes = written.usd_per_hour_by_role()
    assert built.usd_per_hour_by_role() == pytest.approx(nodes)
    # Three nodes run 61 and a quarter of 168 hours.
    (billed,) = {line.meter.quantity for line in built.lines if line.meter.role == "compute_on_demand"}
    assert billed == pytest.approx(3 * 61.25 / 168)


def test_a_schedule_of_plain_nodes_lives_is_left_alone_and_dies(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    # moto does not answer all that the provider asks of a Spot group.
    folder, tf = compute(scheduled(spot=False), tmp_path, lay_ground(account)), terraform.with_env(account.env)
    tf.init(folder)
    assert tf.validate(folder) == []
    tf.apply(folder)
    found = actions(account)
    assert {action["AutoScalingGroupName"] for action in found} == {"example-on-demand"}
    assert {(action["Recurrence"], action["DesiredCapacity"]) for action in found} == OFFICE
    assert {action["TimeZone"] for action in found} == {"Europe/Berlin"}
    assert tf.changes(folder) == {}
    assert_the_state_costs_what_the_document_does(tf, folder, tmp_path)

    # A scheduled action has ended the nodes, or somebody has.
    scaling = account.client("autoscaling")
    scaling.update_auto_scaling_group(AutoScalingGroupName="example-on-demand", MinSize=1, DesiredCapacity=1)
    assert tf.changes(folder) == {}
    # The count of reserved nodes is Terraform's.
    scaling.update_auto_scaling_group(AutoScalingGroupName="example-reserved", MinSize=0, DesiredCapacity=0)
    assert tf.changes(folder) == {"aws_autoscaling_group.reserved": ["update"]}
    scaling.delete_scheduled_action(
        AutoScalingGroupName="example-on-demand", ScheduledActionName="example-on-demand-0745-mon-to-fri"
    )
    assert tf.changes(folder)["aws_autoscaling_schedule.on_demand_0745_mon_to_fri"] == ["create"]

    tf.destroy(folder)
    assert tf.state(folder) == []
    assert actions(account) == []
    assert scaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_a_node_group_starts_empty_is_scaled_and_dies(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    plan = scheduled(orchestrator="kubernetes", kubernetes={"initial_nodes": 0})
    folder, tf = compute(plan, tmp_path, lay_ground(account)), terraform.with_env(account.env)
    tf.init(folder)
    assert tf.validate(folder) == []
    tf.apply(folder)
    eks = account.client("eks")

    def size(kind: str) -> dict[str, int]:
        group = eks.describe_nodegroup(clusterName="example", nodegroupName=f"example-{kind}")["nodegroup"]
        found: dict[str, int] = group["scalingConfig"]
        return found

    assert size("reserved") == {"minSize": 0, "maxSize": 2, "desiredSize": 0}
    assert size("spot")["desiredSize"] == 0
    fill = [action for action in actions(account) if action["Recurrence"] == "0,15,30,45 * * * *"]
    assert [action["MinSize"] for action in fill] == [2]
    assert tf.changes(folder) == {}
    assert_the_state_costs_what_the_document_does(tf, folder, tmp_path)

    eks.update_nodegroup_config(
        clusterName="example",
        nodegroupName="example-spot",
        scalingConfig={"minSize": 2, "maxSize": 3, "desiredSize": 2},
    )
    assert tf.changes(folder) == {}

    tf.destroy(folder)
    assert tf.state(folder) == []
    assert actions(account) == []
    assert eks.list_clusters()["clusters"] == []
    roles = [role["RoleName"] for role in account.client("iam").list_roles()["Roles"]]
    assert roles == []
