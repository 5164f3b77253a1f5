"""Every cluster in clusters/ is written whole; Terraform validates and plans each AWS stack."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from planner.plan.plan import Plan
from planner.workspace.planning import plan_specs
from provider_catalog.catalog import Catalog
from stacks.app import SynthesizedStack, write_stacks
from stacks.clouds import StackRole
from stacks.estimate.bill import estimate
from tests.support.azure_schema import missing_outputs, problems
from tests.support.moto_server import MotoServer
from tests.support.terraform import Terraform

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
SPECS = tuple(sorted((ROOT / "clusters").glob("*.yaml")))
ROLES: tuple[StackRole, ...] = ("network", "storage", "compute")


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Plan], list[SynthesizedStack]]:
    folder = tmp_path_factory.mktemp("examples")
    planned = plan_specs(SPECS, Catalog.load())
    plans = {entry.plan.name: entry.plan for entry in planned}
    return plans, write_stacks(planned, folder / "cdktf.out", folder / "hcl.out")


def document(stack: SynthesizedStack) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((stack.folder / "cdk.tf.json").read_text())
    return read


def state_of_outputs(stack: SynthesizedStack) -> None:
    """Write a state with a value for each output of a stack, so that later stacks can be planned alone."""
    values = {name: f"{name.replace('_', '-')}-0123456789abcdef0" for name in document(stack).get("output", {})}
    values |= {"availability_zone": "us-east-1b"} if "availability_zone" in values else {}
    arns = {
        "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000",
        "checkpoint_bucket_arn": "arn:aws:s3:::checkpoints-of-a-test",
    }
    values |= {name: arn for name, arn in arns.items() if name in values}
    path = stack.folder.parents[2] / "state" / f"{stack.name}.tfstate"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "version": 4,
                "terraform_version": "1.11.4",
                "serial": 1,
                "lineage": str(uuid.UUID(int=0)),
                "outputs": {name: {"value": value, "type": "string"} for name, value in values.items()},
                "resources": [],
            }
        )
    )


def test_the_examples_are_the_four_that_the_readme_names() -> None:
    assert {path.stem for path in SPECS} == {
        "deepseek-r1-serving",
        "llama-65b-training",
        "llama-65b-training-azure",
        "quickstart",
    }


def test_every_stack_has_its_plan_bill_and_launch_script(
    examples: tuple[dict[str, Plan], list[SynthesizedStack]],
) -> None:
    _, written = examples
    assert len(written) == len(ROLES) * len(SPECS)
    for stack in written:
        names = {path.name for path in stack.folder.iterdir()}
        assert {"cdk.tf.json", "plan.json", "cost.json", "cost.md"} <= names
        assert ("launch.sh" in names) == (stack.role == "compute")


def test_terraform_fmt_leaves_the_hcl_of_every_example_as_it_is(
    examples: tuple[dict[str, Plan], list[SynthesizedStack]], terraform: Terraform
) -> None:
    (folder,) = {stack.hcl_folder.parents[1] for stack in examples[1] if stack.hcl_folder}
    terraform.run(["fmt", "-check", "-diff", "-recursive"], folder)


@pytest.mark.parametrize("cluster", ["deepseek-r1-serving", "llama-65b-training", "quickstart"])
def test_terraform_validates_and_plans_every_aws_example(
    cluster: str,
    examples: tuple[dict[str, Plan], list[SynthesizedStack]],
    terraform: Terraform,
    account: MotoServer,
    tmp_path: Path,
) -> None:
    plans, written = examples
    stacks = {stack.role: stack for stack in written if stack.cluster == cluster}
    assert tuple(stacks) == ROLES
    tf = terraform.with_env(account.env)
    for role in ROLES:
        folder = stacks[role].folder
        account.write_override(folder)
        # Plans of storage and compute read the outputs of what is deployed before them.
        tf.init(folder, backend=role == "network")
        assert tf.validate(folder) == [], role
    for role in ("network", "storage"):
        state_of_outputs(stacks[role])
    for role in ("storage", "compute"):
        tf.init(stacks[role].folder)
    shown = {role: tf.plan(stacks[role].folder) for role in ROLES}
    created = {role: [change["address"] for change in plan["resource_changes"]] for role, plan in shown.items()}
    assert "aws_subnet.compute" in created["network"]
    assert "aws_fsx_lustre_file_system.shared" in created["storage"]
    groups = [address for address in created["compute"] if address.startswith("aws_autoscaling_group.")]
    bought = plans[cluster].choice.purchase
    assert len(groups) == sum(count > 0 for count in (bought.reserved_nodes, bought.spot_nodes, bought.on_demand_nodes))
    # What Terraform shows of its plan costs what ours says.
    files = []
    for role, plan in shown.items():
        files.append(tmp_path / f"{role}.json")
        files[-1].write_text(json.dumps(plan))
    (estimated,) = estimate(files, Catalog.load(), usage=stacks["compute"].folder / "cost.json")
    assert estimated.not_priced == ()
    assert estimated.usd_per_hour == pytest.approx(plans[cluster].cost.usd_per_hour, rel=1e-12)


def test_the_azure_example_agrees_with_the_schema_of_its_provider(
    examples: tuple[dict[str, Plan], list[SynthesizedStack]],
) -> None:
    _, written = examples
    documents: dict[str, dict[str, Any]] = {
        stack.role: document(stack) for stack in written if stack.cluster == "llama-65b-azure"
    }
    assert tuple(documents) == tuple(ROLES)
    assert [problem for found in documents.values() for problem in problems(found)] == []
    assert missing_outputs(documents) == []


def test_every_billed_line_names_a_resource_of_its_stack_and_adds_up(
    examples: tuple[dict[str, Plan], list[SynthesizedStack]],
) -> None:
    plans, written = examples
    hourly: dict[str, float] = {}
    for stack in written:
        cost = json.loads((stack.folder / "cost.json").read_text())
        total = cost["total_usd_per_hour"] or 0.0
        known = [item["usd_per_hour"] for item in cost["items"] if item["usd_per_hour"] is not None]
        assert sum(known) == pytest.approx(total)
        hourly[stack.cluster] = hourly.get(stack.cluster, 0.0) + total
        resources = document(stack)["resource"]
        for item in cost["items"]:
            kind, name = item["resource"].split(".")
            assert name in resources[kind], item["name"]
    for cluster, total in hourly.items():
        assert total == pytest.approx(plans[cluster].cost.usd_per_hour)
