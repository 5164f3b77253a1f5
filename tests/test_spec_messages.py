"""Messages about wrong specs: what was written, where, what is allowed, and one remedy, in words of our own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel

from llmcluster.cli import cli
from planner.errors import SpecError
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from planner.workspace.specs import load_spec

BASE: dict[str, Any] = {"name": "chat", "model": "mistralai/Mistral-7B-v0.1", "workload": {"kind": "inference"}}
RUN: dict[str, Any] = {"kind": "training", "tokens": 1e9}
PYDANTIC = re.compile(
    r"Input should be|literal\[|valid dictionary|instance of|validation error|unable to parse|valid tuple|function-"
    r"|tagged-union|constrained-|(?:string|int|float|bool|tuple|dict|model)_type\b|Extra inputs"
    r"|Field required|model_attributes",
    re.IGNORECASE,
)
WRONG: tuple[Any, ...] = (-1, 0.5, 10**30, "nonsense words", "", [1, {}], [], {"a": 1}, {}, None, True, float("nan"))


def message(**changes: Any) -> str:
    with pytest.raises(SpecError) as caught:
        read_spec({**BASE, **changes}, "spec.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"precision": {"weights": "fp4"}}, "did you mean nvfp4 or mxfp4?"),
        ({"budget": 40000}, "write budget: {usd_per_month: 40000}"),
        ({"workload": {"kind": "inference", "qps": 5}}, "did you mean 'request_rate_per_s'?"),
        ({"workload": {"kind": "inference", "percentile": "p95"}}, "it belongs under workload.slo"),
        ({"orchestrator": "eks"}, "did you mean kubernetes?"),
        ({"orchestrator": "kubernetes", "kubernetes": {"version": 1.33}}, 'put it in quotes: "1.33"'),
    ],
    ids=["fp4", "budget", "qps", "percentile", "eks", "version"],
)
def test_a_common_mistake_is_answered_with_its_remedy(changes: dict[str, Any], says: str) -> None:
    assert says in message(**changes)


def test_unknown_keys_list_only_the_keys_of_the_kind_of_workload() -> None:
    serving = message(workload={"kind": "inference", "qps": 5})
    training = message(workload={**RUN, "qps": 5})
    assert "prompt_tokens" in serving and "sequence_length" not in serving
    assert "sequence_length" in training and "prompt_tokens" not in training


def test_amounts_and_single_values_are_accepted() -> None:
    read = read_spec(
        {
            **BASE,
            "workload": {"kind": "training", "tokens": "1.4T", "global_batch_tokens": "4M", "sequence_length": "2k"},
            "placement": {"regions": "us-east-1", "instance_types": "p5en.48xlarge"},
            "budget": {"usd_per_run": "1M"},
        },
        "spec.yaml",
    )
    assert read.workload.kind == "training"
    assert (read.workload.tokens, read.workload.global_batch_tokens) == (1.4e12, 4e6)
    assert read.workload.sequence_length == 2000
    assert (read.placement.regions, read.placement.instance_types) == (("us-east-1",), ("p5en.48xlarge",))
    assert read.budget.usd_per_run == 1e6
    assert read_spec({**BASE, "placement": {"instance_types": "any"}}, "spec.yaml").placement.instance_types == "any"
    # A nominal size stays what it is.
    nominal = read_spec({**BASE, "model": {"parameters": "65B"}}, "spec.yaml").model
    assert not isinstance(nominal, str) and nominal.parameters == "65B"


def test_messages_name_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text("name: chat\nmodel: x/y\nworkload:\n  kind: inference\n  slo:\n    ttft_ms: fast\n  qps: 5\n")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{path}:6:5: workload.slo.ttft_ms: ") for line in lines)
    assert any(line.startswith(f"{path}:7:3: workload.qps: ") for line in lines)


@pytest.mark.slow
def test_money_of_the_command_line_may_have_a_suffix(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text(json.dumps(BASE))
    assert CliRunner().invoke(cli, ["plan", str(path), "--max-usd-per-month", "20k"]).exit_code == 0
    assert CliRunner().invoke(cli, ["plan", str(path), "--max-usd-per-month", "1"]).exit_code == 3


def fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all fields of a model and of the models in it."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        for inner in models(field.annotation):
            yield from fields(inner, (*path, name))


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def with_value(path: tuple[str, ...], value: Any, workload: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {**BASE, "workload": dict(workload)}
    at = document
    for part in path[:-1]:
        inner = at.get(part)
        at[part] = dict(inner) if isinstance(inner, dict) else {}
        at = at[part]
    at[path[-1]] = value
    return document


@pytest.mark.slow
def test_no_message_about_any_field_speaks_pydantic() -> None:
    messages: list[str] = []
    for path in dict.fromkeys(fields(ClusterSpec)):
        for workload in ({"kind": "inference"}, RUN):
            for value in WRONG:
                try:
                    read_spec(with_value(path, value, workload), "spec.yaml")
                except SpecError as error:
                    messages.append(str(error))
    assert len(messages) > 1000
    assert [text for text in messages if PYDANTIC.search(text)] == []


def planned(folder: Path, **changes: Any) -> str:
    path = folder / "chat.yaml"
    path.write_text(json.dumps({**BASE, **changes}))
    finished = CliRunner().invoke(cli, ["plan", str(path)])
    assert finished.exit_code == 2
    return finished.stderr


def test_a_region_of_another_cloud_is_named_as_such(tmp_path: Path) -> None:
    said = planned(tmp_path, placement={"providers": ["aws"], "regions": ["eastus"]})
    assert "'eastus', a region of azure" in said
    assert "add azure to placement.providers" in said


def test_a_quantized_checkpoint_is_a_preset_with_a_format(tmp_path: Path) -> None:
    said = planned(tmp_path, model="Qwen/Qwen2.5-7B-AWQ")
    assert "write model: Qwen/Qwen2.5-7B with precision: {weights: int4}" in said


def test_the_places_of_many_wrong_fields_are_found_in_one_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[str] = []

    def counted(text: str, **options: Any) -> Any:
        readings.append(text)
        return compose(text, **options)

    compose = yaml.compose
    monkeypatch.setattr(yaml, "compose", counted)
    path = tmp_path / "spec.yaml"
    path.write_text(
        "name: chat\nmodel: mistralai/Mistral-7B-v0.1\nworkload: {kind: inference}\ntags:\n"
        + "".join(f"  key{number}: [1]\n" for number in range(50))
    )
    with pytest.raises(SpecError, match=r"spec\.yaml:5:3: tags\.key0: .*\n(?:.*\n)*.*and 42 more"):
        load_spec(path)
    assert len(readings) == 1
