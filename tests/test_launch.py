"""Launch scripts: every flag is one that its engine documents, and the script runs as a shell runs it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.errors import SpecError
from planner.launch import tensorrt_llm
from planner.launch.commands import Command, Launch
from planner.launch.script import script
from planner.launch.serving_launch import ENGINES as ENGINE_COMMANDS
from planner.launch.serving_launch import serving_launch
from planner.launch.serving_settings import ServingSettings, serving_settings
from planner.launch.training_launch import training_launch
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.collective_environment import Variable
from tests.support.launches import CATALOG, ENGINES, SOFTWARE, SPECS, TRAINING, architecture, planned, serving

ROOT = Path(__file__).parent.parent


def _given(launch: Launch, engine: str) -> list[tuple[str, str | None]]:
    """Return the flags of all commands, each with the value that follows it."""
    entry = SOFTWARE.engine_flags[engine].command[0]
    found: list[tuple[str, str | None]] = []
    for command in launch.commands:
        words = list(command.argv[command.argv.index(entry) :])
        for word, after in zip(words, [*words[1:], "--"], strict=True):
            if word.startswith("--"):
                found.append((word, None if after.startswith("--") else after))
    return found


def _check_documented(launch: Launch, engine: str) -> None:
    documented = SOFTWARE.engine_flags[engine]
    for flag, value in _given(launch, engine):
        assert flag in documented.flags, f"{engine} {documented.version} documents no {flag}"
        known = documented.flags[flag]
        assert (value is not None) == known.takes_value, flag
        if known.values:
            assert value in known.values, f"{flag} {value}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SPECS)
def test_serving_flags_are_documented(name: str, engine: str) -> None:
    launch = serving(name, engine)
    assert launch.commands
    _check_documented(launch, engine)
    for content in launch.files.values():
        for key in _dotted(yaml.safe_load(content)):
            assert key in SOFTWARE.engine_flags[engine].config_keys


def _dotted(document: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in document.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found += _dotted(value, f"{prefix}{key}.")
    return found


def test_training_flags_are_documented() -> None:
    launch = training_launch(planned("training"), architecture(TRAINING["model"]), SOFTWARE)
    _check_documented(launch, "megatron-lm")
    given = dict(_given(launch, "megatron-lm"))
    # Llama 2 paper, Table 1 and config.json: 80 layers of 8192, 64 heads in 8 groups, 28672 wide
    assert given["--num-layers"] == "80"
    assert (given["--hidden-size"], given["--ffn-hidden-size"]) == ("8192", "28672")
    assert (given["--num-attention-heads"], given["--num-query-groups"]) == ("64", "8")
    assert given["--num-virtual-stages-per-pipeline-rank"] == "5"
    assert (given["--recompute-granularity"], given["--recompute-method"]) == ("full", "uniform")
    # 2e12 tokens in steps of 2^22
    assert int(given["--train-iters"] or 0) == pytest.approx(2e12 / 2**22, abs=1)
    assert int(given["--global-batch-size"] or 0) == 2**22 // 4096


@pytest.mark.parametrize(
    ("pipeline", "chunks", "flags"),
    [
        (4, 5, set()),
        # 81 places for 80 layers, 82 for 80
        (9, 1, {"--account-for-loss-in-pipeline-split"}),
        (2, 41, {"--account-for-loss-in-pipeline-split", "--account-for-embedding-in-pipeline-split"}),
    ],
)
def test_layers_that_do_not_fill_their_stages_leave_room_for_embedding_and_head(
    pipeline: int, chunks: int, flags: set[str]
) -> None:
    layout = {"tensor": 8, "pipeline": pipeline, "virtual_stages": chunks, "recompute": "full"}
    pin = {**TRAINING["pin"], "nodes": 16 * pipeline, "layout": layout}
    document = {**TRAINING, "pin": pin}
    decided = plan(read_spec({"name": "launched", **document}, "spec"), architecture(document["model"]), CATALOG)
    launch = training_launch(decided, architecture(document["model"]), SOFTWARE)
    _check_documented(launch, "megatron-lm")
    assert {name for name, _ in _given(launch, "megatron-lm") if "account-for" in name} == flags


STUB = """#!{python}
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([{tool!r}, *sys.argv[1:]]) + chr(10))
"""


def _run(
    launch: Launch, folder: Path, rank: int | None = None, given: tuple[str, ...] = (), **variables: str
) -> list[list[str]]:
    """Run the script with stubs for the engines; return the recorded arguments of each call."""
    (folder / "launch.sh").write_text(script(launch))
    for name, content in launch.files.items():
        (folder / name).write_text(content)
    log = folder / "calls.jsonl"
    for tool in ("vllm", "python3", "trtllm-serve", "mpirun", "torchrun"):
        stub = folder / tool
        stub.write_text(STUB.format(python=sys.executable, tool=tool, log=str(log)))
        stub.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **variables}
    if rank is not None:
        environment["NODE_RANK"] = str(rank)
    finished = subprocess.run(
        ["bash", folder / "launch.sh", *given], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if not log.exists():
        raise AssertionError(finished.stderr)
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_replicas_side_by_side_get_their_own_gpus_and_ports(tmp_path: Path) -> None:
    launch = serving("dense-side-by-side", "vllm")
    assert (launch.nodes_per_gang, launch.replicas_per_gang) == (1, 2)
    planned_devices = [command.environment["CUDA_VISIBLE_DEVICES"] for command in launch.commands]
    assert planned_devices == ["0,1,2,3", "4,5,6,7"]
    calls = _run(launch, tmp_path)
    assert calls[0][:2] == ["vllm", "serve"]
    assert calls[0][calls[0].index("--quantization") + 1] == "fp8"
    assert calls[0][calls[0].index("--host") + 1] == "127.0.0.1"
    text = script(launch)
    assert "--port 8000" in text and "--port 8001" in text


def test_a_replica_over_two_nodes_has_a_head_and_a_headless_worker(tmp_path: Path) -> None:
    launch = serving("moe-over-two-nodes", "vllm")
    assert (launch.nodes, launch.nodes_per_gang) == (4, 2)
    for folder in ("head", "worker"):
        (tmp_path / folder).mkdir()
    (head,) = _run(launch, tmp_path / "head", 0, HEAD_ADDRESS="10.0.0.7")
    (worker,) = _run(launch, tmp_path / "worker", 1, HEAD_ADDRESS="10.0.0.7")
    for call in (head, worker):
        assert call[call.index("--master-addr") + 1] == "10.0.0.7"
        assert call[call.index("--nnodes") + 1] == "2"
        assert call[call.index("--tensor-parallel-size") + 1] == "8"
        assert call[call.index("--pipeline-parallel-size") + 1] == "2"
    assert "--port" in head and "--headless" not in head
    assert "--headless" in worker and "--port" not in worker
    # The published weights are fp8 already: nothing is quantized
    assert "--quantization" not in head
    assert "--enable-expert-parallel" in head


def test_sglang_runs_the_same_command_on_every_node(tmp_path: Path) -> None:
    launch = serving("moe-over-two-nodes", "sglang")
    (call,) = _run(launch, tmp_path, 1, HEAD_ADDRESS="10.0.0.7")
    assert call[call.index("--dist-init-addr") + 1].startswith("10.0.0.7:")
    assert call[call.index("--node-rank") + 1] == "1"
    assert 0.5 < float(call[call.index("--mem-fraction-static") + 1]) < 0.9


def _settings(name: str, engine: str) -> ServingSettings:
    decided = planned(name)
    performance, workload = decided.performance, decided.spec.workload
    assert performance.kind == "inference" and workload.kind == "inference"
    return serving_settings(
        decided, performance, workload, architecture(SPECS[name]["model"]), SOFTWARE.engines[engine]
    )


def test_a_model_with_prediction_layers_drafts_for_itself() -> None:
    # vLLM: {"method": "mtp"}; SGLang: NEXTN with one candidate a step; TensorRT-LLM: decoding_type MTP
    drafting = {e: replace(_settings("moe-over-two-nodes", e), draft_tokens=2) for e in ENGINES}
    (vllm, *_), (sglang,) = ENGINE_COMMANDS["vllm"](drafting["vllm"]), ENGINE_COMMANDS["sglang"](drafting["sglang"])
    told = json.loads(vllm.argv[vllm.argv.index("--speculative-config") + 1])
    assert told == {"method": "mtp", "num_speculative_tokens": 2}
    assert sglang.argv[sglang.argv.index("--speculative-algorithm") + 1] == "NEXTN"
    assert sglang.argv[sglang.argv.index("--speculative-num-draft-tokens") + 1] == "3"
    config = yaml.safe_load(tensorrt_llm.config(drafting["tensorrt-llm"]))
    assert config["speculative_config"] == {"decoding_type": "MTP", "num_nextn_predict_layers": 2}
    dense = replace(_settings("dense-alone", "vllm"), draft_tokens=2)
    assert "--speculative-config" not in ENGINE_COMMANDS["vllm"](dense)[0].argv
    assert any("draft model" in note for note in dense.notes())


def test_attention_groups_become_data_parallel_ranks() -> None:
    grouped = replace(_settings("moe-over-two-nodes", "vllm"), tensor=16, pipeline=1, expert=16, attention_data=16)
    head, worker = ENGINE_COMMANDS["vllm"](grouped)
    for command, start in ((head, None), (worker, "8")):
        given = command.argv
        assert given[given.index("--data-parallel-size") + 1] == "16"
        assert given[given.index("--data-parallel-size-local") + 1] == "8"
        assert given[given.index("--tensor-parallel-size") + 1] == "1"
        assert "--enable-expert-parallel" in given
        starts = "--data-parallel-start-rank"
        assert (given[given.index(starts) + 1] if starts in given else None) == start
    (same,) = ENGINE_COMMANDS["sglang"](grouped)
    assert same.argv[same.argv.index("--attention-data-parallel-size") + 1] == "16"
    assert same.argv[same.argv.index("--tensor-parallel-size") + 1] == "16"


def test_prefill_and_decode_apart_take_a_role() -> None:
    apart = replace(_settings("dense-side-by-side", "sglang"), prefill_replicas=1)
    given = ENGINE_COMMANDS["sglang"](apart)[0].argv
    assert given[given.index("--disaggregation-mode") + 1] == "${ROLE}"
    told = ENGINE_COMMANDS["vllm"](apart)[0].argv
    assert json.loads(told[told.index("--kv-transfer-config") + 1])["kv_role"] == "kv_both"
    assert any("ROLE=prefill" in note for note in apart.notes())


def test_flags_of_ones_own_are_passed_on(tmp_path: Path) -> None:
    launch = training_launch(planned("training"), architecture(TRAINING["model"]), SOFTWARE)
    needed = ("HEAD_ADDRESS", "DATA_PATH", "TOKENIZER_PATH", "CHECKPOINT_FOLDER", "MEGATRON_FOLDER")
    (call,) = _run(launch, tmp_path, 3, ("--lr", "1.5e-4"), **dict.fromkeys(needed, "/there"))
    assert call[call.index("--node-rank") + 1] == "3"
    assert "/there/pretrain_gpt.py" in call
    assert call[-2:] == ["--lr", "1.5e-4"]


def test_a_missing_variable_ends_the_script_with_its_name(tmp_path: Path) -> None:
    launch = serving("moe-over-two-nodes", "vllm")
    with pytest.raises(AssertionError, match="HEAD_ADDRESS"):
        _run(launch, tmp_path, 0)


def test_weights_that_an_engine_cannot_make_need_a_checkpoint(tmp_path: Path) -> None:
    launch = serving("int4", "vllm")
    assert any("MODEL_PATH" in note and "int4" in note for note in launch.notes)
    calls = _run(launch, tmp_path, MODEL_PATH="/models/my model")
    assert calls[0][2] == "/models/my model"


def test_memory_and_length_come_from_the_plan() -> None:
    decided, launch = planned("dense-alone"), serving("dense-alone", None)
    assert launch.engine == "vllm"
    given = dict(_given(launch, "vllm"))
    assert given["--max-model-len"] == "2500"
    performance = decided.performance
    assert performance.kind == "inference"
    assert given["--max-num-seqs"] == str(performance.max_concurrency)
    assert given["--gpu-memory-utilization"] == "0.9"


def test_without_chunked_prefill_an_iteration_takes_a_whole_prompt() -> None:
    vllm, sglang = (dict(_given(serving("prompts-whole", e), e)) for e in ("vllm", "sglang"))
    # vLLM refuses fewer batched tokens than the longest sequence when prompts are not cut
    assert vllm["--max-num-batched-tokens"] == vllm["--max-model-len"] == "12500"
    assert "--no-enable-chunked-prefill" in vllm and "--enable-chunked-prefill" not in vllm
    assert sglang["--chunked-prefill-size"] == "-1"


def test_engines_and_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="kind: inference only"):
        serving_launch(planned("training"), architecture(TRAINING["model"]), SOFTWARE, CATALOG.gpu("H100"), "vllm")
    with pytest.raises(SpecError, match="training and finetuning only"):
        training_launch(planned("dense-alone"), architecture("meta-llama/Meta-Llama-3.1-8B"), SOFTWARE)
    with pytest.raises(SpecError, match="does not run on MI300X"):
        serving_launch(
            planned("dense-alone"),
            architecture("meta-llama/Meta-Llama-3.1-8B"),
            SOFTWARE,
            CATALOG.gpu("MI300X"),
            "tensorrt-llm",
        )


def test_scripts_are_the_same_bytes_every_time() -> None:
    assert script(serving("moe-over-two-nodes", "vllm")) == script(serving("moe-over-two-nodes", "vllm"))


def _llmcluster(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmcluster", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_the_command_prints_json_and_writes_what_it_names(tmp_path: Path) -> None:
    spec = tmp_path / "chat.yaml"
    spec.write_text(
        "name: chat\nmodel: Qwen/Qwen2.5-7B\nworkload: {kind: inference, request_rate_per_s: 1}\n"
        "placement: {providers: [aws], instance_types: [p5.4xlarge]}\n"
    )
    finished = _llmcluster("launch", "chat.yaml", "--engine", "tensorrt-llm", "--json", "--out", "run", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    assert {"engine", "version", "flags_from", "commands", "files", "notes"} <= document.keys()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["launch.sh", "trtllm.yaml"]
    assert (tmp_path / "run" / "launch.sh").read_text() == document["files"]["launch.sh"]
    assert (tmp_path / "run" / "launch.sh").stat().st_mode & 0o111
    refused = _llmcluster("launch", "chat.yaml", "--engine", "megatron-lm", cwd=tmp_path)
    assert refused.returncode == 2
    assert "allowed: vllm" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_untrusted_words_stay_words_in_a_script() -> None:
    hostile = 'x"; id; "$(id)`id`${HOME}\nid'
    made = Launch(
        engine="vllm\nid",
        version="1\nid",
        flags_from="docs\nid",
        nodes=1,
        nodes_per_gang=1,
        replicas_per_gang=1,
        commands=(
            Command(
                node_rank=0,
                argv=("echo", hostile, "${MODEL_PATH}/" + hostile, "--path", "${MODEL_PATH}"),
                environment={"A": hostile},
            ),
        ),
        environment=(Variable(variable="NCCL_PROTO", value="simple", reason="so\nid", source="x\nid"),),
        notes=("a\nid",),
    )
    text = script(made)
    done = subprocess.run(
        ["bash", "-c", text, "launch.sh"],
        env={"PATH": "/usr/bin:/bin", "MODEL_PATH": "/m", "HOME": "/h"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{hostile} /m/{hostile} --path /m\n"
