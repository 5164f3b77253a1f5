"""The image of AWS nodes: the newest, or the one that `image_id` names."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.aws_stacks import synthesize
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

IMAGE = "ami-0a1b2c3d4e5f60718"


def planned(provider: str = "aws", **fields: Any) -> Plan:
    document = {
        "name": "example",
        "model": {"parameters": "7B"},
        "workload": {"kind": "inference", "request_rate_per_s": 1},
        "placement": {"providers": [provider]},
        **fields,
    }
    return make_plan(read_spec(document, "example.yaml"), load_model({"parameters": "7B"}, None), Catalog.load())


@pytest.mark.parametrize("image", [IMAGE, None])
def test_plain_nodes_start_from_the_image_of_the_spec_or_the_newest(image: str | None, tmp_path: Path) -> None:
    plan = example_plan(spec={"image_id": image} if image else {})
    (default,) = {synthesize(plan, tmp_path)["compute"]["variable"]["image_id"]["default"]}
    assert default == image if image else default.startswith("resolve:ssm:/aws/service/deeplearning/ami/")


def test_parallelcluster_takes_the_image_of_the_spec(tmp_path: Path) -> None:
    plan = example_plan(spec={"image_id": IMAGE, "orchestrator": "slurm"})
    text = synthesize(plan, tmp_path)["compute"]["locals"]["parallelcluster"]
    assert yaml.safe_load(text)["Image"] == {"Os": "alinux2023", "CustomAmi": IMAGE}


def test_the_plan_says_which_image_nodes_start_from() -> None:
    assert f"image: every node starts from {IMAGE}" in planned(image_id=IMAGE).notes
    (note,) = [note for note in planned().notes if note.startswith("image:")]
    assert "newest image" in note
    assert not any(note.startswith("image:") for note in planned("azure").notes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"orchestrator": "kubernetes", "image_id": IMAGE}, "image_id: EKS chooses .* release_version"),
        ({"provider": "azure", "image_id": IMAGE}, "image_id: not supported on Microsoft Azure"),
        ({"image_id": "newest"}, "image_id"),
    ],
)
def test_an_image_that_cannot_be_given_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        planned(**fields)
