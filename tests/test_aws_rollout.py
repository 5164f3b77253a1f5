"""Operations on AWS: phases of a roll-out, burn-in, import of existing resources, the bucket of the states."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cdk.aws.phases import nodes_to_validate
from cdk.bootstrap import BurnIn
from llmcluster.cli import cli
from planner.errors import SpecError
from planner.plan.choice import PassThresholds, Purchase
from planner.reliability.pass_thresholds import pass_thresholds
from provider_catalog.catalog import Catalog
from stacks.app import write_stacks
from tests.support.aws_stacks import synthesize
from tests.support.nodes import AWS, files, unit
from tests.support.plans import example_plan, planned_spec

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

CATALOG = Catalog.load()
TWO_FIRST: dict[str, Any] = {"spec": {"rollout": {"validation_nodes": 2}}}


# Phases


def test_a_phase_is_one_variable_over_all_groups(tmp_path: Path) -> None:
    bought = Purchase(reserved_nodes=1, on_demand_nodes=4, spot_nodes=1)
    compute = synthesize(example_plan(nodes=6, purchase=bought, **TWO_FIRST), tmp_path)["compute"]
    assert compute["variable"]["phase"]["default"] == "full"
    (validation,) = compute["variable"]["phase"]["validation"]
    assert "validate" in validation["condition"] and "full" in validation["condition"]
    sizes = {name: g["desired_capacity"] for name, g in compute["resource"]["aws_autoscaling_group"].items()}
    assert sizes == {
        "reserved": 1,
        "on_demand": '${var.phase == "validate" ? 1 : 4}',
        "spot": '${var.phase == "validate" ? 0 : 1}',
    }
    assert compute["resource"]["aws_ssm_parameter"]["phase"]["value"] == "${var.phase}"


def test_a_new_phase_changes_no_template_so_that_validated_nodes_stay(tmp_path: Path) -> None:
    compute = synthesize(example_plan(**TWO_FIRST), tmp_path)["compute"]
    assert "var.phase" not in json.dumps(compute["resource"]["aws_launch_template"])
    assert "var.phase" not in compute["locals"]["user_data"]
    assert "--name /llmcluster/example/phase" in compute["locals"]["user_data"]


def test_without_phases_nothing_of_them_is_there(tmp_path: Path) -> None:
    compute = synthesize(example_plan(), tmp_path)["compute"]
    assert "phase" not in compute["variable"]
    assert "burn-in" not in compute["locals"]["user_data"]


def test_the_first_groups_are_validated_first() -> None:
    assert nodes_to_validate({"reserved": 1, "on_demand": 5, "spot": 9}, 3) == {
        "reserved": 1,
        "on_demand": 2,
        "spot": 0,
    }


# Thresholds: nccl-tests on p4d report about 235 GB/s inside a node and 38 to 40 GB/s over four 100 Gb/s cards.


def test_pass_thresholds_lie_below_what_good_nodes_reach_and_not_far() -> None:
    p4d = pass_thresholds(CATALOG.topology(CATALOG.instance_type("aws", "p4d.24xlarge")), multi_node=True)
    assert p4d.inside_gb_per_s is not None and 0.8 * 235 < p4d.inside_gb_per_s < 235
    assert p4d.between_gb_per_s is not None and 0.8 * 38 < p4d.between_gb_per_s < 38


def test_gpus_on_pcie_and_single_nodes_have_no_threshold() -> None:
    g6e = CATALOG.topology(CATALOG.instance_type("aws", "g6e.12xlarge"))
    assert pass_thresholds(g6e, multi_node=False) == PassThresholds()


# Burn-in on the node, with recorded tools

BURN_IN = replace(AWS, burn_in=BurnIn(phase_command="aws ssm get-parameter", bus_gb_per_s=204.0))


@pytest.fixture
def node(tmp_path: Path) -> dict[str, str]:
    tools, perf = tmp_path / "tools", tmp_path / "cuda-12.8" / "efa" / "test-cuda-12.8"
    tools.mkdir()
    perf.mkdir(parents=True)
    script = tmp_path / "llmcluster-burn-in"
    script.write_text(files(BURN_IN)["/usr/local/sbin/llmcluster-burn-in"])
    for path, body in {
        tools / "aws": 'if [ -e "$STATE/aws.once" ]; then rm "$STATE/aws.once"; exit 1; fi\ncat "$STATE/phase"',
        tools / "sleep": "true",
        tools / "dcgmi": 'echo "dcgmi $*" >> "$STATE/calls"\n[ ! -e "$STATE/dcgmi.fails" ]',
        perf
        / "all_reduce_perf": 'echo "nccl $*" >> "$STATE/calls"\necho "# Avg bus bandwidth    : $(cat "$STATE/bus")"',
        script: None,
    }.items():
        if body is not None:
            path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(0o755)
    return {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "STATE": str(tmp_path),
        "NCCL_TESTS_DIR": str(tmp_path),
        "GPUS": "8",
        "RETRY_S": "15",
        "BUS_GB_PER_S": "204.0",
    }


def burn_in(node: dict[str, str], phase: str, bus: str = "230.1") -> tuple[int, str]:
    folder = Path(node["STATE"])
    (folder / "phase").write_text(phase)
    (folder / "bus").write_text(bus)
    done = subprocess.run([str(folder / "llmcluster-burn-in")], env=node, capture_output=True, text=True, check=False)
    calls = folder / "calls"
    return done.returncode, calls.read_text() if calls.exists() else ""


def test_a_good_node_passes_the_burn_in(node: dict[str, str]) -> None:
    assert burn_in(node, "validate") == (
        0,
        "dcgmi diag --run 3\nnccl --minbytes 1G --maxbytes 1G --ngpus 8 --iters 50\n",
    )


def test_a_slow_link_or_a_failed_diagnostic_keeps_the_node_from_work(node: dict[str, str]) -> None:
    assert burn_in(node, "validate", bus="118.0")[0] != 0
    (Path(node["STATE"]) / "dcgmi.fails").touch()
    assert burn_in(node, "validate")[0] != 0


def test_in_the_full_phase_nothing_is_run(node: dict[str, str]) -> None:
    assert burn_in(node, "full") == (0, "")


def test_a_phase_that_cannot_be_read_yet_is_asked_for_again(node: dict[str, str]) -> None:
    (Path(node["STATE"]) / "aws.once").touch()
    assert burn_in(node, "validate")[0] == 0


def test_a_node_that_fails_the_burn_in_is_never_ready() -> None:
    assert "llmcluster-burn-in.service" in unit(BURN_IN, "ready.service")["Requires"]
    assert "llmcluster-check.service" in unit(BURN_IN, "burn-in.service")["After"]


# Take-over


def written(imports: dict[str, str], folder: Path) -> dict[str, dict[str, Any]]:
    plan = example_plan(spec={"imports": imports})
    stacks = write_stacks([planned_spec(plan)], folder / "cdktf.out", folder / "hcl.out")
    return {stack.role: json.loads((stack.folder / "cdk.tf.json").read_text()) for stack in stacks}


def test_existing_resources_are_taken_over_by_import_blocks(tmp_path: Path) -> None:
    documents = written(
        {"storage.aws_s3_bucket.checkpoints": "acme-checkpoints", "network.aws_vpc.cluster": "vpc-0a1b2c3d"}, tmp_path
    )
    assert documents["storage"]["import"] == [{"id": "acme-checkpoints", "to": "aws_s3_bucket.checkpoints"}]
    assert documents["network"]["import"] == [{"id": "vpc-0a1b2c3d", "to": "aws_vpc.cluster"}]
    # A bucket cannot be renamed, so that the document takes the name it has.
    assert documents["storage"]["resource"]["aws_s3_bucket"]["checkpoints"]["bucket"] == "acme-checkpoints"
    assert "import {" in (tmp_path / "hcl.out/stacks/example-storage/cdk.tf").read_text()


def test_an_import_of_nothing_is_refused_with_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"imports: 'storage\.aws_s3_bucket\.checkpoint'.*aws_s3_bucket\.checkpoints"):
        written({"storage.aws_s3_bucket.checkpoint": "acme"}, tmp_path)
    assert not (tmp_path / "cdktf.out").exists()


# The bucket of the states

SPEC = """
name: example
model: {parameters: 7B}
workload: {kind: training, tokens: 1.0e+11}
"""


def bootstrap(folder: Path, state: str) -> Any:
    (folder / "spec.yaml").write_text(SPEC + state)
    return CliRunner().invoke(cli, ["bootstrap-state", str(folder / "spec.yaml"), "--out", str(folder / "out")])


def test_a15_the_bucket_of_the_states_is_versioned_encrypted_and_tls_only(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, "state: {backend: s3, bucket: acme-states, region: us-east-1}")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out/stacks/acme-states/cdk.tf.json").read_text())
    resource = document["resource"]
    assert resource["aws_s3_bucket_versioning"]["states"]["versioning_configuration"]["status"] == "Enabled"
    (rule,) = resource["aws_s3_bucket_server_side_encryption_configuration"]["states"]["rule"]
    assert rule["apply_server_side_encryption_by_default"]["kms_master_key_id"] == "${aws_kms_key.states.arn}"
    (deny,) = document["data"]["aws_iam_policy_document"]["states"]["statement"]
    assert (deny["effect"], deny["condition"][0]["variable"]) == ("Deny", "aws:SecureTransport")
    for kind in ("aws_s3_bucket", "aws_kms_key"):
        assert resource[kind]["states"]["lifecycle"]["prevent_destroy"] is True
    # Its own state cannot live in the bucket that it makes.
    assert document["terraform"]["backend"] == {"local": {"path": "../../../state/acme-states.tfstate"}}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("", "state.backend is 'local', which needs no bootstrap"),
    ],
)
def test_states_that_need_no_bucket_are_a_spec_error(state: str, message: str, tmp_path: Path) -> None:
    done = bootstrap(tmp_path, state)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()
