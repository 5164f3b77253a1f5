"""quantization_config is read so that published checkpoints have their size; and selective quantization."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcluster.cli import cli
from planner.errors import SpecError
from planner.search.optimizer import plan
from planner.sizing.formats import with_formats
from planner.sizing.weights import stored_bytes_per_value, weights_bytes, weights_bytes_per_gpu
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.model_config import read_config
from provider_catalog.models import load_model, published_config
from provider_catalog.precision import Precision

GROUP_32 = {"num_bits": 4, "type": "int", "group_size": 32, "strategy": "group", "symmetric": True}
KIMI_K2_THINKING = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": GROUP_32}},
    "ignore": [
        "lm_head",
        "re:.*self_attn.*",
        "re:.*shared_experts.*",
        r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
    ],
}


def quantized(name: str, quantization: Mapping[str, Any]) -> ModelArchitecture:
    return read_config({**published_config(name), "quantization_config": quantization}, name)


@pytest.mark.parametrize(
    ("name", "quantization", "gigabytes"),
    [
        # Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4
        ("Qwen/Qwen2.5-7B", {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, 5.57),
        # hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4
        ("meta-llama/Llama-3.1-70B", {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, 39.77),
        # moonshotai/Kimi-K2-Thinking: only the routed experts are quantized
        ("moonshotai/Kimi-K2-Base", KIMI_K2_THINKING, 594),
        # neuralmagic/Meta-Llama-3-8B-Instruct-FP8
        ("meta-llama/Llama-3.1-8B", {"quant_method": "fp8", "ignored_layers": ["lm_head"]}, 9.08),
        # amd/Meta-Llama-3.1-405B-Instruct-fp8-quark-vllm
        (
            "meta-llama/Llama-3.1-405B",
            {
                "quant_method": "quark",
                "global_quant_config": {"weight": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}},
                "exclude": ["lm_head"],
            },
            410,
        ),
        # openai/gpt-oss-120b, published configuration
        ("openai/gpt-oss-120b", published_config("openai/gpt-oss-120b")["quantization_config"], 65.2),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_size_of_published_checkpoints(name: str, quantization: Mapping[str, Any], gigabytes: float) -> None:
    model = quantized(name, quantization)
    assert model.warnings == ()
    assert weights_bytes(model, model.published_precision) / 1e9 == pytest.approx(gigabytes, rel=2e-3)


@pytest.mark.parametrize(
    ("quantization", "precision", "bits"),
    [
        # Bits of a value of an attention matrix, scales and zero points included
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4", 4 + 20 / 32),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, "int4", 4 + 20 / 64),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "int8", 8 + 24 / 128),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", 4.5),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "int4", 4.127),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", 8 + 32 / 64),
        ({"quant_method": "fp8"}, "fp8", 8),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 8 + 32 / 16384),
        ({"quant_method": "fp8", "weight_block_size": [64, 64]}, "fp8", 8 + 32 / 4096),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", 4.5),
        ({"quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}, "fp8", 8),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 64, "sym": True}, "int4", 4 + 20 / 64),
        ({"quant_method": "auto-round", "data_type": "mx_fp4", "bits": 4}, "mxfp4", 4.25),
        (KIMI_K2_THINKING | {"ignore": []}, "int4", 4.5),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {**GROUP_32, "symmetric": False}}},
                "ignore": ["lm_head"],
            },
            "int4",
            4 + 20 / 32,
        ),
    ],
    ids=lambda value: value.get("quant_method", "modelopt") if isinstance(value, dict) else "",
)
def test_scales_are_those_of_the_configuration(quantization: dict[str, Any], precision: Precision, bits: float) -> None:
    model = read_config({**LLAMA, "quantization_config": quantization}, "model")
    assert model.published_precision == precision
    assert 8 * stored_bytes_per_value(model, precision, "attention") == pytest.approx(bits, abs=1e-3)


LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 1000,
}


@pytest.mark.parametrize(
    ("ignore", "attention", "mlp"),
    [
        (["lm_head"], 0, 0),
        (["self_attn"], 1, 0),
        (["model.layers.*.self_attn*"], 1, 0),
        (["re:.*self_attn.*"], 1, 0),
        ([f"model.layers.{i}.self_attn" for i in range(3)], 3 / 4, 0),
        (["model.layers.0*"], 1 / 4, 1 / 4),
        (["re:.*(q|k)_proj$"], 1 / 2, 0),
        ([r"re:model\.layers\.[03]\.mlp.*"], 0, 1 / 2),
        (["model.layers.1.mlp.down_proj"], 0, 1 / 12),
        (["model.layers.0.mlp.gate", "vision_tower", "re:visual.*", "mtp.layers.0.self_attn"], 0, 0),
    ],
    ids=str,
)
def test_layers_that_stay_in_16_bits_are_found_by_name_and_pattern(
    ignore: list[str], attention: float, mlp: float
) -> None:
    model = read_config({**LLAMA, "quantization_config": {"quant_method": "fp8", "ignored_layers": ignore}}, "model")
    formats = model.published_formats
    assert formats is not None
    assert formats.attention.unquantized_share == pytest.approx(attention)
    assert formats.mlp.unquantized_share == pytest.approx(mlp)
    assert model.warnings == ()


@pytest.mark.parametrize("pattern", [r"re:^(?!.*experts).*", "re:(" * 200, r"re:(a+)+\d{3}$", "x" * 10_000])
def test_a_pattern_that_is_not_understood_is_said(pattern: str) -> None:
    quantization = {"quant_method": "fp8", "ignored_layers": [pattern]}
    model = read_config({**LLAMA, "quantization_config": quantization}, "model")
    assert "not understood" in "".join(model.warnings)


@pytest.mark.parametrize("method", ["aqlm", "hqq", "torchao", "", "spqr"])
def test_an_unknown_method_is_said_and_taken_as_16_bits(method: str) -> None:
    model = read_config({**LLAMA, "quantization_config": {"quant_method": method}}, "model")
    assert model.published_precision == "bf16"
    assert "unknown" in "".join(model.warnings)


def test_bits_without_a_format_of_their_own_are_said() -> None:
    model = read_config({**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 3}}, "model")
    assert "3 bits" in "".join(model.warnings)


def test_mixed_formats_go_to_the_blocks_that_their_groups_name() -> None:
    groups = {
        "attention": {"targets": ["re:.*self_attn.*"], "weights": {"num_bits": 8, "type": "float"}},
        "experts": {"targets": ["re:.*experts.*"], "weights": {"num_bits": 4, "type": "float", "group_size": 16}},
    }
    quantization = {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ["lm_head"]}
    formats = quantized("Qwen/Qwen3-30B-A3B", quantization).published_formats
    assert formats is not None
    assert (formats.attention.precision, formats.experts.precision) == ("fp8", "nvfp4")
    assert formats.mlp.precision == formats.head.precision == "bf16"


def test_published_formats_of_presets() -> None:
    # V4 keeps its experts in FP4, gpt-oss all but its experts in bf16
    v4 = load_model("deepseek-ai/DeepSeek-V4-Pro").published_formats
    assert v4 is not None
    assert (v4.attention.precision, v4.experts.precision) == ("fp8", "mxfp4")
    oss = load_model("openai/gpt-oss-20b").published_formats
    assert oss is not None
    assert (oss.attention.precision, oss.experts.precision) == ("bf16", "mxfp4")
    assert load_model("meta-llama/Llama-3.1-8B").published_formats is None
    assert load_model("openai/gpt-oss-20b").published_attention_precision == "bf16"
    assert load_model("deepseek-ai/DeepSeek-V4-Pro").published_expert_precision == "mxfp4"
    assert load_model(R1).published_expert_precision is None
    thinking = quantized("moonshotai/Kimi-K2-Base", KIMI_K2_THINKING)
    assert thinking.published_dense_precision == thinking.published_attention_precision == "bf16"


R1 = "deepseek-ai/DeepSeek-R1"


def test_selective_quantization_is_a_choice() -> None:
    model = load_model(R1)
    plain = weights_bytes(model, "nvfp4")
    kept = weights_bytes(with_formats(model, "nvfp4", keep=["attention"]), "nvfp4")
    attention = model.parameters_by_component["attention"]
    assert kept - plain == pytest.approx(attention * (16 - 4.5) / 8, rel=1e-3)
    experts = weights_bytes(with_formats(model, "fp8", "mxfp4"), "fp8")
    # Routed experts at 4.25 instead of 8 bits and a block scale
    assert weights_bytes(model, "fp8") - experts == pytest.approx(model.routed_expert_parameters * 3.752 / 8, rel=1e-3)
    everything = weights_bytes(with_formats(model, "fp8", keep=["attention", "mlp", "experts"]), "fp8")
    assert everything == pytest.approx(weights_bytes(model, "bf16"), rel=1e-6)


def test_layers_that_stay_high_are_counted_by_their_parameters() -> None:
    model = load_model("meta-llama/Llama-3.1-8B")
    low, high = weights_bytes(model, "int4"), weights_bytes(model, "bf16")
    half = weights_bytes(with_formats(model, "int4", keep=["0-15"]), "int4")
    assert half == pytest.approx((low + high) / 2, rel=1e-3)
    assert weights_bytes_per_gpu(with_formats(model, "int4", keep=["0-31"]), "int4", 8, 1, 1) == pytest.approx(
        weights_bytes_per_gpu(model, "bf16", 8, 1, 1), rel=1e-3
    )


@settings(deadline=None)
@given(
    st.sampled_from(("fp8", "int8", "int4", "nvfp4", "mxfp4")),
    st.lists(st.sampled_from(("attention", "mlp", "experts", "0", "3-7", "60")), unique=True, max_size=4),
)
def test_keeping_more_never_takes_less(weights: Precision, keep: list[str]) -> None:
    model = load_model(R1)
    sizes = [weights_bytes(with_formats(model, weights, keep=keep[:count]), weights) for count in range(len(keep) + 1)]
    assert sizes == sorted(sizes)
    assert weights_bytes(model, weights) <= sizes[-1] <= weights_bytes(model, "bf16") * 1.0001


@pytest.mark.parametrize("keep", ["embedding", "0-61", "5-2", "-1", "1-", "a" * 100, "٣"])
def test_unknown_layers_to_keep_in_16_bits_are_refused(keep: str) -> None:
    with pytest.raises(SpecError, match=r"precision\.keep"):
        with_formats(load_model(R1), "fp8", keep=[keep])


def test_experts_of_a_dense_model_are_refused() -> None:
    with pytest.raises(SpecError, match="no routed experts"):
        with_formats(load_model("llama-2-7b"), "fp8", "int4")


def test_a_quantization_file_beside_the_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    document = {
        "producer": {"name": "modelopt"},
        "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]},
    }
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(document))
    assert load_model(str(tmp_path)).published_precision == "nvfp4"


def test_a_plan_serves_the_chosen_formats() -> None:
    document = {
        "name": "selective",
        "model": R1,
        "workload": {"kind": "inference", "concurrency": 8},
        "precision": {"weights": "fp8", "experts": "int4", "keep": ["attention"]},
        "pin": {"instance_type": "p5en.48xlarge", "nodes": 1, "layout": {"tensor": 8}},
    }
    planned = plan(read_spec(document, "spec"), load_model(R1), Catalog.load())
    model = with_formats(load_model(R1), "fp8", "int4", ["attention"])
    layout = planned.choice.layout
    weights = weights_bytes_per_gpu(model, "fp8", layout.tensor, layout.pipeline, layout.expert)
    assert planned.memory_per_gpu.weights["decoder"] == weights
    training = {**document, "workload": {"kind": "training", "tokens": 1e12}, "pin": {}}
    with pytest.raises(SpecError, match="serving"):
        plan(read_spec(training, "spec"), load_model(R1), Catalog.load())


def test_the_command_takes_both() -> None:
    options = ["--weights", "fp8", "--experts", "nvfp4", "--keep", "attention", "--keep", "0-2", "--json"]
    done = CliRunner().invoke(cli, ["size", R1, *options])
    assert done.exit_code == 0, done.output
    size = json.loads(done.stdout)
    model = with_formats(load_model(R1), "fp8", "nvfp4", ["attention", "0-2"])
    assert size["weights_bytes"] == weights_bytes(model, "fp8") == size["weights_bytes_by_precision"]["fp8"]
    refused = CliRunner().invoke(cli, ["size", R1, "--experts", "fp7"])
    assert refused.exit_code == 2
    assert "--experts" in refused.output
