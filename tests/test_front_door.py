"""Faults that the fuzz has found, each kept as a case of its own."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from planner.errors import InfeasibleError, SpecError
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.search.refusals import infeasible
from planner.spec.pin import LARGEST_DEGREE
from planner.spec.reader import read_spec
from planner.workspace.specs import load_spec
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.models import DATA_FOLDER, INDEX_FILE, load_model

CATALOG = Catalog.load()
GPT_2 = "openai-community/gpt2-xl"
SERVING: dict[str, Any] = {"name": "example", "model": "Qwen/Qwen2.5-7B", "workload": {"kind": "inference"}}


def planned(document: dict[str, Any]) -> Plan:
    spec = read_spec(document, "spec.yaml")
    return make_plan(spec, load_model(str(spec.model)), CATALOG)


def loaded(folder: Path, model: str, workload: str) -> Any:
    path = folder / "spec.yaml"
    path.write_text(f"name: example\nmodel: {model}\nworkload: {workload}\n")
    return load_spec(path).spec.workload


def test_an_empty_list_of_types_is_refused() -> None:
    with pytest.raises(SpecError, match=r"placement\.instance_types: at least 1 entry is needed"):
        read_spec({**SERVING, "placement": {"instance_types": []}}, "spec.yaml")


def test_a_search_without_a_machine_is_infeasible() -> None:
    error = infeasible(read_spec(SERVING, "spec.yaml"), [])
    assert isinstance(error, InfeasibleError)
    assert "widen placement" in str(error)


@pytest.mark.parametrize(
    ("model", "workload", "lengths"),
    [
        # LLaMA was trained on sequences of 2,048 tokens (arXiv 2302.13971), GPT-2 on 1,024.
        ("huggyllama/llama-65b", "{kind: training, tokens: 1e9}", {"sequence_length": 2048}),
        (GPT_2, "{kind: training, tokens: 1e9, sequence_length: 1024}", {"sequence_length": 1024}),
        (GPT_2, "{kind: inference}", {"prompt_tokens": 819, "output_tokens": 205}),
        (
            "openai-community/gpt2-xl",
            "{kind: inference, output_tokens: 1000}",
            {"prompt_tokens": 24, "output_tokens": 1000},
        ),
        (
            "openai-community/gpt2-xl",
            "{kind: inference, prompt_tokens: 900}",
            {"prompt_tokens": 900, "output_tokens": 124},
        ),
        (
            "openai-community/gpt2-xl",
            "{kind: inference, prompt_tokens: 2000}",
            {"prompt_tokens": 2000, "output_tokens": 256},
        ),
        ("Qwen/Qwen2.5-7B", "{kind: training, tokens: 1e9}", {"sequence_length": 4096}),
    ],
)
def test_default_lengths_are_within_the_model(
    model: str, workload: str, lengths: dict[str, int], tmp_path: Path
) -> None:
    found = loaded(tmp_path, model, workload)
    assert {name: getattr(found, name) for name in lengths} == lengths


def test_a_model_of_short_sequences_plans_without_lengths(tmp_path: Path) -> None:
    for workload in ("{kind: inference}", "{kind: training, tokens: 1e8}"):
        spec = tmp_path / "spec.yaml"
        spec.write_text(f"name: example\nmodel: openai-community/gpt2-xl\nworkload: {workload}\n")
        done = CliRunner().invoke(cli, ["plan", str(spec), "--json"])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("config", "total_size"),
    [
        ("meta-llama--Llama-2-7b-hf.json", 1),
        ("meta-llama--Llama-2-7b-hf.json", 10**8),
        ("meta-llama--Llama-2-7b-hf.json", 10**12),
        ("deepseek-ai--DeepSeek-R1.json", 1),
        ("deepseek-ai--DeepSeek-R1.json", 10**10),
    ],
)
def test_an_index_of_another_model_is_refused(config: str, total_size: int, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text((DATA_FOLDER / config).read_text())
    (tmp_path / INDEX_FILE).write_text(json.dumps({"metadata": {"total_size": total_size}}))
    with pytest.raises(CatalogError, match=r"metadata\.total_size is .* belongs to another model"):
        load_model(str(path))


def test_a_file_system_above_the_largest_size_names_the_field() -> None:
    with pytest.raises(SpecError, match=r"storage\.shared_tib is 4096: .* exceeds 131,072 GiB"):
        planned({**SERVING, "storage": {"shared_tib": 4096}, "placement": {"providers": ["azure"]}})


@pytest.mark.parametrize("degree", ["tensor", "pipeline", "data", "expert", "micro_batch", "virtual_stages"])
def test_degrees_are_bounded(degree: str) -> None:
    with pytest.raises(SpecError, match=f"pin.layout.{degree}: at most {LARGEST_DEGREE} is needed"):
        read_spec({**SERVING, "pin": {"layout": {degree: 10**9}}}, "spec.yaml")


def test_max_nodes_binds_nodes_on_premises() -> None:
    document = {
        "name": "example",
        "model": "Qwen/Qwen2.5-7B",
        "workload": {"kind": "finetuning", "tokens": 1e9},
        "pin": {"node": {"gpu": "MI300X", "gpus": 8, "nic_gbit_per_s": 3200}},
        "placement": {"max_nodes": 3},
    }
    assert planned(document).choice.nodes <= 3


def test_updates_are_compared_by_the_cost_of_an_update() -> None:
    """A run on more nodes may cost less by itself and more as an update, because start and loading hold all nodes."""
    document: dict[str, Any] = {
        "name": "example",
        "model": "Qwen/Qwen2.5-7B",
        "workload": {"kind": "training", "tokens": 1e8, "sequence_length": 2048, "deadline_days": 3, "every_days": 30},
    }
    free = planned(document)
    alone = planned({**document, "placement": {"instance_types": [free.choice.instance_type]}})
    assert free.updates is not None
    assert alone.updates is not None
    assert free.updates.usd_per_update == alone.updates.usd_per_update


@pytest.mark.slow
def test_disaggregated_fleets_are_timed_on_their_own_network() -> None:
    """Machines that differ only in their network must not share the transfer time of KV caches."""
    document: dict[str, Any] = {
        "name": "example",
        "model": "Qwen/Qwen2.5-7B",
        "workload": {
            "kind": "inference",
            "fleet": "disaggregated",
            "prompt_tokens": 5000,
            "request_rate_per_s": 2,
            "slo": {"ttft_ms": 400},
        },
    }
    free = planned(document)
    alone = planned({**document, "placement": {"instance_types": [free.choice.instance_type]}})
    assert alone.cost.usd_per_hour == free.cost.usd_per_hour
    assert alone.performance.ttft_ms == free.performance.ttft_ms  # type: ignore[union-attr]
