"""Clusters without a shared file system (`storage.shared_tib: 0`), on both clouds and under every orchestrator."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.errors import SpecError
from planner.launch.script import script
from planner.launch.training_launch import training_launch
from planner.market.place import CloudPlace
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.aws_stacks import synthesize
from tests.support.azure_stacks import documents as azure_documents

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

CATALOG = Catalog.load()
TYPES = {"aws": "p5.48xlarge", "azure": "Standard_ND96isr_H100_v5"}
SERVING = {"kind": "inference", "request_rate_per_s": 1, "prompt_tokens": 512, "output_tokens": 128}


def spec(provider: str = "aws", workload: dict[str, Any] | None = None, **fields: Any) -> ClusterSpec:
    raw = {
        "name": "example",
        "model": {"parameters": "7B"},
        "workload": {"kind": "training", "tokens": 1e11, "deadline_days": 60, **(workload or {})},
        "placement": {"providers": [provider], "instance_types": [TYPES[provider]]},
        "storage": {"shared_tib": 0},
        **fields,
    }
    return read_spec(raw, "example.yaml")


def planned(asked: ClusterSpec) -> Plan:
    return make_plan(asked, load_model({"parameters": "7B"}, None), CATALOG)


def everything(plan: Plan, folder: Path) -> str:
    """The documents of all stacks of a plan, and the files beside them, as one text in lower case."""
    if plan.choice.provider == "azure":
        return json.dumps(azure_documents(plan)).lower()
    return json.dumps(synthesize(plan, folder)).lower()


@pytest.mark.parametrize(
    ("provider", "orchestrator"), [("aws", "none"), ("aws", "slurm"), ("aws", "kubernetes"), ("azure", "none")]
)
def test_nothing_of_a_file_system_is_built_mounted_watched_or_billed(
    provider: str, orchestrator: str, tmp_path: Path
) -> None:
    notify = {"observability": {"notify": ["team@example.com"]}} if provider == "aws" else {}
    plan = planned(spec(provider, orchestrator=orchestrator, **notify))

    assert plan.choice.shared_storage is None
    assert not any("shared file system" in item.name for item in plan.cost.items)
    assert not any(item.role.startswith("shared_") for item in plan.cost.items)
    text = everything(plan, tmp_path)
    for word in ("lustre", "fsx", "amlfs", "shared_dns_name", "freedatastoragecapacity", "/shared"):
        assert word not in text


@pytest.mark.parametrize("provider", ["aws", "azure"])
def test_checkpoints_go_to_the_object_store_and_the_plan_says_where_weights_live(provider: str) -> None:
    plan = planned(spec(provider))
    performance = plan.performance
    assert isinstance(performance, TrainingPerformance)
    assert performance.reliability is not None
    assert performance.reliability.checkpoint_to == "object_store"
    store = {"aws": "S3", "azure": "Blob Storage"}[provider]
    (note,) = [note for note in plan.notes if note.startswith("storage.shared_tib is 0")]
    assert f"weights and data are kept in {store}" in note
    assert f"checkpoints are written to {store}" in note
    assert "/scratch" in note


def test_the_launch_script_asks_for_a_mount_of_the_object_store() -> None:
    plan, architecture = planned(spec()), load_model({"parameters": "7B"}, None)
    text = script(training_launch(plan, architecture, CATALOG.software))
    assert "where checkpoints go, a mount of the object store" in text
    assert "shared file system" not in text


def test_without_scratch_weights_are_said_to_be_on_the_root_disk() -> None:
    plan = planned(spec(storage={"shared_tib": 0, "scratch": "none"}))
    assert any(f"to its root disk of {plan.choice.root_disk_gib} GiB" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"workload": {"fault_tolerance": {"checkpoint_to": "shared_file_system"}}},
            r"workload\.fault_tolerance\.checkpoint_to is shared_file_system, and storage\.shared_tib is 0",
        ),
        (
            {"storage": {"shared_tib": 0, "checkpoints_tib": 0}},
            r"storage\.shared_tib and storage\.checkpoints_tib are both 0: a training run has nowhere",
        ),
        (
            {"storage": {"shared_tib": 0, "shared_sku": "SCRATCH_2"}},
            r"shared_tib is 0.*shared_sku describes one; leave shared_sku out",
        ),
        ({"storage": {"shared_tib": 0, "lustre": {"efa": True}}}, r"shared_tib is 0.*lustre describes one"),
        ({"storage": {"shared_tib": -1}}, r"storage\.shared_tib"),
    ],
)
def test_a_run_without_a_place_for_its_checkpoints_is_refused_by_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        planned(spec(**fields))


def test_a_cloud_without_an_object_store_needs_a_shared_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = CATALOG.provider_defaults("aws").model_copy(update={"object_store": None})
    monkeypatch.setattr(CloudPlace, "defaults", bare)
    with pytest.raises(SpecError, match=r"storage\.shared_tib is 0, and nothing is known of an object store on aws"):
        CloudPlace("aws", CATALOG).checkpoint_stores(spec(), 3200)
