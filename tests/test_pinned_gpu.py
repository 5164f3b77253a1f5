"""`pin.node.gpu` with the figures of a GPU that the catalog lacks."""

from typing import Any

import pytest

from planner.errors import InfeasibleError, SpecError
from planner.launch.launch_files import launch_of
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.serving import performance, serve

H100 = {
    "name": "H100-like",
    "memory_gib": 79.19,
    "bandwidth_tb_per_s": 3.35,
    "bf16_tflops": 989.4,
    "fp8_tflops": 1978.9,
    "int8_tflops": 1978.9,
    "fp32_tflops": 66.9,
    "nvlink_gb_per_s": 900,
    "generation": "Hopper",
}
LLAMA = "meta-llama/Meta-Llama-3.1-8B"


def on(gpu: object, **rest: Any) -> Plan:
    node = {"gpu": gpu, "gpus": 2, "nic_gbit_per_s": 400, "nvlink_gb_per_s": 900}
    return serve(LLAMA, {"concurrency": 16}, pin={"node": node, "nodes": 1, "layout": {"tensor": 2}}, **rest)


def test_the_figures_of_a_known_gpu_make_the_same_plan() -> None:
    described, known = on(H100), on("H100")
    assert described.choice.gpu == "H100-like"
    assert performance(described).tpot_ms == pytest.approx(performance(known).tpot_ms)
    assert described.memory_per_gpu.capacity_bytes == pytest.approx(known.memory_per_gpu.capacity_bytes, rel=1e-6)
    assert performance(described).cache == performance(known).cache


def test_a_gpu_without_a_generation_serves_what_it_has_a_peak_for() -> None:
    bare = {"name": "X1", "memory_gib": 95, "bandwidth_tb_per_s": 4, "bf16_tflops": 148, "fp8_tflops": 296}
    assert on(bare, precision={"weights": "fp8"}).choice.weights == "fp8"
    with pytest.raises(InfeasibleError):
        on({**bare, "fp8_tflops": None}, precision={"weights": "fp8"})


def test_a_described_gpu_is_launched() -> None:
    plan = on(H100)
    launch = launch_of(plan, load_model(LLAMA), Catalog.load(), None)
    assert launch.engine == "vllm"


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ("H1000", "pin.node.gpu"),
        ({"name": "X1", "memory_gib": 0, "bandwidth_tb_per_s": 4, "bf16_tflops": 148}, "memory_gib"),
        ({"name": "X1", "memory_gib": 96, "bf16_tflops": 148}, "bandwidth_tb_per_s"),
        ({**H100, "fp6_tflops": 1}, "fp6_tflops"),
    ],
)
def test_wrong_figures_are_named(gpu: object, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        on(gpu)
