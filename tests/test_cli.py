"""The command line keeps its contracts: JSON keys, messages and exit codes; a failed command writes no file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from planner.spec import ClusterSpec
from planner.spec.reader import Locate, read_spec

ROOT = Path(__file__).parent.parent


def run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmcluster", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


GOOD = """
name: chat
model: Qwen/Qwen2.5-7B
workload: {kind: inference, request_rate_per_s: 1}
placement: {providers: [aws]}
"""


@pytest.fixture(scope="module")
def r1_plan() -> dict[str, Any]:
    finished = run("plan", "clusters/deepseek-r1-serving.yaml", "--json")
    assert finished.returncode == 0, finished.stderr
    document: dict[str, Any] = json.loads(finished.stdout)
    return document


def test_plan_json_keeps_its_contract(r1_plan: dict[str, Any]) -> None:
    assert r1_plan["name"] == "deepseek-r1-serving"
    assert len(r1_plan["spec_sha256"]) == 64
    assert {"version", "prices_as_of"} <= r1_plan["catalog"].keys()
    choice = r1_plan["choice"]
    assert {"provider", "region", "instance_type", "nodes", "gpus", "layout", "purchase"} <= choice.keys()
    assert {
        "tensor",
        "pipeline",
        "data",
        "expert",
        "context",
        "micro_batch",
        "zero_stage",
        "recompute",
    } <= choice["layout"].keys()
    assert {"reserved_nodes", "spot_nodes", "on_demand_nodes"} <= choice["purchase"].keys()
    memory = r1_plan["memory_per_gpu"]
    parts = ("weights", "kv_cache", "activations", "gradients", "optimizer", "overhead")
    assert sum(memory[f"{part}_bytes"] for part in parts) == memory["total_bytes"] <= memory["capacity_bytes"]
    assert {
        "engine",
        "ttft_ms",
        "tpot_ms",
        "prefill_ms",
        "decode_step_ms",
        "max_concurrency",
        "tokens_per_s",
        "tokens_per_s_per_gpu",
    } <= r1_plan["performance"].keys()
    assert {
        "usd_per_hour",
        "usd_per_month",
        "usd_per_run",
        "usd_per_million_output_tokens",
        "items",
    } <= r1_plan["cost"].keys()
    assert r1_plan["alternatives"]
    assert all(rejection["candidate"] and rejection["reason"] for rejection in r1_plan["rejected"])


def test_planning_is_deterministic(r1_plan: dict[str, Any]) -> None:
    again = run("plan", "clusters/deepseek-r1-serving.yaml", "--json")
    assert json.loads(again.stdout) == r1_plan


def test_training_plan_has_its_performance_keys() -> None:
    finished = run("plan", "clusters/llama-65b-training.yaml", "--json")
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    assert document["choice"]["instance_type"] == "p4d.24xlarge"
    assert {
        "step_time_s",
        "mfu",
        "hfu",
        "tflops_per_gpu",
        "tokens_per_s_per_gpu",
        "gpu_hours",
        "days",
    } <= document["performance"].keys()
    assert document["cost"]["usd_per_run"] > 0


def test_size_json_keeps_its_contract() -> None:
    finished = run("size", "deepseek-ai/DeepSeek-R1", "--weights", "fp8", "--json")
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    # Published safetensors: 671.03 B parameters without the multi-token-prediction layer
    assert document["parameters"]["total"] == pytest.approx(671_026_404_352, rel=0.001)
    assert document["parameters"]["active"] == pytest.approx(37e9, rel=0.02)
    # DeepSeek-V2 (arXiv 2405.04434), Table 1: (512 + 64) values a layer; 61 layers, 2 bytes
    assert document["kv_cache_bytes_per_token"] == 61 * (512 + 64) * 2
    assert "mtp" in document["parameters"]["by_component"]


def test_size_reads_a_config_and_its_folder(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    totals = set()
    for reference in (tmp_path, tmp_path / "config.json"):
        finished = run("size", reference, "--json")
        assert finished.returncode == 0, finished.stderr
        totals.add(json.loads(finished.stdout)["parameters"]["total"])
    # Llama 2 7B: the published safetensors hold 6,738,415,616 parameters
    assert totals == {6_738_415_616}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["empty"]),
        ("- a\n- b\n", ["mapping", "list"]),
        ("just text", ["mapping", "text"]),
        (GOOD.replace("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7BB"), ["Qwen/Qwen2.5-7BB", "Qwen/Qwen2.5-7B"]),
        (GOOD.replace("placement:", "placment:"), ["placment", "did you mean 'placement'"]),
        (GOOD.replace("request_rate_per_s", "request_rate"), ["workload.request_rate", "request_rate_per_s"]),
        (
            GOOD.replace("request_rate_per_s: 1", "request_rate_per_s: -1"),
            ["request_rate_per_s", "at least 0.000000001"],
        ),
        (GOOD.replace("request_rate_per_s: 1", "request_rate_per_s: .nan"), ["request_rate_per_s", "finite"]),
        (GOOD.replace("request_rate_per_s: 1", "request_rate_per_s: 5.0e-324"), ["request_rate_per_s", "0.000000001"]),
        (GOOD + "headroom: {memory_fraction: 1.0e-30}\n", ["headroom.memory_fraction", "0.01"]),
        (GOOD.replace("inference, request_rate_per_s: 1", "training, tokens: -5"), ["workload.tokens", "-5"]),
        (GOOD.replace("inference", "inferrence"), ["inferrence", "inference, training, finetuning"]),
        (GOOD.replace("kind: inference, ", ""), ["workload.kind", "missing"]),
        (GOOD.replace("model: Qwen/Qwen2.5-7B", ""), ["model", "missing"]),
        (GOOD.replace("[aws]", "[gcp]"), ["placement.providers[0]", "gcp", "aws, azure"]),
        (GOOD.replace("[aws]", "[aws], instance_types: [p4d.24xlrge]"), ["p4d.24xlrge", "did you mean 'p4d.24xlarge'"]),
        (GOOD.replace("[aws]", "[aws], regions: [us-eastt-1]"), ["placement.regions[0]", "did you mean 'us-east-1'"]),
        (GOOD.replace("name: chat", "name: Chat_1"), ["name", "Chat_1"]),
        (GOOD + "name: twice\n", ["'name' is repeated"]),
        ("name: [unclosed", ["not valid YAML"]),
    ],
)
def test_wrong_input_names_the_field_and_writes_nothing(tmp_path: Path, text: str, says: list[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(text)
    finished = run("plan", spec, "--lock", cwd=tmp_path)
    assert finished.returncode == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    for words in says:
        assert words in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize("command", ["plan", "cost", "mix", "compare", "launch"])
def test_a_command_reads_its_spec_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    reads: list[str] = []

    def counted(document: object, name: str, locate: Locate) -> ClusterSpec:
        reads.append(name)
        return read_spec(document, name, locate)

    monkeypatch.setattr("planner.workspace.specs.read_spec", counted)
    spec = tmp_path / "spec.yaml"
    spec.write_text(GOOD)
    finished = CliRunner().invoke(cli, [command, str(spec), "--json"])
    assert finished.exit_code == 0, finished.output
    assert reads == [str(spec)]


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_failure() -> None:
    command = [sys.executable, "-m", "llmcluster", "cost", "clusters/quickstart.yaml"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux'")
def test_help_onto_a_full_disk_is_a_failure_outside() -> None:
    command = [sys.executable, "-m", "llmcluster", "--help"]
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (4, "error: No space left on device\n")


@pytest.mark.slow
def test_an_ascii_terminal_reads_every_line() -> None:
    command = [sys.executable, "-m", "llmcluster", "cost", "clusters/quickstart.yaml"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.isascii()


@pytest.mark.slow
def test_a_file_that_is_no_spec_is_refused(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    with big.open("wb") as file:
        file.truncate(100_000_000)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00name")
    for path, says in (
        (big, "100,000,000 bytes"),
        (binary, "UTF-8"),
        (tmp_path / "missing.yaml", "no such file"),
        (tmp_path, "folder"),
    ):
        finished = run("synth", path, cwd=tmp_path)
        assert finished.returncode == 2, finished.stderr
        assert says in finished.stderr
        assert "Traceback" not in finished.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.yaml", "binary.yaml"]


def test_a_model_that_fits_nowhere_exits_3_with_the_nearest(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: chat\nmodel: meta-llama/Meta-Llama-3.1-405B\nworkload: {kind: inference}\n"
        "placement: {providers: [aws], instance_types: [g5.xlarge]}\n"
    )
    finished = run("plan", spec, cwd=tmp_path)
    assert finished.returncode == 3
    assert "aws/us-east-1/g5.xlarge" in finished.stderr
    assert "GiB" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_schema_describes_every_field() -> None:
    """Editors show these descriptions while a user writes a spec."""
    schema = json.loads(run("spec", "schema").stdout)
    models = {"ClusterSpec": schema, **schema["$defs"]}
    fields = {
        f"{name}.{field}": shape
        for name, model in models.items()
        for field, shape in model.get("properties", {}).items()
    }
    assert len(fields) > 100
    assert not [name for name, shape in fields.items() if len(shape.get("description", "").split()) < 3]


@pytest.mark.slow
def test_schema_accepts_the_examples_and_refuses_a_misspelt_key() -> None:
    import jsonschema
    import yaml

    schema = json.loads(run("spec", "schema").stdout)
    for path in (ROOT / "clusters").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "abc", "model": "m", "workload": {"kind": "inference"}, "modle": 1}, schema)


def test_the_output_of_help_needs_no_planner() -> None:
    code = "import sys; from llmcluster.cli import cli; print('planner' in sys.modules, 'cdktf' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["False", "False"]
