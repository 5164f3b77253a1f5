"""The bill computed from Terraform resources equals the plan's to the cent and names what it cannot price."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator

from llmcluster.cli import cli
from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.workspace.planning import plan_specs
from provider_catalog.catalog import Catalog
from stacks.app import SynthesizedStack, write_stacks
from stacks.estimate import aws, azurerm
from stacks.estimate.bill import Estimate, estimate
from stacks.estimate.expressions import Scope
from stacks.estimate.infracost import breakdown_json
from tests.support.bills import assert_same_bill, bill_of, usage_file
from tests.support.infracost_schema import SCHEMA

pytestmark = pytest.mark.slow

EXAMPLES = tuple(sorted((Path(__file__).parent.parent / "clusters").glob("*.yaml")))
SERVE = """
model: Qwen/Qwen2.5-7B
workload: {kind: inference, request_rate_per_s: 40}
"""
ON_AWS = "placement: {providers: [aws]}\n"
TRAIN = "model: Qwen/Qwen2.5-1.5B\nworkload: {kind: training, tokens: 1.0e+9, deadline_days: 10}\n"
BLOCK = "capacity: {block: {start: 2026-12-10, days: 14, reservation_id: cr-0123456789abcdef0}}\n"
WATCHED = "observability: {notify: [on-call@example.org]}\n"
MEASURED = "observability: {notify: [on-call@example.org], metrics: true}\n"
PHASES = "pin: {instance_type: g6e.xlarge, nodes: 5}\nrollout: {validation_nodes: 2}\ncapacity: {reservation: none}\n"
MATRIX = {
    # Every way of buying, a demand that leaves nodes idle, and every file system with a price
    "mixed": SERVE + "placement: {providers: [aws], instance_types: [g6e.xlarge]}\n"
    "capacity: {demand: business-hours, interruption: tolerate, time_zone: America/New_York}\n"
    "storage: {shared_sku: SCRATCH_2, shared_tib: 3}\n",
    "spot-gang": "model: {parameters: 13B}\nworkload: {kind: training, tokens: 2.0e+10, deadline_days: 20}\n"
    "placement: {providers: [aws], regions: [us-east-2], instance_types: [p4d.24xlarge]}\n"
    "capacity: {interruption: tolerate}\n",
    "ohio": SERVE + "placement: {providers: [aws], regions: [us-east-2], instance_types: [p5.48xlarge]}\n",
    "azure-mixed": SERVE + "placement: {providers: [azure], instance_types: [Standard_NC24ads_A100_v4]}\n"
    "capacity: {demand: business-hours, interruption: tolerate}\n",
    "azure-tiered": SERVE + "placement: {providers: [azure], instance_types: [Standard_NC24ads_A100_v4]}\n"
    "capacity: {demand: business-hours, interruption: tolerate, policy: tiered}\nstorage: {checkpoints_tib: 5}\n",
    "azure-steady": SERVE + "placement: {providers: [azure], instance_types: [Standard_NC96ads_A100_v4]}\n"
    "pin: {nodes: 3}\n",
    "azure-spot-gang": TRAIN + "placement: {providers: [azure], regions: [southcentralus]}\n"
    "pin: {instance_type: Standard_ND96isr_H100_v5, nodes: 4}\ncapacity: {interruption: tolerate}\n"
    "storage: {shared_sku: AMLFS-Durable-Premium-500, shared_tib: 5}\n",
    # What is watched, under every orchestrator
    "watched": SERVE + "placement: {providers: [aws], instance_types: [g6.2xlarge]}\npin: {nodes: 2}\n"
    "observability: {notify: [on-call@example.org], metrics: true}\n",
    "watched-kubernetes": SERVE + ON_AWS + "pin: {instance_type: g6.2xlarge, nodes: 2}\norchestrator: kubernetes\n"
    "capacity: {demand: business-hours, interruption: tolerate, time_zone: Europe/Berlin}\n" + WATCHED,
    # Phases hold back nodes, and not their bill
    "phases": SERVE + ON_AWS + PHASES,
    "phases-kubernetes": SERVE + ON_AWS + PHASES + "orchestrator: kubernetes\n" + MEASURED,
    "phases-slurm": SERVE + ON_AWS + PHASES + "orchestrator: slurm\n" + MEASURED,
    "watched-slurm": TRAIN + ON_AWS + "pin: {instance_type: p5.48xlarge, nodes: 2}\norchestrator: slurm\n" + WATCHED,
    # Three nodes in a block of four, which somebody has bought
    "block": TRAIN + ON_AWS + "pin: {instance_type: p5.48xlarge, nodes: 3}\n" + BLOCK,
    "block-kubernetes": TRAIN
    + ON_AWS
    + "pin: {instance_type: p5.48xlarge, nodes: 3}\norchestrator: kubernetes\n"
    + BLOCK,
    "block-slurm": TRAIN + ON_AWS + "pin: {instance_type: p5.48xlarge, nodes: 3}\norchestrator: slurm\n" + BLOCK,
    "own-network": TRAIN + ON_AWS + "pin: {instance_type: p5.48xlarge, nodes: 2}\n"
    "network: {vpc_id: vpc-0123456789abcdef0, subnet_id: subnet-0123456789abcdef0}\n"
    "storage: {shared_tib: 2.4, lustre: {backup_days: 7, metadata_iops: 6000}}\n",
}


class Written:
    """Plan and synthesize the examples and the matrix once."""

    def __init__(self, folder: Path) -> None:
        specs = list(EXAMPLES)
        for name, text in MATRIX.items():
            specs.append(folder / f"{name}.yaml")
            specs[-1].write_text(f"name: {name}\n{text}")
        planned = plan_specs(specs, Catalog.load())
        self.plans: dict[str, Plan] = {entry.plan.name: entry.plan for entry in planned}
        self.out = folder / "out"
        self.stacks: list[SynthesizedStack] = write_stacks(planned, self.out)

    def document(self, cluster: str, role: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.out / "stacks" / f"{cluster}-{role}" / "cdk.tf.json").read_text())
        return read


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("estimate"))


@pytest.fixture(scope="module")
def estimates(written: Written) -> dict[str, Estimate]:
    return {each.name: each for each in estimate([written.out], Catalog.load())}


def test_the_matrix_covers_every_way_of_buying(written: Written) -> None:
    for provider in ("aws", "azure"):
        bought = [plan.choice.purchase for plan in written.plans.values() if plan.choice.provider == provider]
        assert any(purchase.reserved_nodes for purchase in bought)
        assert any(purchase.spot_nodes for purchase in bought)
        assert any(purchase.on_demand_nodes for purchase in bought)
    assert written.plans["block"].choice.purchase.capacity_block_instances == 4


def test_resources_cost_what_the_plan_says_to_the_cent(written: Written, estimates: dict[str, Estimate]) -> None:
    assert set(estimates) == set(written.plans)
    for name, plan in written.plans.items():
        assert_same_bill(plan, estimates[name])


@pytest.mark.parametrize("cluster", ["phases", "phases-kubernetes", "phases-slurm"])
def test_the_phase_of_the_variable_decides_what_the_nodes_cost(cluster: str, written: Written, tmp_path: Path) -> None:
    document = written.document(cluster, "compute")
    assert document["variable"]["phase"]["default"] == "full"
    document["variable"]["phase"]["default"] = "validate"
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    plan = written.plans[cluster]
    found = bill_of(plan, [tmp_path], tmp_path)
    nodes = {line.meter.role: line.meter.quantity for line in found.lines}
    assert (nodes["compute_on_demand"], nodes["root_disk"]) == (2, 2 * plan.choice.root_disk_gib)
    phases = plan.cost.usd_per_hour_by_rollout
    saved = {item.role: item.usd_per_hour or 0 for item in plan.cost.items}["compute_on_demand"]
    saved -= found.usd_per_hour_by_role()["compute_on_demand"]
    assert phases["full"] - phases["validate"] == pytest.approx(saved, rel=0.05)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("${var.nodes}", 4),
        ('${var.phase == "validate" ? 1 : 4}', 4),
        ('${var.phase != "validate" ? 1 : 4}', 1),
        ('${var.active ? (var.phase == "validate" ? 1 : 4) : 0}', 0),
        ('${var.active ? 9 : var.phase == "full" ? 7 : 8}', 7),
        ("${local.nodes}", 4),
        ("${aws_eip.nat.count}", 3),
        (["${var.nodes}", {"size": "${local.nodes}"}], [4, {"size": 4}]),
        ("${var.other}", "${var.other}"),
        ("${max(var.nodes, 2)}", "${max(var.nodes, 2)}"),
        ("${var.active ? 9}", "${var.active ? 9}"),
        ("${aws_eip.nat.id}", "${aws_eip.nat.id}"),
        ("plain", "plain"),
    ],
)
def test_expressions_that_decide_a_count_are_evaluated(expression: Any, value: Any) -> None:
    variables = {"phase": "full", "active": False, "nodes": 4}
    scope = Scope(variables, {"nodes": "${var.active ? 1 : var.nodes}"}, {"aws_eip.nat": {"count": 3}})
    assert scope.resolved(expression) == value
    assert scope.filled("MaxCount: ${local.nodes} ${local.gone} ${var.nodes}") == (
        "MaxCount: 4 ${local.gone} ${var.nodes}"
    )


def test_a_block_that_nobody_has_bought_is_said_and_not_billed(tmp_path: Path) -> None:
    spec = tmp_path / "offer.yaml"
    on_offer = BLOCK.replace(", reservation_id: cr-0123456789abcdef0", "")
    spec.write_text(f"name: offer\n{TRAIN}{ON_AWS}pin: {{instance_type: p5.48xlarge, nodes: 3}}\n{on_offer}")
    planned = plan_specs([spec], Catalog.load())
    write_stacks(planned, tmp_path / "out")
    (found,) = estimate([tmp_path / "out"], Catalog.load())
    nodes = {"compute_capacity_block", "root_disk"}
    assert {item.role for item in planned[0].plan.cost.items} - set(found.usd_per_hour_by_role()) == nodes
    assert [resource.address for resource, _ in found.not_priced] == ["aws_ec2_capacity_block_offering.capacity_block"]


def test_a_cluster_configuration_that_is_not_known_yet_is_named(written: Written, tmp_path: Path) -> None:
    """`terraform show -json` of a plan leaves out outputs whose values come with the apply."""
    document = {
        "planned_values": {
            "outputs": {"cluster_configuration": {"sensitive": False}},
            "root_module": {"resources": [{"address": "aws_vpc.x", "type": "aws_vpc", "values": {}}]},
        }
    }
    (tmp_path / "plan.json").write_text(json.dumps(document))
    (found,) = estimate([tmp_path / "plan.json"], Catalog.load(), region="us-east-1")
    assert [(each.address, reason) for each, reason in found.not_priced] == [
        ("output.cluster_configuration", "cluster_configuration is not known before apply")
    ]


@pytest.mark.parametrize(
    "text", ["HeadNode: 3", "a: [", "Scheduling: {SlurmQueues: [{CapacityType: FREE}]}\nHeadNode: {}"]
)
def test_a_strange_cluster_configuration_is_named(text: str, written: Written, tmp_path: Path) -> None:
    document = written.document("watched-slurm", "compute")
    document["locals"]["parallelcluster"] = text
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    (found,) = estimate([tmp_path], Catalog.load(), region="us-east-1")
    assert any("not a configuration of ParallelCluster" in reason for _, reason in found.not_priced)


def test_a_change_in_the_document_alone_shows(written: Written, tmp_path: Path) -> None:
    document = written.document("llama-65b-training", "compute")
    document["resource"]["aws_ec2_capacity_reservation"]["reserved"]["instance_count"] -= 1
    path = tmp_path / "cdk.tf.json"
    path.write_text(json.dumps(document))
    cost = written.out / "stacks" / "llama-65b-training-compute" / "cost.json"
    (found,) = estimate([path], Catalog.load(), usage=cost)
    planned = json.loads(cost.read_text())["total_usd_per_hour"]
    price = Catalog.load().prices.instance("aws", "us-east-1", "p4d.24xlarge", "on-demand")
    assert price is not None
    assert found.usd_per_hour == pytest.approx(planned - price.usd_per_hour)


def test_without_a_usage_what_is_billed_by_use_is_named_and_not_free(written: Written, tmp_path: Path) -> None:
    (tmp_path / "cdk.tf.json").write_text(json.dumps(written.document("quickstart", "network")))
    (found,) = estimate([tmp_path], Catalog.load())
    reasons = {resource.address: reason for resource, reason in found.not_priced}
    assert "--usage" in reasons["aws_nat_gateway.cluster"]
    # The gateway itself is billed by the hour, used or not
    assert "nat_gateway" in found.usd_per_hour_by_role()


def test_a_kind_it_does_not_know_is_listed(tmp_path: Path) -> None:
    unknown = {"aws_sagemaker_endpoint": {"front": {"name": "front"}}}
    document = {"resource": unknown, "provider": {"aws": [{"region": "us-east-1"}]}}
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    (found,) = estimate([tmp_path], Catalog.load())
    assert found.usd_per_hour is None
    assert [resource.kind for resource, _ in found.not_priced] == ["aws_sagemaker_endpoint"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "no such file"),
        ("broken.json", "{", "not a JSON object"),
        ("list.json", "[]", "not a JSON object"),
        ("other.json", '{"a": 1}', "not a Terraform document"),
        ("shape.json", '{"resource": ["x"]}', "not a Terraform document"),
    ],
)
def test_a_file_that_is_no_terraform_is_refused(name: str, content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SpecError, match=message):
        estimate([tmp_path / name], Catalog.load())


@pytest.mark.parametrize(
    ("kind", "argument", "value"),
    [
        ("aws_fsx_lustre_file_system", "storage_capacity", "much"),
        ("aws_fsx_lustre_file_system", "storage_capacity", -1200),
        ("aws_fsx_lustre_file_system", "storage_capacity", 1e300),
        ("aws_fsx_lustre_file_system", "storage_capacity", None),
        ("aws_ec2_capacity_reservation", "instance_count", [4]),
        ("aws_autoscaling_group", "launch_template", "none"),
        ("aws_launch_template", "block_device_mappings", "sda"),
    ],
)
def test_an_argument_that_cannot_be_is_named_and_not_priced(
    kind: str, argument: str, value: Any, written: Written, tmp_path: Path
) -> None:
    for role in ("storage", "compute"):
        document = written.document("llama-65b-training", role)
        for resource in document["resource"].get(kind, {}).values():
            resource[argument] = value
        (tmp_path / role).mkdir()
        (tmp_path / role / "cdk.tf.json").write_text(json.dumps(document))
    (found,) = estimate([tmp_path], Catalog.load(), usage_file(written.plans["llama-65b-training"], tmp_path))
    assert found.not_priced
    json.dumps(breakdown_json([found]), allow_nan=False)


@pytest.mark.parametrize("part", ["provider", "variable", "locals", "output", "resource"])
def test_a_document_of_a_strange_shape_is_refused(part: str, written: Written, tmp_path: Path) -> None:
    document = written.document("watched-slurm", "compute")
    document[part] = {"aws": 3} if part in ("provider", "resource") else "strange"
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    with pytest.raises(SpecError, match="not a Terraform document of a known structure"):
        estimate([tmp_path], Catalog.load())


@pytest.mark.parametrize(
    ("usage", "message"), [("[1]", "not a mapping"), ("nat_gb: 3", "nat_gb"), (None, "cannot be read")]
)
def test_a_wrong_usage_is_refused(usage: str | None, message: str, written: Written, tmp_path: Path) -> None:
    path = tmp_path / "usage.yaml"
    if usage is not None:
        path.write_text(usage)
    with pytest.raises(SpecError, match=message):
        estimate([written.out], Catalog.load(), usage=path)


@pytest.mark.parametrize(("cloud", "prefix"), [(aws, "aws"), (azurerm, "azurerm")])
def test_every_kind_that_the_stacks_build_is_priced_or_known_to_be_free(cloud: ModuleType, prefix: str) -> None:
    source = "\n".join(path.read_text() for folder in ("cdk", "stacks") for path in Path(folder).rglob("*.py"))
    built = set(re.findall(rf"cdktf_cdktf_provider_{prefix}\.(\w+)", source)) - {"provider"}
    kinds = {f"{prefix}_{name}" for name in built if not name.startswith("data_")}
    assert len(kinds) > 20
    assert kinds <= set(cloud.READERS) | cloud.FREE
    assert not set(cloud.READERS) & cloud.FREE


def test_infracosts_readers_find_every_field_they_need(estimates: dict[str, Estimate]) -> None:
    root = breakdown_json(list(estimates.values()))
    errors = [f"{error.json_path}: {error.message}" for error in Draft7Validator(SCHEMA).iter_errors(root)]
    assert not errors
    # `infracost diff --compare-to` refuses projects of one name.
    names = [project["name"] for project in root["projects"]]
    assert len(names) == len(set(names))
    hourly = 0.0
    for project in root["projects"]:
        for resource in project["breakdown"]["resources"]:
            for component in resource["costComponents"]:
                assert component["priceNotFound"] == (component["price"] is None)
                if component["price"] is not None:
                    product = float(component["monthlyQuantity"]) * float(component["price"])
                    assert float(component["monthlyCost"]) == pytest.approx(product, rel=1e-6, abs=1e-6)
        hourly += float(project["breakdown"]["totalHourlyCost"] or 0)
    # Infracost sums what has a price, and marks what has none.
    known = [line.usd_per_hour or 0 for each in estimates.values() for line in each.lines]
    assert hourly == pytest.approx(sum(known))
    assert float(root["totalMonthlyCost"]) == pytest.approx(730 * hourly)
    assert root["summary"]["totalDetectedResources"] == sum(
        project["summary"]["totalDetectedResources"] for project in root["projects"]
    )


def test_the_command_prints_all_three_forms(written: Written) -> None:
    folder = str(written.out)
    # Wide enough that no address is folded
    text = CliRunner().invoke(cli, ["cost", folder], env={"COLUMNS": "250"})
    assert text.exit_code == 0, text.output
    assert "aws_fsx_lustre_file_system.shared" in text.stdout
    assert "azurerm_private_dns_zone.blob" in text.stdout
    document = json.loads(CliRunner().invoke(cli, ["cost", folder, "--json"]).stdout)
    assert {each["cluster"] for each in document} == set(written.plans)
    infracost = json.loads(CliRunner().invoke(cli, ["cost", folder, "--format", "infracost"]).stdout)
    assert infracost["currency"] == "USD"
    lock = str(written.out / "stacks" / "quickstart-compute" / "plan.json")
    locked = json.loads(CliRunner().invoke(cli, ["cost", lock, "--json"]).stdout)
    assert locked["usd_per_hour"] == written.plans["quickstart"].cost.usd_per_hour
    refused = CliRunner().invoke(cli, ["cost", str(EXAMPLES[0]), "--format", "infracost"])
    assert refused.exit_code == 2
