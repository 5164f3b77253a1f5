"""Resources that start and stop nodes on AWS, and the bill that the estimate makes from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.errors import SpecError
from planner.plan.cost import Usage
from planner.plan.plan import Plan
from planner.workspace.planning import plan_specs
from provider_catalog.catalog import Catalog
from stacks.app import write_stacks
from tests.support.aws_stacks import Documents, resources, statements, synthesize
from tests.support.bills import assert_same_bill, bill_of
from tests.support.elastic import REPLICAS, scheduled
from tests.support.plans import example_plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return synthesize(scheduled(), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    spec: dict[str, Any] = {"orchestrator": "kubernetes", "kubernetes": {"initial_nodes": 1}}
    return synthesize(scheduled(**spec), tmp_path_factory.mktemp("kubernetes"))


def test_each_action_of_the_plan_is_a_scheduled_action_of_its_group(plain: Documents) -> None:
    actions = resources(plain, "aws_autoscaling_schedule")
    assert set(actions) == {f"{kind}_{when}_mon_to_fri" for kind in ("spot", "on_demand") for when in ("0745", "2000")}
    start = actions["on_demand_0745_mon_to_fri"]
    assert start["autoscaling_group_name"] == "${aws_autoscaling_group.on_demand.name}"
    assert (start["recurrence"], start["time_zone"]) == ("45 7 * * 1-5", "Europe/Berlin")
    assert (start["desired_capacity"], start["min_size"], start["max_size"]) == (3, 3, -1)
    # Replicas on Spot run on as many nodes as there are.
    assert actions["spot_0745_mon_to_fri"]["min_size"] == 0
    assert actions["on_demand_2000_mon_to_fri"]["desired_capacity"] == 0


def test_terraform_ignores_the_counts_that_the_schedule_sets_and_no_others(plain: Documents) -> None:
    groups = resources(plain, "aws_autoscaling_group")
    for kind in ("spot", "on_demand"):
        assert groups[kind]["lifecycle"] == {"ignore_changes": ["desired_capacity", "min_size"]}
        assert (groups[kind]["min_size"], groups[kind]["max_size"]) == (0, 3)
    assert "lifecycle" not in groups["reserved"]
    assert (groups["reserved"]["min_size"], groups["reserved"]["desired_capacity"]) == (2, 2)


def test_the_phase_validate_bounds_the_schedule(tmp_path: Path) -> None:
    documents = synthesize(scheduled(rollout={"validation_nodes": 3}), tmp_path)
    actions, groups = resources(documents, "aws_autoscaling_schedule"), resources(documents, "aws_autoscaling_group")
    # Two reserved nodes are validated first, and one on demand.
    assert actions["on_demand_0745_mon_to_fri"]["desired_capacity"] == '${var.phase == "validate" ? 1 : 3}'
    assert actions["spot_0745_mon_to_fri"]["desired_capacity"] == '${var.phase == "validate" ? 0 : 3}'
    # Auto Scaling ends nodes beyond the maximum (API reference, UpdateAutoScalingGroup).
    assert groups["on_demand"]["max_size"] == '${var.phase == "validate" ? 1 : 3}'


def test_node_groups_start_with_few_nodes_and_are_filled_later(kubernetes: Documents) -> None:
    groups = resources(kubernetes, "aws_eks_node_group")
    sizes = {kind: groups[kind]["scaling_config"] for kind in ("reserved", "spot", "on_demand")}
    assert [size["desired_size"] for size in sizes.values()] == [1, 0, 0]
    assert [size["max_size"] for size in sizes.values()] == [2, 3, 3]
    for kind in sizes:
        ignored = groups[kind]["lifecycle"]["ignore_changes"]
        assert ignored == ["scaling_config[0].desired_size", "scaling_config[0].min_size"]
    actions = resources(kubernetes, "aws_autoscaling_schedule")
    fill = actions["reserved_hourly_0_15_30_45"]
    # A rising minimum starts nodes; -1 ends none that an update of the group has added.
    assert (fill["min_size"], fill["desired_capacity"]) == (2, -1)
    assert "lifecycle" not in groups["system"]
    assert actions["spot_0745_mon_to_fri"]["autoscaling_group_name"] == (
        "${aws_eks_node_group.spot.resources[0].autoscaling_groups[0].name}"
    )


def test_the_autoscaler_finds_and_changes_the_groups_with_its_tag_alone(kubernetes: Documents) -> None:
    tags = resources(kubernetes, "aws_autoscaling_group_tag").values()
    found = {(tag["autoscaling_group_name"].split(".")[1], tag["tag"]["key"]): tag["tag"]["value"] for tag in tags}
    assert {group for group, _ in found} == {"spot", "on_demand"}
    assert found["spot", "llmcluster/autoscaler"] == "example"
    assert found["spot", "k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu"] == "1"
    rights = {statement["sid"]: statement for statement in statements(kubernetes, "autoscaler")}
    assert rights["Scale"]["condition"] == [
        {"test": "StringEquals", "values": ["example"], "variable": "autoscaling:ResourceTag/llmcluster/autoscaler"}
    ]
    assert all(":Describe" in action or ":Get" in action for action in rights["LookUp"]["actions"])
    assert rights["LookUp"]["resources"] == ["*"] != rights["ReadNodeGroups"]["resources"]
    identity = resources(kubernetes, "aws_eks_pod_identity_association")["autoscaler"]
    assert (identity["namespace"], identity["service_account"]) == ("kube-system", "cluster-autoscaler")


def test_the_autoscaler_runs_in_the_version_of_the_cluster_as_the_account_that_has_its_role(
    kubernetes: Documents,
) -> None:
    files: Mapping[str, str] = kubernetes["compute"]["files"]
    written = list(yaml.safe_load_all(files["kubernetes/cluster-autoscaler.yaml"]))
    (deployment,) = [each for each in written if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.0"
    assert "--node-group-auto-discovery=asg:tag=llmcluster/autoscaler=example" in container["command"]
    assert "--expander=priority,least-waste" in container["command"]
    assert pod["serviceAccountName"] == "cluster-autoscaler"
    (priorities,) = [each for each in written if each["kind"] == "ConfigMap"]
    assert yaml.safe_load(priorities["data"]["priorities"]) == {20: [".*-spot-.*"], 10: [".*"]}
    listed = yaml.safe_load(files["kubernetes/kustomization.yaml"])["resources"]
    assert "cluster-autoscaler.yaml" in listed


def test_a_closed_network_pulls_the_autoscaler_from_its_mirror(tmp_path: Path) -> None:
    closed = {"egress": "endpoints-only", "image_registry": "mirror.example.com"}
    documents = synthesize(scheduled(orchestrator="kubernetes", network=closed), tmp_path)
    text = documents["compute"]["files"]["kubernetes/cluster-autoscaler.yaml"]
    assert "image: mirror.example.com/autoscaling/cluster-autoscaler:v1.35.0" in text


def test_nothing_is_scaled_where_all_nodes_run_all_the_time(tmp_path: Path) -> None:
    documents = synthesize(example_plan(spec={"orchestrator": "kubernetes"}), tmp_path)
    assert "aws_autoscaling_schedule" not in documents["compute"]["resource"]
    assert "aws_autoscaling_group_tag" not in documents["compute"]["resource"]
    assert "kubernetes/cluster-autoscaler.yaml" not in documents["compute"]["files"]


def test_a_plan_whose_hours_nothing_brings_about_is_not_built(tmp_path: Path) -> None:
    plan = example_plan(**REPLICAS)
    cost = plan.cost.model_copy(update={"usage": Usage(running_share={"on_demand": 0.4})})
    with pytest.raises(SpecError, match=r"on_demand nodes at 40% of the hours.*capacity.time_zone"):
        synthesize(plan.model_copy(update={"cost": cost}), tmp_path)


# The two estimators


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mapping[str, Plan], Path]:
    folder = tmp_path_factory.mktemp("estimators")
    paths = []
    for orchestrator in ("none", "kubernetes", "slurm"):
        paths.append(folder / f"{orchestrator}.yaml")
        paths[-1].write_text(
            f"name: chat-{orchestrator}\nmodel: Qwen/Qwen2.5-7B\norchestrator: {orchestrator}\n"
            "workload: {kind: inference, request_rate_per_s: 60, spare_replicas: 1}\n"
            "placement: {providers: [aws]}\npin: {instance_type: p4d.24xlarge, nodes: 8}\n"
            "capacity: {demand: business-hours, interruption: tolerate, policy: tiered, time_zone: Asia/Tokyo}\n"
            + ("kubernetes: {initial_nodes: 0}\n" if orchestrator == "kubernetes" else "")
        )
    planned = plan_specs(paths, Catalog.load())
    write_stacks(planned, folder / "out")
    return {entry.plan.name: entry.plan for entry in planned}, folder / "out" / "stacks"


def stacks_of(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}-*"))


@pytest.mark.parametrize("name", ["chat-none", "chat-kubernetes", "chat-slurm"])
def test_the_estimate_of_the_resources_equals_the_bill_to_the_cent(
    name: str, written: tuple[Mapping[str, Plan], Path], tmp_path: Path
) -> None:
    plans, folder = written
    plan = plans[name]
    assert plan.choice.purchase.spot_nodes and plan.choice.purchase.on_demand_nodes
    assert_same_bill(plan, bill_of(plan, stacks_of(folder, name), tmp_path))


@pytest.mark.parametrize("name", ["chat-none", "chat-kubernetes"])
def test_the_estimators_disagree_when_a_schedule_is_removed(
    name: str, written: tuple[Mapping[str, Plan], Path], tmp_path: Path
) -> None:
    plans, folder = written
    plan = plans[name]
    document = json.loads((folder / f"{name}-compute" / "cdk.tf.json").read_text())
    actions = document["resource"]["aws_autoscaling_schedule"]
    for address in [address for address in actions if address.startswith("on_demand_")]:
        del actions[address]
    if name == "chat-kubernetes":
        # Created empty, the group would stay empty.
        document["resource"]["aws_eks_node_group"]["on_demand"]["scaling_config"]["desired_size"] = 2
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    found = bill_of(plan, [tmp_path], tmp_path)
    nodes = {line.meter.role: line.meter.quantity for line in found.lines}
    planned = {item.role: item.quantity for item in plan.cost.items}
    assert nodes["compute_on_demand"] == plan.choice.purchase.on_demand_nodes > planned["compute_on_demand"]
    assert nodes["compute_spot"] == pytest.approx(planned["compute_spot"])


def test_the_estimate_does_not_believe_the_shares_of_the_plan(
    written: tuple[Mapping[str, Plan], Path], tmp_path: Path
) -> None:
    plans, folder = written
    plan = plans["chat-none"]
    usage = plan.cost.usage.model_copy(update={"running_share": {"on_demand": 0.01, "spot": 0.01, "reserved": 0.01}})
    wrong = plan.model_copy(update={"cost": plan.cost.model_copy(update={"usage": usage})})
    assert_same_bill(plan, bill_of(wrong, stacks_of(folder, plan.name), tmp_path))


def test_slurm_bills_nodes_that_are_never_stopped_at_every_hour(
    written: tuple[Mapping[str, Plan], Path], tmp_path: Path
) -> None:
    plans, folder = written
    plan = plans["chat-slurm"]
    document = json.loads((folder / "chat-slurm-compute" / "cdk.tf.json").read_text())
    text = document["locals"]["parallelcluster"]
    assert "ScaledownIdletime: 10" in text
    document["locals"]["parallelcluster"] = text.replace("ScaledownIdletime: 10", "ScaledownIdletime: -1")
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    nodes = {line.meter.role: line.meter.quantity for line in bill_of(plan, [tmp_path], tmp_path).lines}
    assert nodes["compute_on_demand"] == plan.choice.purchase.on_demand_nodes
    assert nodes["compute_on_demand"] > next(i.quantity for i in plan.cost.items if i.role == "compute_on_demand")
