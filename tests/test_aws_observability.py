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
from planner.plan.choice import Purchase
from planner.search.optimizer import plan as make_plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from stacks.aws.dashboard import grafana_dashboard
from tests.support.aws_stacks import Documents, synthesize
from tests.support.nodes import AWS, files
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

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
    rule = compute(watched)["aws_cloudwatch_event_rule"]["spot_interruptions"]
    # EC2 user guide, "Spot Instance interruption notices".
    assert json.loads(rule["event_pattern"]) == {
        "source": ["aws.ec2"],
        "detail-type": ["EC2 Spot Instance Interruption Warning"],
    }
    target = compute(watched)["aws_cloudwatch_event_target"]["spot_interruptions"]
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


def test_a18_without_events_no_rule_of_eventbridge_reaches_the_topic(tmp_path: Path) -> None:
    # EKS, and not the project, replaces the nodes of its groups.
    spec = {**WATCHED, "orchestrator": "kubernetes"}
    policies = synthesize(example_plan(nodes=2, purchase=Purchase(on_demand_nodes=2), spec=spec), tmp_path)
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
        (
            {"observability": {"metrics": True}, "network": {"egress": "endpoints-only"}},
            r"observability\.metrics: .*endpoints-only",
        ),
        ({"observability": {"notify": ["ops"]}}, r"observability\.notify"),
        ({"observability": {"metrics": True}, "placement": {"providers": ["azure"]}}, "metrics: not supported on"),
        (
            {"security": {"permissions_boundary": "arn:aws:iam::123456789012:policy/x"}}
            | {"placement": {"providers": ["azure"]}},
            r"security\.permissions_boundary: not supported on",
        ),
        (
            {"security": {"ebs_default_key": True}, "orchestrator": "kubernetes"},
            r"security\.ebs_default_key: .*launch template",
        ),
        (
            # A cluster whose GPUs no pod gets, as its device plugins cannot be pulled.
            {"orchestrator": "kubernetes", "network": {"egress": "endpoints-only"}},
            r"network\.image_registry: missing; pods get no GPU without the device plugins .*endpoints-only",
        ),
        (
            {"observability": {"metrics": True}, "orchestrator": "slurm", "network": {"egress": "endpoints-only"}},
            r"observability\.metrics: .*network\.image_registry",
        ),
    ],
)
def test_observability_that_the_cluster_cannot_have_is_refused(spec: dict[str, Any], message: str) -> None:
    document = {
        "name": "example",
        "model": {"parameters": "7B"},
        "workload": {"kind": "inference", "request_rate_per_s": 1},
        "placement": {"providers": ["aws"]},
        **spec,
    }
    with pytest.raises(SpecError, match=message):
        make_plan(read_spec(document, "example.yaml"), load_model({"parameters": "7B"}, None), Catalog.load())


def test_every_observability_item_is_on_the_bill_and_has_a_resource(watched: Documents) -> None:
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
    short = example_plan(shared_storage=None, scratch="none")
    (plain,) = compute(synthesize(short, tmp_path))["aws_launch_template"].values()
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


# With an orchestrator


def orchestrated(orchestrator: str, folder: Path, **spec: Any) -> Documents:
    return synthesize(example_plan(spec={**WATCHED, "orchestrator": orchestrator, **spec}), folder)


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return orchestrated("kubernetes", tmp_path_factory.mktemp("kubernetes"))


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return orchestrated("slurm", tmp_path_factory.mktemp("slurm"))


def test_the_collector_reaches_the_cluster_from_two_zones(kubernetes: Documents) -> None:
    (collector,) = compute(kubernetes)["aws_prometheus_scraper"].values()
    (eks,) = collector["source"][0]["eks"]
    network, storage = ("${data.terraform_remote_state." + name + ".outputs." for name in ("network", "storage"))
    # Amazon Managed Service for Prometheus guide: subnets in at least two zones.
    assert eks["subnet_ids"] == [network + "compute_subnet_id}", network + "control_plane_subnet_id}"]
    assert eks["cluster_arn"] == "${aws_eks_cluster.cluster.arn}"
    assert collector["destination"][0]["amp"][0]["workspace_arn"] == storage + "prometheus_workspace_arn}"


