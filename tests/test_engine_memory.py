"""The memory ledger of serving engines against start-up logs, and its invariants."""

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InfeasibleError
from planner.launch.launch_files import launch_of
from planner.plan.layout import Layout
from planner.sizing.engine_cache import cache_layout
from planner.sizing.engine_ledger import EngineLedger
from planner.sizing.engine_settings import GIB, engine_settings
from planner.spec.engine import ServingEngineChoice
from provider_catalog.catalog import Catalog
from provider_catalog.engine_memory import engine_memory
from provider_catalog.models import load_model
from provider_catalog.precision import Precision
from tests.support.serving import performance, serve

LINES = (Path(__file__).parent / "data" / "engine_memory.csv").read_text(encoding="utf-8").splitlines()
START_UPS = tuple(csv.DictReader(line for line in LINES if not line.startswith("#")))
MODELS = (
    "Qwen/Qwen2.5-7B",
    "google/gemma-3-27b-it",
    "openai/gpt-oss-20b",
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3.2",
    "deepseek-ai/DeepSeek-V4-Flash",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "nvidia/Nemotron-H-56B-Base-8K",
    "mistralai/Mistral-7B-v0.1",
)


def ledger(
    model: str,
    weights: Precision,
    layout: Layout,
    *,
    engine: Any = "vllm",
    version: str | None = None,
    share: float | None = 0.95,
    kv_cache: Precision = "bf16",
    **choice: Any,
) -> EngineLedger:
    """The ledger on H100, of which a process sees 79.19 GiB."""
    started = engine_settings(
        ServingEngineChoice(name=engine, version=version, **choice),
        engine,
        gpu="H100",
        generation="Hopper",
        visible_bytes=int(79.19 * GIB),
        memory_fraction=share,
        ranks=layout.gpus_per_replica,
    )
    return EngineLedger(load_model(model), weights, kv_cache, layout, started)


@pytest.mark.parametrize("row", START_UPS, ids=lambda row: f"{row['preset']}-TP{row['tensor']}-PP{row['pipeline']}")
def test_a_start_up_holds_the_tokens_that_the_engine_logged(row: dict[str, str]) -> None:
    model = load_model(row["preset"])
    published: Precision = "bf16" if model.published_precision == "fp32" else model.published_precision
    weights: Any = published if row["weights"] == "published" else row["weights"]
    layout = Layout(tensor=int(row["tensor"]), pipeline=int(row["pipeline"]))
    found = ledger(row["preset"], weights, layout, version="0.19", kv_cache=row["kv_cache"])  # type: ignore[arg-type]
    assert found.cache.tokens(found.pool_bytes(), 8192) == pytest.approx(int(row["true_kv_tokens"]), rel=0.025)
    assert found.weights_bytes / GIB == pytest.approx(float(row["true_weights_gib"]), rel=0.02)
    if layout.pipeline == 1:
        other = sum(found.runtime.values()) + found.activations_bytes()
        assert other / GIB == pytest.approx(float(row["true_other_gib"]), abs=0.3)


@pytest.mark.parametrize(
    ("model", "weights_gib", "activations_gib"),
    [
        # llm-d-planner, empirical vLLM memory results: vLLM 0.11 on H100
        ("openai/gpt-oss-20b", 13.47, 7.38),
        ("openai/gpt-oss-120b", 64.38, 7.38),
        ("meta-llama/Meta-Llama-3.1-8B", 14.99, 4.76),
        ("Qwen/Qwen3-32B", 61.03, 5.64),
        ("Qwen/Qwen3-0.6B", 1.12, 5.56),
    ],
)
def test_an_older_version_needs_more_to_sample(model: str, weights_gib: float, activations_gib: float) -> None:
    found = ledger(model, load_model(model).published_precision, Layout(), version="0.11")
    assert found.weights_bytes / GIB == pytest.approx(weights_gib, rel=0.03)
    assert found.activations_bytes() / GIB == pytest.approx(activations_gib, rel=0.05)


def test_experts_are_padded_to_the_multiple_of_their_kernel() -> None:
    # vLLM issue 23278: gpt-oss-120b takes 65.9651 GiB on one H100 with Marlin
    found = ledger("openai/gpt-oss-120b", "mxfp4", Layout())
    assert found.weights_bytes / GIB == pytest.approx(65.97, rel=0.01)
    assert found.weights["expert_padding"] > 4 * GIB


