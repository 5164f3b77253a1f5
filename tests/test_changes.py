"""What a change does to a running cluster: the table covers the spec, `diff` prints it, `synth` warns before it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from llmcluster.cli import cli
from planner.compare.plan_diff import diff_plans
from planner.errors import SpecError
from planner.market.features import check_features
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from stacks.changes import effects, table_of
from tests.support.plans import example_plan

DECIDED = (
    "model",
    "workload",
    "precision",
    "headroom",
    "engine",
    "pin",
    "prices",
    "capacity",
    "placement.providers",
    "placement.regions",
    "placement.instance_types",
    "placement.max_nodes",
    "budget.usd_per_run",
    "storage.scratch_gb",
    "storage.checkpoints_tib",
)
"""Fields that reach a resource only through the decisions of the plan, or only the bill."""
WITH_VPC = ("network.subnet_id", "network.control_plane_subnet_id")
"""Fields that exist only beside network.vpc_id, whose row they share."""


NOT_PLANNED_YET = {
    "image_id",
    "placement.zones",
    "storage.lustre.backup_days",
    "instance_type",
    "purchase",
    "security.ebs_default_key",
    "storage.keep_on_destroy",
    "storage.lustre.data_repositories",
    "storage.scratch",
}
"""Fields whose change nobody has planned yet: `diff` says nothing of them."""


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_field_of_the_spec_has_a_verdict() -> None:
    known = {row.field for row in table_of("aws")}
    missing = {
        leaf
        for leaf in leaves(ClusterSpec)
        if leaf not in WITH_VPC and not any(leaf == name or leaf.startswith(f"{name}.") for name in (*known, *DECIDED))
    }
    decisions = {"nodes", "instance_type", "purchase", "region"}
    assert missing | (decisions - known) == NOT_PLANNED_YET


def test_nothing_that_aws_changes_in_place_replaces_data_or_the_control_plane() -> None:
    # EKS user guide, "Update existing cluster to new Kubernetes version", "Configure network access to cluster API
    # server endpoint", "Create access entries"; FSx for Lustre guide, "Managing storage capacity", "Lustre data
    # compression", "Managing metadata performance".
    in_place = {
        "kubernetes.administrators",
        "kubernetes.public_api_cidrs",
        "kubernetes.version",
        "storage.lustre.compression",
        "storage.lustre.metadata_iops",
        "storage.lustre.backup_days",
        "observability.notify",
        "network.flow_log_days",
        "security.permissions_boundary",
        "tags",
    }
    rows = table_of("aws")
    assert in_place - NOT_PLANNED_YET <= {row.field for row in rows if row.orchestrator == "kubernetes"}
    for row in rows:
        if row.field in in_place or (row.field, row.when) == ("storage.shared_tib", "larger"):
            assert row.verdict in ("none", "in place", "rolling"), row


def test_the_effect_of_a_change_is_that_of_the_orchestrator() -> None:
    kubernetes = {"orchestrator": "kubernetes"}
    old = example_plan(spec=kubernetes)
    new = example_plan(spec={**kubernetes, "kubernetes": {"administrators": ["arn:aws:iam::123456789012:role/ops"]}})
    (effect,) = effects(diff_plans(old, new), old, new)
    assert (effect.field, effect.verdict) == ("kubernetes.administrators", "in place")
    grown = example_plan(nodes=5, spec=kubernetes)
    found = effects(diff_plans(old, grown), old, grown)
    assert "nodes" in {effect.field for effect in found}
    assert effects(diff_plans(old, old), old, old) == ()


def test_numbers_that_grow_and_shrink_have_verdicts_of_their_own() -> None:
    def resized(tib: float) -> str:
        old, new = (
            example_plan(spec={"orchestrator": "kubernetes", "storage": {"shared_tib": each}}) for each in (2.0, tib)
        )
        (effect,) = effects(diff_plans(old, new), old, new)
        return effect.verdict

    # FSx for Lustre guide, "Managing storage capacity": it can be increased only.
    assert (resized(4.0), resized(1.0)) == ("in place", "refused")


SPEC = """
name: chat
model: Qwen/Qwen2.5-7B
workload: {{kind: inference, request_rate_per_s: 1}}
placement: {{providers: [aws], instance_types: [g6e.xlarge]}}
network: {{cidr: {cidr}}}
"""


@pytest.mark.slow
def test_diff_prints_verdicts_and_synth_warns_before_a_replacement(tmp_path: Path) -> None:
    old, new, out = tmp_path / "old.yaml", tmp_path / "new.yaml", tmp_path / "out"
    old.write_text(SPEC.format(cidr="10.42.0.0/16"))
    new.write_text(SPEC.format(cidr="10.43.0.0/16"))
    runner = CliRunner()
    first = runner.invoke(cli, ["synth", str(old), "--out", str(out), "--no-hcl"])
    assert (first.exit_code, first.stderr) == (0, "")
    told = runner.invoke(cli, ["diff", str(out), str(new)])
    assert "network.cidr: destroyed and created again" in " ".join(told.stdout.split())
    (found,) = json.loads(runner.invoke(cli, ["diff", str(out), str(new), "--json"]).stdout)
    assert [effect["verdict"] for effect in found["effects"]] == ["replaced"]
    assert "destroyed and created again" in runner.invoke(cli, ["diff", str(out), str(new), "--markdown"]).stdout
    second = runner.invoke(cli, ["synth", str(new), "--out", str(out), "--no-hcl"])
    assert second.exit_code == 0
    assert "warning: chat: network.cidr: destroyed and created again" in second.stderr


# EC2 user guide, "Tag restrictions": 50; S3 user guide, "Categorizing your storage using tags": 10.
@pytest.mark.parametrize(
    ("spec", "room"),
    [
        ({}, 47),
        ({"orchestrator": "kubernetes"}, 42),
        ({"orchestrator": "slurm"}, 47),
        ({"orchestrator": "slurm", "observability": {"notify": ["ops@example.com"]}}, 8),
    ],
)
def test_as_many_tags_as_aws_takes_and_no_more(spec: dict[str, object], room: int) -> None:
    defaults = Catalog.load().provider_defaults("aws")

    def check(count: int) -> None:
        tags = {f"key-{number}": "value" for number in range(count)}
        check_features(example_plan(spec={**spec, "tags": tags}).spec, defaults)

    check(room)
    with pytest.raises(SpecError, match=rf"tags: {room + 1} are given.*give at most {room}$"):
        check(room + 1)