def test_the_scraped_names_are_those_of_the_exporters(kubernetes: Documents) -> None:
    scraped = yaml.safe_load(kubernetes["compute"]["locals"]["scrape_configuration"])
    assert scraped["global"]["external_labels"] == {"cluster": "example"}
    exporters = {
        document["metadata"]["name"]: document
        for document in yaml.safe_load_all(kubernetes["compute"]["files"]["kubernetes/exporters.yaml"])
        if document["kind"] == "DaemonSet"
    }
    for job in scraped["scrape_configs"]:
        keep, node = job["relabel_configs"]
        labels = exporters[keep["regex"]]["spec"]["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == keep["regex"]
        assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == [
            exporters[keep["regex"]]["metadata"]["namespace"]
        ]
        assert node["target_label"] == "node"
    assert set(exporters) == {job["relabel_configs"][0]["regex"] for job in scraped["scrape_configs"]}
    kustomization = yaml.safe_load(kubernetes["compute"]["files"]["kubernetes/kustomization.yaml"])
    assert "exporters.yaml" in kustomization["resources"]


def test_nodes_of_kubernetes_count_their_errors_beside_what_eks_adds(kubernetes: Documents) -> None:
    user_data = kubernetes["compute"]["locals"]["user_data"]
    parts = dict(re.findall(r"--//\nContent-Type: (\S+)\n\n(.*?)(?=--//)", user_data, re.DOTALL))
    assert yaml.safe_load(parts["application/node.eks.aws"])["kind"] == "NodeConfig"
    cloud_config = yaml.safe_load(parts["text/cloud-config"])
    paths = {file["path"] for file in cloud_config["write_files"]}
    assert {"/usr/local/sbin/llmcluster-health", "/usr/local/sbin/llmcluster-fabric-metrics"} <= paths
    assert "llmcluster-health.timer" in cloud_config["runcmd"][-1]
    # Exporters are pods there.
    assert not any("gpu-metrics" in path for path in paths)


@pytest.mark.parametrize("orchestrator", ["kubernetes", "slurm"])
def test_a18_nodes_of_every_orchestrator_publish_in_their_namespace_only(
    orchestrator: str, request: pytest.FixtureRequest
) -> None:
    documents: Documents = request.getfixturevalue(orchestrator)
    alarms = {(a["namespace"], a["metric_name"]) for a in compute(documents)["aws_cloudwatch_metric_alarm"].values()}
    assert {("llmcluster/example", "GpuXidErrors"), ("llmcluster/example", "EfaErrors")} <= alarms
    publish, *write = documents["compute"]["data"]["aws_iam_policy_document"]["metrics"]["statement"]
    assert publish["condition"][0]["values"] == ["llmcluster/example"]
    # The collector of Kubernetes writes by a right of its own.
    assert [statement["actions"] for statement in write] == ([["aps:RemoteWrite"]] if orchestrator == "slurm" else [])


def test_nodes_of_slurm_send_their_metrics_themselves(slurm: Documents) -> None:
    script = slurm["compute"]["locals"]["node_script"]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    endpoint = "${data.terraform_remote_state.storage.outputs.prometheus_endpoint}api/v1/remote_write"
    assert f'url: "{endpoint}"' in script
    for unit in ("llmcluster-metrics.service", "llmcluster-gpu-metrics.service", "llmcluster-health.timer"):
        assert unit in script.splitlines()[-1]
    (queue,) = yaml.safe_load(slurm["compute"]["locals"]["parallelcluster"])["Scheduling"]["SlurmQueues"]
    assert {"Policy": "${aws_iam_policy.metrics.arn}"} in queue["Iam"]["AdditionalIamPolicies"]
    assert "grafana-dashboard.json" in slurm["compute"]["files"]


def test_in_a_closed_network_images_come_from_ones_own_registry(tmp_path: Path) -> None:
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror"
    closed = {"network": {"egress": "endpoints-only", "image_registry": registry}}
    images = re.findall(
        r"image: (\S+)", "".join(orchestrated("kubernetes", tmp_path / "k", **closed)["compute"]["files"].values())
    )
    assert f"{registry}/nvidia/k8s-device-plugin:v0.17.4" in images
    assert f"{registry}/prometheus/node-exporter:v1.9.1" in images
    assert all(".dkr.ecr.us-east-1." in image for image in images)

    bare = orchestrated("none", tmp_path / "n", **closed)
    endpoints = bare["network"]["resource"]["aws_vpc_endpoint"]
    assert endpoints["aps_workspaces"]["service_name"] == "com.amazonaws.us-east-1.aps-workspaces"
    user_data = bare["compute"]["locals"]["user_data"]
    assert f"{registry}/nvidia/k8s/dcgm-exporter:" in user_data and "nvcr.io" not in user_data
    assert "docker login --username AWS --password-stdin 123456789012.dkr.ecr.us-east-1.amazonaws.com" in user_data
    assert "images" in compute(bare)["aws_iam_role_policy_attachment"]


def test_in_a_closed_network_nodes_of_slurm_install_from_amazon_linux_and_pull_from_ecr(tmp_path: Path) -> None:
    # Its repositories lie in S3, which has a gateway (Amazon Linux 2023 user guide, "NVIDIA drivers").
    closed = {
        "network": {
            "egress": "endpoints-only",
            "image_registry": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror",
        },
        "rollout": {"validation_nodes": 2},
    }
    documents = orchestrated("slurm", tmp_path, **closed)
    script = documents["compute"]["locals"]["node_script"]
    assert "dnf install --assumeyes nvidia-release\n" in script
    asked = re.findall(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|io|org|net)\b", script)
    assert asked and {host.removeprefix("123456789012.").removeprefix("763104351884.") for host in asked} == {
        "dkr.ecr.us-east-1.amazonaws.com"
    }
    endpoints = documents["network"]["resource"]["aws_vpc_endpoint"]
    assert {"aps_workspaces", "monitoring", "ecr_api", "ecr_dkr", "s3"} <= set(endpoints)


def test_counters_of_the_fabric_are_text_for_the_node_exporter(tmp_path: Path) -> None:
    counters = tmp_path / "class/infiniband/rdmap16s27/ports/1/hw_counters"
    counters.mkdir(parents=True)
    for name, value in {"rx_bytes": 4096, "rx_drops": 2, "lifespan": 12}.items():
        (counters / name).write_text(f"{value}\n")
    node = replace(AWS, metrics=Metrics("https://aps.example/api", "us-east-1"))
    script = tmp_path / "fabric-metrics"
    script.write_text(files(node)["/usr/local/sbin/llmcluster-fabric-metrics"])
    env = {"PATH": os.environ["PATH"], "SYS_DIR": str(tmp_path), "METRICS_DIR": str(tmp_path / "metrics")}
    subprocess.run(["bash", str(script)], env=env, check=True, capture_output=True)
    assert (tmp_path / "metrics/fabric.prom").read_text().splitlines() == [
        "# TYPE efa_hw_counter_total counter",
        'efa_hw_counter_total{device="rdmap16s27",counter="rx_bytes"} 4096',
        'efa_hw_counter_total{device="rdmap16s27",counter="rx_drops"} 2',
    ]
    assert "/var/lib/llmcluster/metrics" in files(node)["/etc/systemd/system/llmcluster-node-metrics.service"]