def test_drafting_layers_are_loaded_when_they_draft() -> None:
    # 3.07 GB a GPU of DeepSeek-R1 at TP8, from public start-up logs
    plain = ledger("deepseek-ai/DeepSeek-R1", "fp8", Layout(tensor=8, expert=8))
    drafting = EngineLedger(plain.arch, "fp8", "bf16", plain.layout, plain.settings, drafts=True)
    assert (drafting.weights_bytes - plain.weights_bytes) / 1e9 == pytest.approx(3.07, rel=0.1)


def test_pages_of_compressed_caches() -> None:
    # vLLM issue 44376 (0.22, max_num_batched_tokens 16384): one request of 30,000 tokens of DeepSeek-V4-Flash needs
    # 6.66 GiB, and 5.44 GiB hold 13,528 tokens at most
    memory = engine_memory("vllm", "0.22").memory
    layout = cache_layout(load_model("deepseek-ai/DeepSeek-V4-Flash"), memory, "fp8", 2, 1, 16384)
    assert layout.request_bytes(30_000) / GIB == pytest.approx(6.66, abs=0.01)
    assert layout.longest_request(int(5.445 * GIB), 30_000) == 13_528


def test_sparse_latent_attention_stores_656_and_132_bytes() -> None:
    # vLLM, fp8_ds_mla: 512 values in fp8, 4 fp32 scales, 64 rotary values in bf16; the indexer: 128 and a scale of 4
    layout = cache_layout(load_model("deepseek-ai/DeepSeek-V3.2"), engine_memory("vllm").memory, "fp8", 8, 1, 8192)
    assert layout.request_bytes(64_000) == 64_000 * 61 * (656 + 132)


def test_eager_execution_saves_the_graphs_and_only_counted_ones() -> None:
    graphs = ledger("Qwen/Qwen2.5-7B", "bf16", Layout())
    eager = ledger("Qwen/Qwen2.5-7B", "bf16", Layout(), enforce_eager=True)
    assert eager.pool_bytes() - graphs.pool_bytes() == graphs.runtime["cuda_graphs"]
    older = ledger("Qwen/Qwen2.5-7B", "bf16", Layout(), version="0.19")
    assert "cuda_graphs" not in older.runtime and older.outside_bytes == pytest.approx(1.04 * GIB, rel=0.01)


def test_the_settings_of_other_engines_divide_other_memory() -> None:
    # SGLang: mem_fraction_static bounds weights and cache; TensorRT-LLM: a share of what is free after loading
    static = ledger("Qwen/Qwen2.5-7B", "bf16", Layout(), engine="sglang", share=None, gpu_memory_utilization=0.8)
    assert static.pool_bytes() == static.settings.capacity_bytes - static.weights_bytes - sum(static.runtime.values())
    free = ledger("Qwen/Qwen2.5-7B", "bf16", Layout(), engine="tensorrt-llm", share=None, gpu_memory_utilization=0.5)
    half = free.settings.capacity_bytes - free.weights_bytes - sum(free.runtime.values()) - free.activations_bytes()
    assert free.pool_bytes() == half // 2
    # SGLang's default leaves 10 GiB free on GPUs above 60 GiB if the rest of its reserve is less
    default = ledger("Qwen/Qwen2.5-7B", "bf16", Layout(), engine="sglang", share=None)
    assert default.settings.share == pytest.approx((79.19 - 12.9) / 79.19, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    version=st.sampled_from(["0.11", "0.19", "0.33"]),
    tensor=st.sampled_from([1, 2, 4, 8]),
    tokens=st.integers(1, 100_000),
    more=st.integers(0, 50_000),
)
def test_a_longer_request_never_takes_less(model: str, version: str, tensor: int, tokens: int, more: int) -> None:
    layout = cache_layout(load_model(model), engine_memory("vllm", version).memory, "fp8", tensor, 1, 8192)
    assert layout.request_bytes(tokens) <= layout.request_bytes(tokens + more)
    pool = layout.request_bytes(tokens + more)
    assert layout.longest_request(pool, 10**6) >= tokens + more
    assert layout.in_flight(pool, tokens) >= layout.in_flight(pool, tokens + more) >= 1


