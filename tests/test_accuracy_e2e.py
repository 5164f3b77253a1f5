"""Plans against end-to-end measurements of servers and training runs of others."""

from typing import Any

import pytest

from benchmarks.accuracy_e2e import summary
from benchmarks.serving_e2e import TIMES, Constants, Row, rows, speed
from benchmarks.training_e2e import training_rows, training_speed
from planner.plan.performance import InferencePerformance
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from planner.training.layer_time import EAGER
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

ROWS = {row["name"]: row for row in rows()}
RUNS = {run["name"]: run for run in training_rows()}


def error(row: Row) -> float:
    ours = speed(row, Constants())
    return abs((1 / ours if row["quantity"] in TIMES else ours) - 1)


@pytest.mark.slow
def test_predictions_agree_with_running_servers() -> None:
    # 150 measurements of TensorRT-LLM, NIM, vLLM and SGLang; each has its source in the file
    median, ninth = summary(error(row) for row in ROWS.values())
    assert len(ROWS) == 150
    assert median <= 0.10
    assert ninth <= 0.30


@pytest.mark.slow
def test_predictions_agree_with_training_runs() -> None:
    # 41 runs, most of them MLPerf submissions; each has its source in the file
    errors = [abs(1 / training_speed(run) - 1) for run in RUNS.values()]
    median, ninth = summary(errors)
    assert len(errors) == 41
    assert median <= 0.085
    assert ninth <= 0.22


@pytest.mark.parametrize(
    ("name", "within"),
    [
        # one user: the host takes most of what kernels leave out (NVIDIA NIM 1.8, 70B on two H100 and H200)
        ("nim-llama-3.3-70b-h100-tp2-500-2000-c1-output", 0.1),
        ("nim-llama-3.3-70b-h200-tp2-500-2000-c1-output", 0.1),
        ("nim-llama-3.3-70b-h100-tp2-500-2000-c1-ttft", 0.1),
        # four L40S on PCIe (TensorRT-LLM 0.14)
        ("trtllm-0.14-llama-3.1-70b-l40s-tp4-128-2048", 0.2),
        ("trtllm-0.14-mixtral-8x7b-l40s-tp4-1000-1000", 0.2),
        # experts of Mixtral on A100 (TensorRT-LLM 0.14)
        ("trtllm-0.14-mixtral-8x7b-a100-80gb-tp4-2048-128", 0.15),
        ("trtllm-0.14-mixtral-8x22b-a100-80gb-tp8-1000-1000", 0.15),
        # all-reduce over two nodes for one user (SGLang, DeepSeek-R1)
        ("sglang-deepseek-r1-h100-tp16-128-1024-c1", 0.25),
    ],
)
def test_what_kernel_sums_left_out_is_counted(name: str, within: float) -> None:
    assert error(ROWS[name]) <= within


def serve(users: int) -> InferencePerformance:
    document = {
        "name": "chat",
        "model": "Qwen/Qwen3-8B",
        "workload": {
            "kind": "inference",
            "concurrency": users,
            "prompt_tokens": 9000,
            "output_tokens": 30,
            "slo": {"ttft_ms": 1e9, "tpot_ms": 1e7},
        },
        "pin": {
            "node": {"gpu": "H200", "gpus": 1, "nic_gbit_per_s": 3200},
            "nodes": 1,
            "layout": {"tensor": 1, "pipeline": 1},
        },
        "headroom": {"compute_fraction": 0.0},
    }
    found = plan(read_spec(document, "spec"), load_model("Qwen/Qwen3-8B"), Catalog.load()).performance
    assert isinstance(found, InferencePerformance)
    return found


def test_more_users_than_a_server_carries_wait_and_do_not_slow_the_steps() -> None:
    # Qwen3-8B on one H200, 9000 tokens in and 30 out: 309 ms a token were measured with 64 users. Counted as steps that
    # carry all prefills of 64 running requests, it was 586 ms.
    found = {users: serve(users) for users in (1, 8, 32, 64, 90)}
    assert found[64].tpot_ms == pytest.approx(309, rel=0.35)
    assert found[90].tpot_ms == pytest.approx(found[64].tpot_ms, rel=1e-6)
    assert found[90].ttft_ms > found[64].ttft_ms > found[32].ttft_ms
    rates = [found[users].tokens_per_s for users in sorted(found)]
    assert rates == sorted(rates)
    # Little's law: users = rate x (wait and prefill + decoding)
    in_system_s = found[90].ttft_ms / 1e3 + 30 * found[90].tpot_ms / 1e3
    assert found[90].requests_per_s * in_system_s == pytest.approx(90, rel=0.15)


def test_the_time_of_the_host_is_in_the_tokens_and_not_in_the_kernels() -> None:
    found = serve(1)
    assert found.host_ms > 0
    assert sum(found.breakdown_ms.values()) == pytest.approx(found.decode_step_ms)
    assert found.tpot_ms >= found.decode_step_ms + found.host_ms


@pytest.mark.parametrize(
    ("name", "within"),
    [
        # the interleaved schedule hides the exchange of 484 replicas (MLPerf 4.0) and of 64 (MLPerf 5.0)
        ("mlperf-gpt3-nvidia-11616-h100-v40", 0.1),
        ("mlperf-405b-nvidia-8192-h100-v50", 0.1),
        # 1024 tokens a GPU, where small kernels take a sixth of the step (MLPerf 5.0)
        ("mlperf-lora-oracle-64-b200-v50", 0.15),
        ("mlperf-lora-nvidia-72-gb200-v50", 0.15),
    ],
)
def test_training_at_scale_and_in_small_pieces(name: str, within: float) -> None:
    assert abs(1 / training_speed(RUNS[name]) - 1) <= within


def finetune(framework: str | None) -> float:
    software: dict[str, Any] = {} if framework is None else {"software": {"framework": framework}}
    document = {
        "name": "tune",
        "model": "Qwen/Qwen2.5-7B",
        "workload": {"kind": "finetuning", "method": "lora", "tokens": 1e9, "sequence_length": 1024, **software},
        "pin": {
            "node": {"gpu": "A100-80GB", "gpus": 8, "nic_gbit_per_s": 1600},
            "nodes": 1,
            "layout": {"tensor": 1, "pipeline": 1, "micro_batch": 1, "zero_stage": 1, "recompute": "none"},
        },
    }
    found = plan(read_spec(document, "spec"), load_model("Qwen/Qwen2.5-7B"), Catalog.load()).performance
    assert found.kind == "training"
    return found.step_time_s


def test_frameworks_that_fuse_layers_are_faster() -> None:
    # NeMo's LoRA takes 0.68 to 0.70 of full training, PEFT's 0.87 (the sources of test_training_memory.py)
    assert finetune("nemo") < finetune("hf-peft")
    assert finetune(None) == finetune("hf-peft")
    assert {name for name, eager in EAGER.items() if eager} == {"deepspeed", "hf-peft"}
