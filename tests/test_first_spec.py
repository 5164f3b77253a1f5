"""From a blank page to a spec: `init`, `models`, and the commands that check and explain specs."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from pydantic import BaseModel

from llmcluster.cli import cli
from llmcluster.reports.spec_reference import reference_page
from planner.spec import ClusterSpec, InferenceWorkload
from planner.spec.fields import all_fields, fields_at

ROOT = Path(__file__).parent.parent
SERVE = ("--model", "Qwen/Qwen3-8B", "--task", "serve", "--users", "200", "--requests-per-user-per-hour", "20")
TRAIN = ("--model", "65B", "--task", "train", "--tokens", "1.4T", "--deadline-days", "60")
TUNE = ("--model", "meta-llama/Llama-3.1-8B", "--task", "finetune", "--tokens", "20M", "--deadline-days", "1.5")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize(
    ("answers", "name", "workload"),
    [
        (SERVE, "qwen3-8b-serve", {"kind": "inference", "users": 200, "requests_per_user_per_hour": 20}),
        (TRAIN, "m65b-train", {"kind": "training", "tokens": "1.4T", "deadline_days": 60}),
        (TUNE, "llama-3-1-8b-finetune", {"kind": "finetuning", "tokens": "20M", "deadline_days": 1.5}),
    ],
)
@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_a_first_spec_holds_the_answers_and_is_valid(
    answers: tuple[str, ...], name: str, workload: dict[str, Any], cloud: str, here: Path
) -> None:
    made = run("init", *answers, "--cloud", cloud)
    assert made.exit_code == 0, made.output
    written = yaml.safe_load((here / f"{name}.yaml").read_text())
    assert workload.items() <= written["workload"].items()
    assert written["placement"]["providers"] == [cloud]
    checked = run("spec", "validate", f"{name}.yaml")
    assert checked.exit_code == 0, checked.output
    # An editor reads the schema that the first line names.
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", (here / f"{name}.yaml").read_text())
    assert named is not None
    jsonschema.Draft202012Validator.check_schema(json.loads((here / named[1]).read_text()))


def test_questions_without_an_answer_are_an_error_where_nobody_can_be_asked(here: Path) -> None:
    asked = run("init", "--model", "Qwen/Qwen3-8B")
    assert asked.exit_code == 2
    assert list(here.iterdir()) == []


def test_an_existing_file_stays_unless_it_may_go(here: Path) -> None:
    (here / "chat.yaml").write_text("mine\n")
    assert run("init", "chat.yaml", *SERVE, "--cloud", "aws").exit_code == 2
    assert (here / "chat.yaml").read_text() == "mine\n"
    assert run("init", "chat.yaml", *SERVE, "--cloud", "aws", "--force").exit_code == 0
    assert "kind: inference" in (here / "chat.yaml").read_text()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--model", "Qwen/Qwen3-9B"), "Qwen3-8B"),
        (("--model", "x\ny: z"), "model"),
        (("--name", "Chat Bot"), "name"),
        (("--region", "us-east-1\n  zone: x"), "regions"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_is_written(wrong: tuple[str, ...], says: str, here: Path) -> None:
    refused = run("init", *SERVE, "--cloud", "aws", *wrong)
    assert refused.exit_code == 2, refused.output
    assert list(here.iterdir()) == []


def test_users_give_the_rate() -> None:
    workload = InferenceWorkload(kind="inference", users=200, requests_per_user_per_hour=18)
    assert workload.offered_requests_per_s == workload.stated_requests_per_s == 1.0


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({"users": 200}, "belong together"),
        ({"requests_per_user_per_hour": 20}, "belong together"),
        ({"users": 200, "requests_per_user_per_hour": 20, "request_rate_per_s": 1}, "give request_rate_per_s or users"),
        ({"users": 10**9, "requests_per_user_per_hour": 3_600_000}, "requests per second; allowed"),
    ],
)
def test_a_load_that_contradicts_itself_is_refused(load: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        InferenceWorkload(kind="inference", **load)


def test_models_are_listed_with_size_and_licence() -> None:
    rows = json.loads(run("models", "deepseek-r1", "--json").stdout)
    (r1,) = (row for row in rows if row["model"] == "deepseek-ai/DeepSeek-R1")
    # DeepSeek-V3 technical report (arXiv 2412.19437): 671B parameters in total; the licence is that of the model card.
    assert round(r1["parameters"] / 1e9) == 671
    assert r1["licence"] == "MIT"
    assert run("models", "no-such-model").exit_code == 2


def leaves(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def test_every_field_is_described() -> None:
    assert [field.path for field in all_fields() if not field.description] == []
    tops = {field.path for field in all_fields() if "." not in field.path and "[]" not in field.path}
    assert tops == leaves(ClusterSpec)


def test_a_field_is_explained_and_a_misspelt_one_is_named() -> None:
    (field,) = fields_at("workload.slo.percentile")
    assert (field.allowed, field.default, field.kinds) == ("mean, p50, p95, p99", '"mean"', ("inference",))
    explained = run("spec", "explain", "workload.deadline_days")
    assert "(training, finetuning)" in explained.output
    missed = CliRunner().invoke(cli, ["spec", "explain", "slo.ttft"])
    assert missed.exit_code == 2


def test_the_reference_page_is_the_one_of_these_models() -> None:
    assert (ROOT / "docs" / "spec-reference.md").read_text() == reference_page()
