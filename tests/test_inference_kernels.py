"""Properties of kernel and forward-pass times for any GPU, model and split."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.plan.layout import Layout
from planner.serving.forward import AnalyticTiming, Pass, arithmetic_precision, visible_pairs
from planner.serving.kernels import GroupedGemm, GroupedRates
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import NodeTopology
from provider_catalog.models import load_model

MODELS = ("meta-llama/Meta-Llama-3.1-70B", "deepseek-ai/DeepSeek-R1", "openai/gpt-oss-120b", "Qwen/Qwen3.5-35B-A3B")
GPUS = ("A100-80GB", "H100", "B200", "L40S", "MI300X")


@cache
def model(name: str) -> ModelArchitecture:
    return load_model(name)


def node(gpu: str, *, memory_rate: float = 1.0, link_rate: float = 1.0) -> NodeTopology:
    found = Catalog.load().gpu(gpu)
    bandwidth = found.memory_bandwidth_gb_per_s * memory_rate
    return NodeTopology(
        gpu=found.model_copy(update={"memory_bandwidth_gb_per_s": bandwidth}),
        gpus=8,
        gpu_memory_bytes=int(found.memory_gb * 1e9),
        nvlink_gb_per_s=found.nvlink_gb_per_s * link_rate,
        nic_gbit_per_s=3200 * link_rate,
        fabric="infiniband",
    )


def test_a_batch_touches_the_experts_that_a_token_of_it_chose() -> None:
    # Mixtral routes each token to 2 of 8 experts: one token touches 2, two touch 8·(1 - (6/8)²) = 3.5 on average
    rates = GroupedRates(0.5, 0.8, 0, 0, 0, 0)
    experts = GroupedGemm(
        4096, 14336, 3, experts=8, experts_per_token=2, ranks=1, weight_bytes=2, peak_flops=1e15, rates=rates
    )
    assert experts.touched_experts(1) == pytest.approx(2)
    assert experts.touched_experts(2) == pytest.approx(3.5)
    assert experts.touched_experts(1000) == pytest.approx(8)


@pytest.mark.parametrize(
    ("weights", "gpu", "arithmetic"),
    [
        ("fp8", "A100-80GB", "bf16"),  # no FP8 tensor cores: Marlin widens the weights (vLLM pull 5975)
        ("fp8", "MI250X", None),  # AMD MI250X data sheet: no FP8
        ("fp8", "L40S", "fp8"),
        ("int4", "A100-80GB", "bf16"),  # AWQ and GPTQ widen on the way into the product
        ("nvfp4", "H100", "bf16"),
        ("nvfp4", "B200", "nvfp4"),
    ],
)
def test_arithmetic_is_what_the_gpu_has(weights: str, gpu: str, arithmetic: str | None) -> None:
    assert arithmetic_precision(weights, Catalog.load().gpu(gpu)) == arithmetic  # type: ignore[arg-type]


@given(new=st.integers(1, 60), cached=st.integers(0, 60), reach=st.integers(1, 130))
def test_visible_pairs_agree_with_counting(new: int, cached: int, reach: int) -> None:
    counted = sum(min(cached + i + 1, reach) for i in range(new))
    # The closed form takes tokens as a continuum: half a pair a token less while the window fills
    assert visible_pairs(new, cached, reach) == pytest.approx(counted, abs=new / 2 + 1)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(MODELS),
    gpu=st.sampled_from(GPUS),
    tensor=st.sampled_from([1, 2, 4, 8]),
    grouped=st.booleans(),
    prompt=st.integers(16, 20_000),
    batch=st.integers(1, 256),
    faster=st.floats(1.0, 3.0),
)
def test_passes_are_monotone(
    name: str, gpu: str, tensor: int, grouped: bool, prompt: int, batch: int, faster: float
) -> None:
    architecture = model(name)
    expert = tensor if architecture.routed_expert_parameters else 1
    layout = Layout(tensor=tensor, expert=expert, attention_data=tensor if grouped else 1)
    base = AnalyticTiming(architecture, node(gpu), layout, "bf16", "bf16")
    prefill, decode = Pass(prompts=batch, prompt_tokens=prompt), Pass(decodes=batch, context_tokens=prompt)
    slack = 1 + 1e-9
    assert base.seconds(Pass(prompts=batch, prompt_tokens=prompt + 100)) * slack > base.seconds(prefill)
    assert base.seconds(Pass(prompts=batch + 1, prompt_tokens=prompt)) * slack >= base.seconds(prefill)
    assert base.seconds(Pass(decodes=batch, context_tokens=prompt + 100)) * slack >= base.seconds(decode)
    assert base.seconds(Pass(decodes=batch + 1, context_tokens=prompt)) * slack >= base.seconds(decode)
    # A larger batch serves more tokens a second
    assert (batch + 1) / base.seconds(Pass(decodes=batch + 1, context_tokens=prompt)) * slack >= (
        batch / base.seconds(decode)
    )
    for more in (node(gpu, memory_rate=faster), node(gpu, link_rate=faster)):
        other = AnalyticTiming(architecture, more, layout, "bf16", "bf16")
        assert other.seconds(prefill) <= base.seconds(prefill) * slack
        assert other.seconds(decode) <= base.seconds(decode) * slack


def test_data_parallel_attention_reads_the_latent_cache_once() -> None:
    # DeepSeek-V2, arXiv 2405.04434, section 2.1: one latent entry serves all heads, so tensor parallelism repeats it
    parts = {
        groups: AnalyticTiming(
            model("deepseek-ai/DeepSeek-R1"),
            node("H200"),
            Layout(tensor=8, expert=8, attention_data=groups),
            "fp8",
            "bf16",
        ).parts_s(Pass(decodes=512, context_tokens=8000))
        for groups in (1, 8)
    }
    assert parts[8]["attention"] < parts[1]["attention"]
