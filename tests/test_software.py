"""The software matrix: what vendors and engines publish about GPUs, formats and versions."""

import pytest

from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

CATALOG = Catalog.load()
SOFTWARE = CATALOG.software


def test_every_gpu_and_engine_has_its_rows() -> None:
    for gpu in CATALOG.gpus.values():
        assert SOFTWARE.runtime(gpu).min_version
        assert SOFTWARE.attention_kernel(gpu) is not None
    generations = {gpu.generation for gpu in CATALOG.gpus.values()}
    for engine in SOFTWARE.engines.values():
        assert set(engine.generations) <= generations
        assert set(engine.mtp_families) <= set(engine.families)
        assert engine.version == SOFTWARE.engine_flags[engine.name].version
    for row in SOFTWARE.formats.values():
        assert set(row.native) | set(row.weight_only) <= generations
        assert not set(row.native) & set(row.weight_only)


@pytest.mark.parametrize(
    ("gpu", "stack", "version"),
    [
        # CUDA release notes: 11.8 brings Hopper and Ada, 12.8 Blackwell; ROCm 6.0 brings MI300; the guide's 5.5
        ("H100", "cuda", "11.8"),
        ("L40S", "cuda", "11.8"),
        ("B200", "cuda", "12.8"),
        ("MI250X", "rocm", "5.5"),
        ("MI300X", "rocm", "6.0"),
    ],
)
def test_toolkit_that_first_knows_a_gpu(gpu: str, stack: str, version: str) -> None:
    runtime = SOFTWARE.runtime(CATALOG.gpu(gpu))
    assert (runtime.stack, runtime.min_version) == (stack, version)
    assert (runtime.min_driver is None) == (stack == "rocm")


@pytest.mark.parametrize(
    ("gpu", "version"),
    [("A100", "2"), ("L4", "2"), ("H100", "3"), ("H200", "3"), ("B200", "4"), ("MI300X", "2")],
)
def test_flash_attention_3_is_for_hopper(gpu: str, version: str) -> None:
    # Dao-AILab/flash-attention, README: version 3 needs H100 or H800
    kernel = SOFTWARE.attention_kernel(CATALOG.gpu(gpu))
    assert kernel is not None
    latent = SOFTWARE.attention_kernel(CATALOG.gpu(gpu), latent=True)
    # vLLM's FlashMLA backend: compute capability 9 or 10
    assert latent is not None
    assert (latent.name == "FlashMLA") == (version in "34")
    assert kernel.name == f"FlashAttention-{version}"


@pytest.mark.parametrize(
    ("gpu", "weights", "serves"),
    [
        # vLLM documentation, FP8 W8A8: Ampere by Marlin, weights only; Transformer Engine's matrix for the others
        ("A100", "fp8", True),
        ("A10G", "fp8", True),
        ("L4", "fp8", True),
        ("H100", "fp8", True),
        ("MI250X", "fp8", False),
        ("MI300X", "fp8", True),
        # Marlin, weights only (vLLM and SGLang, marlin_utils_fp4.py)
        ("H100", "nvfp4", True),
        ("L40S", "nvfp4", True),
        ("A100", "nvfp4", True),
        ("MI300X", "nvfp4", False),
        # vLLM documentation, INT8 W8A8: not on compute capability 10.0 and above
        ("B200", "int8", False),
        ("B300", "int8", False),
        ("H100", "int8", True),
        ("B200", "nvfp4", True),
        ("B300", "nvfp4", True),
        # gpt-oss is published in mxfp4 and served on one H100: weights only
        ("H100", "mxfp4", True),
        ("MI250X", "mxfp4", False),
        ("A100", "bf16", True),
    ],
)
def test_formats_follow_the_generation(gpu: str, weights: str, serves: bool) -> None:
    refusal = SOFTWARE.refuse_format(CATALOG.gpu(gpu), weights)  # type: ignore[arg-type]
    assert (refusal is None) == serves
    if refusal is not None:
        assert gpu in refusal
        assert "need" in refusal


def test_a_plan_names_the_kernels_that_it_counts_on() -> None:
    assert "Marlin" in SOFTWARE.kernel_path(CATALOG.gpu("A100"), "fp8")
    assert SOFTWARE.kernel_path(CATALOG.gpu("H100"), "fp8") == "fp8 tensor cores"
    assert "Marlin" in SOFTWARE.kernel_path(CATALOG.gpu("H100"), "nvfp4")
    assert "Marlin" not in SOFTWARE.kernel_path(CATALOG.gpu("MI300X"), "int4")


def test_an_engine_may_serve_a_format_on_fewer_gpus() -> None:
    # TensorRT-LLM has no weight-only kernels for FP8 and NVFP4
    llama = load_model("meta-llama/Llama-3.1-8B")
    assert SOFTWARE.refuse_engine("vllm", CATALOG.gpu("A100"), llama, "fp8", "bf16") is None
    refusal = SOFTWARE.refuse_engine("tensorrt-llm", CATALOG.gpu("A100"), llama, "fp8", "bf16")
    assert refusal is not None and "A100" in refusal and "Hopper" in refusal
    assert SOFTWARE.refuse_engine("tensorrt-llm", CATALOG.gpu("H100"), llama, "nvfp4", "bf16") is not None


def test_formats_agree_with_the_data_sheets() -> None:
    for row in SOFTWARE.formats.values():
        for gpu in CATALOG.gpus.values():
            if gpu.generation in row.native:
                assert row.format in gpu.peak_tflops, f"{gpu.name} has no {row.format} rate, but the matrix says native"


def test_an_engine_says_why_it_cannot_run() -> None:
    names = ("deepseek-ai/DeepSeek-R1", "meta-llama/Llama-3.1-8B", "bigscience/bloom")
    r1, llama, bloom = (load_model(name) for name in names)
    h100, mi300x, a10g = CATALOG.gpu("H100"), CATALOG.gpu("MI300X"), CATALOG.gpu("A10G")
    assert SOFTWARE.refuse_engine("vllm", h100, r1, "fp8", "fp8") is None
    amd = SOFTWARE.refuse_engine("tensorrt-llm", mi300x, llama, "bf16", "bf16")
    assert amd is not None and "MI300X" in amd and "Hopper" in amd
    family = SOFTWARE.refuse_engine("tensorrt-llm", h100, bloom, "bf16", "bf16")
    assert family is not None and "'bloom'" in family
    cache = SOFTWARE.refuse_engine("vllm", h100, llama, "bf16", "int4")
    assert cache is not None and "int4" in cache
    unlisted = SOFTWARE.refuse_engine("tensorrt-llm", a10g, llama, "bf16", "bf16")
    assert unlisted is not None and "A10G" in unlisted
