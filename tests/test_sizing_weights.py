"""Bytes of the weights against published checkpoints, and properties of sharding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.sizing.stages import pipeline_stages, stage_sizes
from planner.sizing.weights import bytes_per_value, weights_bytes, weights_bytes_per_gpu
from provider_catalog.models import load_model
from provider_catalog.precision import BITS_PER_VALUE, Precision

SAMPLE = (
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V2-Lite",
    "deepseek-ai/DeepSeek-V4-Flash",
    "meta-llama/Llama-3.1-70B",
    "mistralai/Mixtral-8x7B-v0.1",
    "openai/gpt-oss-20b",
    "Qwen/Qwen3.5-35B-A3B",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "google/gemma-4-26B-A4B",
    "tiiuae/falcon-7b",
    "openai/gpt3-175b",
)
PRECISIONS: list[Precision] = sorted(BITS_PER_VALUE)


def test_16_bit_weights_are_two_bytes_a_parameter() -> None:
    model = load_model("meta-llama/Llama-3.1-70B")
    assert weights_bytes(model, "bf16") == 2 * 70_553_706_496
    assert weights_bytes(model, "fp32") == 4 * 70_553_706_496


def test_r1_in_fp8_is_a_byte_a_parameter_and_what_stays_in_bf16() -> None:
    # 671.03B parameters, of which embedding, head (0.93B each), norms and routers keep a second byte; a fp32 scale for
    # each of 128 x 128 values of the rest (arXiv 2412.19437, section 3.3.2)
    high = 2 * 926_679_040 + 444_416 + 58 * 256 * 7168 + 61 * (1536 + 512)
    rest = 671_026_404_352 - high
    assert weights_bytes(load_model("deepseek-r1"), "fp8") == pytest.approx(rest + rest / 4096 + 2 * high, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "precision", "gigabytes", "tolerance"),
    [
        # gpt-oss model card, arXiv 2508.10925, Table 1: checkpoint sizes 12.8 and 60.8 GiB
        ("openai/gpt-oss-20b", "mxfp4", 12.8 * 2**30 / 1e9, 0.01),
        ("openai/gpt-oss-120b", "mxfp4", 60.8 * 2**30 / 1e9, 0.01),
        # model.safetensors.index.json of Meta-Llama-3.1-405B: total_size 811706777600
        ("meta-llama/Llama-3.1-405B", "bf16", 811.707, 1e-4),
    ],
)
def test_weights_take_the_size_of_published_checkpoints(
    model: str, precision: Precision, gigabytes: float, tolerance: float
) -> None:
    assert weights_bytes(load_model(model), precision) / 1e9 == pytest.approx(gigabytes, rel=tolerance)


@pytest.mark.parametrize(
    ("precision", "bits"),
    # MXFP4 is 4.25 bits a value (OCP MX v1.0: an 8-bit scale per 32), NVFP4 4.5 (8-bit scale per 16)
    [("mxfp4", 4.25), ("nvfp4", 4.5), ("int4", 4.125), ("fp8", 8 + 32 / 16384), ("bf16", 16)],
)
def test_scales_are_part_of_a_value(precision: Precision, bits: float) -> None:
    assert bytes_per_value(precision) * 8 == bits


def test_tensor_parallelism_divides_a_dense_model_evenly() -> None:
    model = load_model("meta-llama/Llama-3.1-70B")
    norms = (2 * 80 + 1) * 8192
    eighth = (model.total_parameters - norms) // 8 + norms
    assert weights_bytes_per_gpu(model, "bf16", 8, 1, 1) == 2 * eighth


def test_key_value_heads_are_repeated_past_their_number() -> None:
    # 8 key-value heads over 16 ranks: each rank holds one, as over 8
    model = load_model("meta-llama/Llama-3.1-70B")
    at_8 = weights_bytes_per_gpu(model, "bf16", 8, 1, 1)
    at_16 = weights_bytes_per_gpu(model, "bf16", 16, 1, 1)
    key_value = 2 * 80 * 8192 * 2 * 8 * 128 // 8
    norms = 2 * (2 * 80 + 1) * 8192
    assert at_16 - key_value - norms == (at_8 - key_value - norms) // 2


def test_experts_are_divided_whole() -> None:
    # 256 experts over 64 ranks: 4 each, the rest of the model on every rank
    model = load_model("deepseek-ai/DeepSeek-V3")
    dense = model.total_parameters - model.routed_expert_parameters
    held = dense + model.routed_expert_parameters // 64
    assert weights_bytes_per_gpu(model, "bf16", 1, 1, 64) == 2 * held


def test_remainder_of_layers_avoids_the_ends() -> None:
    assert stage_sizes(61, 4) == (15, 15, 16, 15)
    assert stage_sizes(80, 8) == (10,) * 8
    assert stage_sizes(7, 3) == (2, 3, 2)
    assert stage_sizes(3, 2) == (2, 1)


@pytest.mark.parametrize(("tensor", "pipeline", "expert"), [(0, 1, 1), (1, 0, 1), (1, 62, 1), (1, 1, 257), (1, 1, 0)])
def test_degrees_out_of_range_are_refused(tensor: int, pipeline: int, expert: int) -> None:
    with pytest.raises(ValueError, match="allowed: 1"):
        weights_bytes_per_gpu(load_model("deepseek-r1"), "bf16", tensor, pipeline, expert)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(SAMPLE),
    precision=st.sampled_from(PRECISIONS),
    tensor=st.integers(1, 64),
    pipeline=st.integers(1, 20),
    expert=st.sampled_from((1, 2, 3, 4, 8, 16)),
)
def test_sharding_loses_no_parameter(name: str, precision: Precision, tensor: int, pipeline: int, expert: int) -> None:
    model = load_model(name)
    if not any(group.feed_forward.experts >= expert for group in model.layers):
        expert = 1
    per_gpu = weights_bytes_per_gpu(model, precision, tensor, pipeline, expert)
    ranks = max(tensor, expert) * pipeline
    assert per_gpu * ranks >= weights_bytes(model, precision)
    assert 0 < per_gpu <= weights_bytes_per_gpu(model, precision, 1, 1, 1)


@settings(max_examples=50, deadline=None)
@given(name=st.sampled_from(SAMPLE), pipeline=st.integers(1, 20))
def test_stages_hold_every_layer_once(name: str, pipeline: int) -> None:
    model = load_model(name)
    stages = pipeline_stages(model, pipeline)
    assert len(stages) == pipeline
    for index, group in enumerate(model.layers):
        assert sum(count for stage in stages for i, count in stage if i == index) == group.count


@pytest.mark.parametrize("name", SAMPLE)
def test_fewer_bits_never_need_more_memory(name: str) -> None:
    model = load_model(name)
    # The published format of gpt-oss is selective by itself, so compare formats it was not published in
    order: list[Precision] = ["fp32", "bf16", "int8", "nvfp4", "int4"]
    sizes = [weights_bytes(model, precision) for precision in order]
    assert sizes == sorted(sizes, reverse=True)