@pytest.mark.parametrize("model", MODELS)
def test_a_higher_tensor_degree_never_needs_more_weights(model: str) -> None:
    weights = load_model(model).published_precision
    degrees = [ledger(model, weights, Layout(tensor=tensor)).weights_bytes for tensor in (1, 2, 4, 8)]
    assert degrees == sorted(degrees, reverse=True)


def test_the_parts_of_a_plan_sum_to_the_total() -> None:
    decided = serve(
        "google/gemma-3-27b-it",
        {"concurrency": 8, "prompt_tokens": 4000, "output_tokens": 96, "max_context_tokens": 32_000},
        engine={"name": "vllm", "version": "0.19", "gpu_memory_utilization": 0.95},
        pin={"node": {"gpu": "H100", "gpus": 1, "nic_gbit_per_s": 400}, "nodes": 1},
    )
    memory, cache = decided.memory_per_gpu, performance(decided).cache
    assert cache is not None
    assert sum(memory.weights.values()) == memory.weights_bytes
    assert sum(memory.overhead.values()) == memory.overhead_bytes
    parts = memory.weights_bytes + memory.kv_cache_bytes + memory.activations_bytes + memory.overhead_bytes
    assert parts == memory.total_bytes <= memory.capacity_bytes
    assert parts - memory.kv_cache_bytes + cache.pool_bytes_per_gpu == memory.capacity_bytes
    # The report of llm-d-planner: 36,560 tokens
    assert cache.tokens == pytest.approx(36_560, rel=0.02)
    assert cache.longest_request_tokens > 32_000
    assert cache.requests_at_planned_length > cache.requests_at_max_context >= 1
    assert any("captures CUDA graphs" in note for note in decided.notes)


def test_a_context_beyond_memory_names_the_longest_that_fits() -> None:
    with pytest.raises(InfeasibleError) as caught:
        serve(
            "Qwen/Qwen2.5-32B",
            {"concurrency": 1, "max_context_tokens": 32_000},
            engine={"name": "vllm", "version": "0.19"},
            pin={
                "node": {"gpu": "H100", "gpus": 1, "nic_gbit_per_s": 400},
                "nodes": 1,
                "layout": {"tensor": 1, "pipeline": 1},
            },
        )
    assert any("the longest request that fits has" in miss.reason for miss in caught.value.nearest)


def test_an_fp32_configuration_is_served_in_16_bits() -> None:
    pin = {"node": {"gpu": "H100", "gpus": 1, "nic_gbit_per_s": 400}, "nodes": 1}
    assert serve("google/gemma-2-27b", {"concurrency": 1}, pin=pin).choice.weights == "bf16"
    asked = serve("google/gemma-2-9b", {"concurrency": 1}, pin=pin, precision={"weights": "fp32"})
    assert asked.choice.weights == "fp32"


def test_launch_starts_the_engine_as_it_was_counted() -> None:

    given = {
        "name": "vllm",
        "version": "0.40",
        "gpu_memory_utilization": 0.95,
        "max_num_batched_tokens": 4096,
        "max_num_seqs": 64,
        "enforce_eager": True,
    }
    pin = {"node": {"gpu": "H100", "gpus": 1, "nic_gbit_per_s": 400}, "nodes": 1}
    decided = serve("Qwen/Qwen2.5-7B", {"concurrency": 8, "max_context_tokens": 16_000}, engine=given, pin=pin)
    command = " ".join(launch_of(decided, load_model("Qwen/Qwen2.5-7B"), Catalog.load()).commands[0].argv)
    for flag in ("gpu-memory-utilization 0.95", "max-num-batched-tokens 4096", "max-model-len 16000", "enforce-eager"):
        assert f"--{flag}" in command
    cache = performance(decided).cache
    assert cache is not None
    assert (cache.max_num_batched_tokens, cache.max_num_seqs, cache.max_context_tokens) == (4096, 64, 16_000)
    assert performance(decided).max_concurrency <= 64
    assert "cuda_graphs" not in decided.memory_per_gpu.overhead
    assert any("newer than 0.33" in note for note in decided.notes)
