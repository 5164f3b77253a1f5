"""Plain nodes report that they are ready or have failed. Their scripts run here, with stubs for the tools."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from cdk.bootstrap import FATAL_XIDS, cloud_init
from planner.plan.choice import Purchase
from tests.support.aws_stacks import Documents, only, resources, statements, synthesize
from tests.support.nodes import EVERYTHING, calls, files, install, run, stub_tool, unit
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

INSTANCE: Final = "i-0123456789abcdef0"
STEPS: Final = ("scratch", "lustre-client", "shared", "check", "burn-in", "ready")

Node = tuple[Path, dict[str, str]]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    environment = install(EVERYTHING, tmp_path)
    for tool in ("aws", "journalctl"):
        stub_tool(tmp_path / "tools", tool)
    (tmp_path / "tools" / "curl.out").write_text(INSTANCE)
    (tmp_path / "tools" / "aws.out").write_text("example-reserved\tInService\n")
    for card in range(EVERYTHING.rdma_cards):
        state = card_state(tmp_path, card)
        state.parent.mkdir(parents=True)
        state.write_text("4: ACTIVE\n")
    folders = {"BIN_DIR": str(tmp_path), "STATE_DIR": str(tmp_path), "IMDS_URL": "http://imds.example"}
    return tmp_path, environment | folders


def card_state(folder: Path, card: int) -> Path:
    return folder / "kernel" / "sys" / "class" / "infiniband" / f"rdmap{card}s0" / "ports" / "1" / "state"


def actions(environment: dict[str, str]) -> list[str]:
    """Return the calls of AWS that change something."""
    return [line for line in calls(environment, "aws") if "describe-auto-scaling-instances" not in line]


@pytest.mark.parametrize(
    ("word", "state", "action"),
    [
        (
            "ready",
            "Pending:Wait",
            f"--instance-id {INSTANCE} --lifecycle-action-result CONTINUE",
        ),
        ("failed", "Pending:Wait", f"--instance-id {INSTANCE} --lifecycle-action-result ABANDON"),
        # Within the grace period of its group, a health status counts only if the call says so.
        ("failed", "InService", f"--instance-id {INSTANCE} --health-status Unhealthy --no-should-respect-grace-period"),
        ("ready", "InService", None),
        ("failed", "Terminating:Wait", "--health-status Unhealthy"),
    ],
)
def test_a_node_reports_to_the_group_that_holds_it(word: str, state: str, action: str | None, node: Node) -> None:
    folder, environment = node
    (folder / "tools" / "aws.out").write_text(f"example-reserved\t{state}\n")
    ended = run(folder, "llmcluster-report", environment, word)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == f"report: {word}, node {INSTANCE} of example-reserved was {state}\n"
    assert [action in line for line in actions(environment) if action] == ([True] if action else [])
    assert bool(actions(environment)) == bool(action)


@pytest.mark.parametrize("tool", ["curl", "aws"])
def test_a_report_that_is_not_heard_fails_and_is_repeated(tool: str, node: Node) -> None:
    folder, environment = node
    (folder / "tools" / f"{tool}.fails").touch()
    assert run(folder, "llmcluster-report", environment, "ready").returncode != 0
    for name in ("report.service", "failed.service"):
        assert unit(EVERYTHING, name)["Restart"] == ["on-failure"]


def test_a_report_of_something_else_is_refused(node: Node) -> None:
    folder, environment = node
    ended = run(folder, "llmcluster-report", environment, "fine")
    assert (ended.returncode, ended.stderr) == (2, "report: fine is neither ready nor failed\n")
    assert calls(environment, "aws") == []


def test_the_watchdog_leaves_a_sound_node_alone(node: Node) -> None:
    folder, environment = node
    (folder / "tools" / "journalctl.fails").touch()  # it found nothing
    ended = run(folder, "llmcluster-watchdog", environment)
    assert (ended.returncode, ended.stderr, calls(environment, "aws")) == (0, "", [])


def test_the_watchdog_has_a_node_replaced_whose_gpu_fell_off_the_bus(node: Node) -> None:
    folder, environment = node
    line = "NVRM: Xid (PCI:0000:10:1c): 79, pid=1896, GPU has fallen off the bus."
    (folder / "tools" / "journalctl.out").write_text(f"{line}\n")
    ended = run(folder, "llmcluster-watchdog", environment)
    assert ended.returncode == 0, ended.stderr
    assert line in ended.stderr
    assert "--health-status Unhealthy" in actions(environment)[0]


def test_the_watchdog_has_a_node_replaced_whose_card_is_gone(node: Node) -> None:
    folder, environment = node
    (folder / "tools" / "journalctl.fails").touch()
    card_state(folder, 2).write_text("1: DOWN\n")
    ended = run(folder, "llmcluster-watchdog", environment)
    assert "3 of 4 efa cards are active" in ended.stderr
    assert "--health-status Unhealthy" in actions(environment)[0]


def test_the_watchdog_asks_for_the_errors_after_which_nvidia_wants_a_reset(node: Node) -> None:
    folder, environment = node
    run(folder, "llmcluster-watchdog", environment)
    (asked,) = calls(environment, "journalctl")
    # NVIDIA Xid catalog: 13, 31 and 94 end one program, 63 announces a repair at the next reset.
    assert {48, 64, 74, 79, 95, 119, 140} <= set(FATAL_XIDS)
    assert not {13, 31, 43, 45, 63, 94} & set(FATAL_XIDS)
    assert r"NVRM: Xid \(PCI:[^)]*\): (46|48|54|" in asked


def test_every_step_that_fails_reports_the_node() -> None:
    for step in STEPS:
        assert unit(EVERYTHING, f"{step}.service")["OnFailure"] == ["llmcluster-failed.service"], step
    silent = replace(EVERYTHING, repair=None)
    assert "llmcluster-failed" not in cloud_init(silent)
    assert not [path for path in files(silent) if "watchdog" in path or "report" in path]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    spec: dict[str, Any] = {"observability": {"notify": ["ops@example.com"]}}
    plan = example_plan(nodes=2, purchase=Purchase(reserved_nodes=1, on_demand_nodes=1), multi_node=False, spec=spec)
    return synthesize(plan, tmp_path_factory.mktemp("repair"))


def test_a_group_holds_a_new_node_until_it_reports_and_ends_one_that_does_not(documents: Documents) -> None:
    for group in resources(documents, "aws_autoscaling_group").values():
        (hook,) = group["initial_lifecycle_hook"]
        assert hook["lifecycle_transition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"
        # PutLifecycleHook: 30 to 7200 seconds.
        assert (hook["default_result"], hook["heartbeat_timeout"]) == ("ABANDON", 7200)
        assert f"--lifecycle-hook-name {hook['name']} " in documents["compute"]["locals"]["user_data"]


def test_a18_nodes_report_to_the_groups_of_their_cluster_only(documents: Documents) -> None:
    report, find = statements(documents, "reports")
    assert report["actions"] == ["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"]
    names = {resource.rpartition("/")[2] for resource in report["resources"]}
    assert names == {group["name"] for group in resources(documents, "aws_autoscaling_group").values()}
    assert find["actions"] == ["autoscaling:DescribeAutoScalingInstances"]


def test_people_hear_of_nodes_that_do_not_start_and_of_nodes_that_are_replaced(documents: Documents) -> None:
    rules = {
        name: json.loads(rule["event_pattern"])
        for name, rule in resources(documents, "aws_cloudwatch_event_rule").items()
    }
    groups = {"example-reserved", "example-on-demand"}
    for rule in ("failed_launches", "replaced_nodes"):
        assert set(rules[rule]["detail"]["AutoScalingGroupName"]) == groups
    assert only(documents, "aws_sns_topic")["name"] == "example-alarms"
