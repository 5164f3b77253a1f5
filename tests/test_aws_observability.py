"""Alarms, budget, metrics and dashboard of AWS clusters."""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdk.aws.alarms import FREE_SHARE
from cdk.bootstrap import Health, Metrics, cloud_init
from planner.errors import SpecError
from planner.optimizer import plan as make_plan
from planner.plan import Purchase
from planner.spec_reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from stacks.aws.dashboard import grafana_dashboard
from tests.support.aws_stacks import Documents, synthesize
from tests.support.plans import example_plan
from tests.test_bootstrap import AWS, files

WATCHED: dict[str, Any] = {"observability": {"notify": ["ops@example.com"], "metrics": True}}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    plan = example_plan(nodes=2, purchase=Purchase(spot_nodes=2), spec=WATCHED)
    return synthesize(plan, tmp_path_factory.mktemp("watched"))


def compute(documents: Documents) -> dict[str, Any]:
    found: dict[str, Any] = documents["compute"]["resource"]
    return found


def test_people_hear_of_gpus_fabric_and_space(watched: Documents) -> None:
    alarms = compute(watched)["aws_cloudwatch_metric_alarm"]
    assert {(a["namespace"], a["metric_name"]) for a in alarms.values()} == {
        ("llmcluster/example", "GpuXidErrors"),
        ("llmcluster/example", "EfaErrors"),
        ("AWS/FSx", "FreeDataStorageCapacity"),
    }
    space = alarms["shared_space"]
    # 2400 GiB, of which a tenth; the metric is in bytes (FSx for Lustre guide, "Metrics and dimensions").
    assert space["threshold"] == pytest.approx(FREE_SHARE * 2400 * 2**30)
    assert space["comparison_operator"] == "LessThanThreshold"
    assert all(a["alarm_actions"] == ["${aws_sns_topic.alarms.arn}"] for a in alarms.values())


def test_spot_interruptions_are_announced(watched: Documents) -> None:
    (rule,) = compute(watched)["aws_cloudwatch_event_rule"].values()
    # EC2 user guide, "Spot Instance interruption notices".
    assert json.loads(rule["event_pattern"]) == {
        "source": ["aws.ec2"],
        "detail-type": ["EC2 Spot Instance Interruption Warning"],
    }
    (target,) = compute(watched)["aws_cloudwatch_event_target"].values()
    assert target["arn"] == "${aws_sns_topic.alarms.arn}"


def test_a18_the_topic_is_encrypted_and_taken_by_alarms_of_this_account_only(watched: Documents) -> None:
    (topic,) = compute(watched)["aws_sns_topic"].values()
    assert topic["kms_master_key_id"] == "${aws_kms_key.alarms.arn}"
    policies = watched["compute"]["data"]["aws_iam_policy_document"]
    for name in ("publish_alarms", "alarms_key"):
        alarms, events = policies[name]["statement"][-2:]
        assert alarms["principals"][0]["identifiers"] == ["cloudwatch.amazonaws.com"]
        assert alarms["condition"][0]["variable"] == "aws:SourceAccount"
        # SNS guide, "Key management": EventBridge and an encrypted topic know neither aws:SourceAccount nor
        # aws:SourceArn; a rule whose statement has a condition drops its events in silence.
        assert events["principals"][0]["identifiers"] == ["events.amazonaws.com"]
        assert "condition" not in events


def test_a18_without_spot_no_rule_of_eventbridge_reaches_the_topic(tmp_path: Path) -> None:
    policies = synthesize(example_plan(nodes=2, purchase=Purchase(on_demand_nodes=2), spec=WATCHED), tmp_path)
    assert "events.amazonaws.com" not in json.dumps(policies["compute"]["data"])


@pytest.mark.parametrize(("budget", "limit"), [({"usd_per_month": 5000.5}, "5001"), ({}, None)])
def test_the_budget_is_the_users_or_the_plans(budget: dict[str, float], limit: str | None, tmp_path: Path) -> None:
    plan = example_plan(spec={**WATCHED, "budget": budget})
    (made,) = compute(synthesize(plan, tmp_path))["aws_budgets_budget"].values()
    assert plan.cost.usd_per_month is not None
    assert made["limit_amount"] == (limit or str(-int(-plan.cost.usd_per_month // 1)))
    assert made["cost_filter"] == [{"name": "TagKeyValue", "values": ["user:cluster$example"]}]


def test_a18_nodes_publish_in_their_namespace_and_write_to_their_workspace_only(watched: Documents) -> None:
    publish, write = watched["compute"]["data"]["aws_iam_policy_document"]["metrics"]["statement"]
    assert publish["actions"] == ["cloudwatch:PutMetricData"]
    assert publish["condition"] == [
        {"test": "StringEquals", "variable": "cloudwatch:namespace", "values": ["llmcluster/example"]}
    ]
    assert write["actions"] == ["aps:RemoteWrite"]
    assert write["resources"] == ["${data.terraform_remote_state.storage.outputs.prometheus_workspace_arn}"]


def test_metrics_outlive_the_nodes(watched: Documents) -> None:
    (workspace,) = watched["storage"]["resource"]["aws_prometheus_workspace"].values()
    assert workspace["kms_key_arn"] == "${aws_kms_key.cluster.arn}"


def test_nothing_is_watched_that_was_not_asked_for(tmp_path: Path) -> None:
    documents = synthesize(example_plan(), tmp_path)
    kinds = {kind for document in documents.values() for kind in document["resource"]}
    assert not {k for k in kinds if re.search("cloudwatch_metric|sns|budget|prometheus|event", k)}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"observability": {"metrics": True}, "orchestrator": "kubernetes"}, r"observability\.metrics: .*kubernetes"),
        (
            {"observability": {"metrics": True}, "network": {"egress": "endpoints-only"}},
            r"observability\.metrics: .*endpoints-only",
        ),
        ({"observability": {"notify": ["ops"]}}, r"observability\.notify"),
        ({"observability": {"metrics": True}, "placement": {"providers": ["azure"]}}, "metrics: not built on"),
        (
            {"security": {"permissions_boundary": "arn:aws:iam::123456789012:policy/x"}}
            | {"placement": {"providers": ["azure"]}},
            r"security\.permissions_boundary: not built on",
        ),
        (
            {"rollout": {"validation_nodes": 2}, "orchestrator": "kubernetes"},
            r"rollout\.validation_nodes: .*kubernetes",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused(spec: dict[str, Any], message: str) -> None:
    document = {
        "name": "example",
        "model": {"parameters": "7B"},
        "workload": {"kind": "inference", "request_rate_per_s": 1},
        "placement": {"providers": ["aws"]},
        **spec,
    }
    with pytest.raises(SpecError, match=message):
        make_plan(read_spec(document, "example.yaml"), load_model({"parameters": "7B"}, None), Catalog.load())


def test_what_is_watched_is_on_the_bill_and_has_a_resource(watched: Documents) -> None:
    document = {
        "name": "example",
        "model": {"parameters": "7B"},
        "workload": {"kind": "inference", "request_rate_per_s": 1},
        "placement": {"providers": ["aws"]},
        **WATCHED,
    }
    made = make_plan(read_spec(document, "example.yaml"), load_model({"parameters": "7B"}, None), Catalog.load())
    roles = {item.role: item for item in made.cost.items}
    assert roles["alarms"].quantity == 3
    assert roles["prometheus"].usd_per_hour is not None
    # Two metrics at 0.30 USD a month.
    assert roles["custom_metrics"].usd_per_hour == pytest.approx(2 * 0.30 / 730)
    for role, stack in (("alarms", "compute"), ("alarm_key", "compute"), ("prometheus", "storage")):
        assert role in watched[stack]["addresses"]


# On the node


def test_the_agent_signs_what_it_sends_and_nothing_listens_outside() -> None:
    node = replace(AWS, metrics=Metrics("https://aps.example/workspaces/ws-1/api/v1/remote_write", "us-east-1"))
    written = files(node)
    config = yaml.safe_load(written["/etc/llmcluster/prometheus.yml"])
    assert config["remote_write"] == [
        {
            "url": "https://aps.example/workspaces/ws-1/api/v1/remote_write",
            "sigv4": {"region": "us-east-1"},
        }
    ]
    assert config["global"]["external_labels"] == {"cluster": "example", "node": "$HOSTNAME"}
    for name in ("gpu-metrics", "node-metrics", "metrics"):
        unit = written[f"/etc/systemd/system/llmcluster-{name}.service"]
        assert re.search(r"(address|listen-address)[= ]127\.0\.0\.1:9\d\d0\b", unit), name
        assert re.search(r" \S+:v?\d+\.\d+\.\d+\S* --", unit), "the image is pinned"
    started = yaml.safe_load(cloud_init(node))["runcmd"][-1]
    assert "llmcluster-gpu-metrics.service" in started


def test_new_errors_are_published_once(tmp_path: Path) -> None:
    node = replace(
        AWS, health=Health("aws cloudwatch put-metric-data --region us-east-1 --namespace llmcluster/example")
    )
    tools, counters = tmp_path / "tools", tmp_path / "class/infiniband/efa_0/ports/1/hw_counters"
    counters.mkdir(parents=True)
    tools.mkdir()
    for tool, body in {"aws": 'echo "$*" >> "$STATE_DIR/calls"', "journalctl": 'cat "$STATE_DIR/kernel"'}.items():
        (tools / tool).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tools / tool).chmod(0o755)
    script = tmp_path / "health"
    script.write_text(files(node)["/usr/local/sbin/llmcluster-health"])
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "STATE_DIR": str(tmp_path), "SYS_DIR": str(tmp_path)}
    for drops, kernel in ((5, ""), (5, "NVRM: Xid (PCI:0000:53:00): 79, GPU has fallen off the bus.\n"), (8, "")):
        (counters / "rx_drops").write_text(f"{drops}\n")
        (counters / "unresponsive_remote_events").write_text("0\n")
        (tmp_path / "kernel").write_text(kernel)
        subprocess.run(["bash", str(script)], env=env, check=True, capture_output=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [re.findall(r"Value=(\d+)", call) for call in calls] == [["0", "0"], ["1", "0"], ["0", "3"]]
    assert all("--namespace llmcluster/example --metric-data MetricName=GpuXidErrors" in call for call in calls)


def test_user_data_is_compressed_only_where_ec2_would_not_take_it(watched: Documents, tmp_path: Path) -> None:
    (long,) = compute(watched)["aws_launch_template"].values()
    assert long["user_data"] == "${base64gzip(local.user_data)}"
    (plain,) = compute(synthesize(example_plan(), tmp_path))["aws_launch_template"].values()
    assert plain["user_data"] == "${base64encode(local.user_data)}"


# Dashboard


def test_the_dashboard_has_panels_that_do_not_overlap_and_ask_for_this_cluster() -> None:
    dashboard = json.loads(grafana_dashboard("example"))
    assert dashboard["uid"] and len(dashboard["uid"]) <= 40
    assert {panel["id"] for panel in dashboard["panels"]} == set(range(1, len(dashboard["panels"]) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken
        taken |= cells
        for target in panel["targets"]:
            assert 'cluster="example"' in target["expr"] and "SELECT" not in target["expr"]
            assert target["expr"].count("{") == target["expr"].count("}")
            assert target["datasource"] == {"type": "prometheus", "uid": "${source}"}
