"""`llmcluster size`: published figures, JSON keys, checkpoints beside the configuration, and a quick start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from llmcluster.cli import cli
from llmcluster.reports.model_size import TABLE, model_size
from planner.sizing.fewest_gpus import Serving, smallest_serving, smallest_training
from planner.sizing.kv_cache import kv_cache_bytes, kv_cache_bytes_per_gpu
from planner.sizing.profile import ModelProfile
from planner.sizing.weights import weights_bytes, weights_bytes_per_gpu
from provider_catalog import models
from provider_catalog.catalog import Catalog
from provider_catalog.gpu_memory import NODE_GPUS, GpuMemory, gpu_memories
from provider_catalog.model_config import read_config
from provider_catalog.models import load_model
from provider_catalog.precision import Precision

ROOT = Path(__file__).parent.parent
GIB = 2**30
SAMPLE = (
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V4-Flash",
    "meta-llama/Llama-3.1-8B",
    "mistralai/Mixtral-8x7B-v0.1",
    "google/gemma-2-9b",
    "nvidia/Nemotron-H-56B-Base-8K",
    "openai/gpt-oss-20b",
)
LLAMA_2_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["size", *arguments])


def gpu(name: str) -> GpuMemory:
    return next(memory for memory in gpu_memories() if memory.name == name)


def checkpoint(folder: Path, config: object, total_size: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": total_size}}))
    return folder


def preset_config(name: str) -> object:
    preset = models.find_preset(name)
    assert preset is not None
    return json.loads((models.DATA_FOLDER / preset.config).read_text())


@pytest.mark.parametrize(
    ("model", "tokens", "gib"),
    # huggingface.co/blog/llama31, table of KV cache sizes in FP16; its 16k and 128k are thousands of tokens
    [("8B", 16_000, 1.95), ("8B", 128_000, 15.62), ("70B", 16_000, 4.88), ("70B", 128_000, 39.06)],
)
def test_the_kv_cache_takes_the_published_size(model: str, tokens: int, gib: float) -> None:
    size = model_size(load_model(f"meta-llama/Llama-3.1-{model}"), context_tokens=tokens, concurrency=1)
    assert size.kv_cache.bytes / GIB == pytest.approx(gib, abs=0.01)


@pytest.mark.parametrize(
    ("model", "fp16", "fp8", "int4"),
    # huggingface.co/blog/llama31, table of inference memory, GB of 10^9; int4 there is half a byte without scales
    # and without what stays in 16 bits
    [("8B", 16, 8, 4), ("70B", 140, 70, 35), ("405B", 810, 405, 203)],
)
def test_weights_take_the_published_size(model: str, fp16: float, fp8: float, int4: float) -> None:
    held = model_size(load_model(f"meta-llama/Llama-3.1-{model}")).weights_bytes_by_precision
    assert held["bf16"] / 1e9 == pytest.approx(fp16, rel=0.01)
    # Embedding and head stay in 16 bits: 13 % of the 8B model, 3 % of 70B
    assert fp8 <= held["fp8"] / 1e9 <= fp8 * 1.14
    assert int4 <= held["int4"] / 1e9 <= int4 * 1.45


def test_size_json_has_the_keys_and_figures_that_are_documented() -> None:
    finished = run("meta-llama/Llama-3.1-8B", "--json")
    assert finished.exit_code == 0, finished.output
    document = json.loads(finished.stdout)
    assert list(document)[:2] == ["model", "parameters"]
    assert document["model"] == "meta-llama/Llama-3.1-8B"
    assert set(document["parameters"]) == {"total", "active", "embedding", "by_component"}
    # The model card's 8B: 8,030,261,248 in the published safetensors
    assert document["parameters"]["total"] == document["parameters"]["active"] == 8_030_261_248
    assert document["weights_bytes"] == 2 * 8_030_261_248
    # Grouped-query attention: 2 x 32 layers x 8 heads x 128 x 2 bytes
    assert document["kv_cache_bytes_per_token"] == 128 * 1024
    assert "fleet" not in document


def test_formats_of_weights_and_cache_are_those_asked_for() -> None:
    document = json.loads(run("meta-llama/Llama-3.1-8B", "--weights", "fp32", "--kv-cache", "fp8", "--json").stdout)
    assert document["weights_bytes"] == 4 * 8_030_261_248
    assert document["kv_cache_bytes_per_token"] == 64 * 1024


def test_the_cache_is_rounded_up_to_pages_of_16_tokens() -> None:
    model = load_model("meta-llama/Llama-3.1-8B")
    assert model_size(model, context_tokens=1, concurrency=3).kv_cache.bytes == 3 * 16 * 128 * 1024
    assert model_size(model, context_tokens=17, concurrency=1).kv_cache.bytes == 32 * 128 * 1024


def test_default_context_is_8192_or_what_the_model_has() -> None:
    assert model_size(load_model("meta-llama/Llama-3.1-8B")).kv_cache.context_tokens == 8192
    # GPT-2 has 1024 positions
    assert model_size(load_model("gpt2-xl")).kv_cache.context_tokens == 1024


def test_context_beyond_the_model_is_said() -> None:
    size = model_size(load_model("gpt2-xl"), context_tokens=2048)
    assert any("1024 positions" in warning for warning in size.warnings)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--weights", "fp9"], ["--weights", "fp9", "bf16"]),
        (["--kv-cache", "4bit"], ["--kv-cache", "4bit", "fp8"]),
        (["--context", "0"], ["--context", "0", "1 to"]),
        (["--concurrency", "-3"], ["--concurrency", "-3", "1 to"]),
        (["--context", "99999999999999"], ["--context", "allowed"]),
        (["--context", "many"], ["--context", "many"]),
    ],
)
def test_wrong_options_name_themselves(arguments: list[str], says: list[str]) -> None:
    finished = run("gpt2-xl", *arguments)
    assert finished.exit_code == 2
    assert finished.stdout == ""
    for words in says:
        assert words in finished.stderr


def test_70b_in_16_bits_takes_two_80_gb_gpus() -> None:
    # 140 GB of weights: huggingface.co/blog/llama31
    serving = Serving("fp16", "fp16", 2048, 1)
    for name in ("A100-80GB", "H100"):
        fit = smallest_serving(load_model("meta-llama/Llama-3.1-70B"), serving, gpu(name))
        assert fit is not None
        assert (fit.gpus, fit.tensor) == (2, 2)


@pytest.mark.parametrize(
    ("name", "weights", "gpus"),
    # docs.sglang.io, DeepSeek V3/R1 usage: FP8 on 8 x H200 or 2 x 8 x H100 and H800; BF16 on 2 x 8 x H200
    [("H200", "fp8", 8), ("H100", "fp8", 16), ("H800", "fp8", 16), ("H200", "bf16", 16)],
)
def test_r1_needs_the_nodes_its_engine_documents(name: str, weights: Precision, gpus: int) -> None:
    fit = smallest_serving(load_model("deepseek-r1"), Serving(weights, "bf16", 8192, 16), gpu(name))
    assert fit is not None
    assert fit.gpus == gpus


@pytest.mark.parametrize(
    ("model", "gpus"),
    # Korthikanti et al. 2022, arXiv 2205.05198, Table 3: GPT-3 175B trained on 64 A100 80 GB (t = 8, p = 8);
    # ZeRO, arXiv 1910.02054, section 3.1: at least 16 bytes a parameter
    [("gpt3-175b", 64)],
)
def test_a_run_that_was_published_holds_the_smallest_number(model: str, gpus: int) -> None:
    profile = ModelProfile.of(load_model(model))
    fit = smallest_training(profile, 2048, [gpu("A100-80GB")])["A100-80GB"]
    assert fit is not None
    assert 16 * 175e9 / 80e9 < fit.gpus <= gpus


def test_a_7b_model_is_not_trained_whole_on_one_80_gb_gpu() -> None:
    # ZeRO, arXiv 1910.02054, Figure 1: 120 GB of states for 7.5B parameters
    fits = smallest_training(ModelProfile.of(load_model("llama-2-7b")), 4096, [gpu("A100-80GB"), gpu("B300")])
    small, large = fits["A100-80GB"], fits["B300"]
    assert small is not None
    assert large is not None
    assert (small.gpus, large.gpus) == (2, 1)


def test_a_model_that_no_number_of_gpus_serves_is_reported() -> None:
    tiny = GpuMemory("tiny", 2 * GIB, 8)
    assert smallest_serving(load_model("deepseek-r1"), Serving("bf16", "bf16", 8192, 16), tiny) is None
    assert smallest_training(ModelProfile.of(load_model("deepseek-r1")), 4096, [tiny]) == {"tiny": None}


@pytest.mark.parametrize("name", ["gpt2-xl", "deepseek-r1", "openai/gpt-oss-20b", "tiiuae/falcon-7b"])
def test_layouts_divide_heads_and_stay_in_the_node(name: str) -> None:
    model = load_model(name)
    for memory in gpu_memories():
        fit = smallest_serving(model, Serving("bf16", "bf16", 1024, 8), memory)
        assert fit is not None
        assert fit.tensor * fit.pipeline == fit.gpus
        assert fit.tensor <= memory.gpus_per_node
        assert all(group.attention.heads % fit.tensor == 0 for group in model.layers)
        assert fit.bytes_per_gpu <= 0.9 * memory.memory_bytes


def test_text_names_every_gpu_and_json_has_them_when_asked() -> None:
    finished = run("meta-llama/Llama-3.1-8B")
    assert finished.exit_code == 0, finished.output
    names = set(Catalog.load().gpus)
    for name in (*names, *TABLE, "8,030,261,248", "128.00 KiB per token", "attention"):
        assert name in finished.stdout
    document = json.loads(run("meta-llama/Llama-3.1-8B", "--json", "--fleet").stdout)
    assert {row["gpu"] for row in document["fleet"]["gpus"]} == names


def test_checkpoint_that_agrees_is_silent(tmp_path: Path) -> None:
    # model.safetensors.index.json of Meta-Llama-3.1-405B
    folder = checkpoint(tmp_path, preset_config("meta-llama/Llama-3.1-405B"), 811_706_777_600)
    size = model_size(load_model(str(folder)))
    assert size.parameters.total == 405_853_388_800
    assert size.weights_bytes == 811_706_777_600
    assert size.warnings == ()


def test_checkpoint_wins_and_the_disagreement_is_reported(tmp_path: Path) -> None:
    size = model_size(load_model(str(checkpoint(tmp_path, LLAMA_2_7B, 15_000_000_000))))
    assert size.parameters.total == size.parameters.active == 7_500_000_000
    assert size.weights_bytes == 15_000_000_000
    assert size.weights_bytes_by_precision["fp32"] == 30_000_000_000
    assert sum(size.parameters.by_component.values()) == 6_738_415_616
    assert len(size.warnings) == 1
    assert "15000000000" in size.warnings[0]
    assert "6.74B" in size.warnings[0]


def test_quantized_checkpoint_gives_the_bytes(tmp_path: Path) -> None:
    # DeepSeek-V3 and R1 as published: 688,586,727,753 bytes with the multi-token-prediction layer
    folder = checkpoint(tmp_path, preset_config("deepseek-r1"), 688_586_727_753)
    size = model_size(load_model(str(folder)))
    assert size.parameters.total == 671_026_404_352
    assert size.weights_bytes == 688_586_727_753
    assert size.warnings == ()
    assert size.weights_bytes_by_precision["bf16"] == 2 * 671_026_404_352


def test_quantized_checkpoint_of_another_size_is_reported(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, preset_config("deepseek-r1"), 400_000_000_000)
    size = model_size(load_model(str(folder)))
    assert size.weights_bytes == 400_000_000_000
    assert any("400000000000 bytes" in warning for warning in size.warnings)


def test_towers_in_the_checkpoint_are_not_the_decoder(tmp_path: Path) -> None:
    # Qwen3-VL-2B: decoder 1,720,574,976 and vision tower 406,957,056 parameters, all published in bf16
    folder = checkpoint(tmp_path, preset_config("Qwen/Qwen3-VL-2B-Instruct"), 2 * (1_720_574_976 + 406_957_056))
    size = model_size(load_model(str(folder)))
    assert size.parameters.total == pytest.approx(1_720_574_976, rel=0.001)


@pytest.mark.parametrize("total_size", [-1, 0, "13 GB", True, 1e300, float("nan"), float("inf"), [1]], ids=str)
def test_impossible_checkpoint_size_is_refused(tmp_path: Path, total_size: object) -> None:
    finished = run(str(checkpoint(tmp_path, LLAMA_2_7B, total_size)), "--json")
    assert finished.exit_code == 2
    assert "metadata.total_size" in finished.stderr
    assert "allowed" in finished.stderr


def test_exact_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    finished = run("gpt2-xl", "--exact", "--json")
    assert finished.exit_code == 2
    assert "pip install 'llmcluster[exact]'" in finished.stderr


def test_exact_count_wins_and_a_difference_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def instantiated(config: dict[str, object]) -> dict[str, int]:
        read.append(config["model_type"])
        return {"total": 1_600_000_000, "towers": 0}

    monkeypatch.setattr("llmcluster.reports.exact_count.instantiated_parameters", instantiated)
    document = json.loads(run("gpt2-xl", "--exact", "--json").stdout)
    assert read == ["gpt2"]
    assert document["parameters"]["total"] == 1_600_000_000
    # gpt2-xl holds 1,557,611,200
    assert any("1557611200" in warning for warning in document["warnings"])


def test_json_loads_neither_tables_nor_templates_nor_specs() -> None:
    code = (
        "import sys; from llmcluster.reports.size_output import size_output; size_output('gpt2-xl', as_json=True); "
        "heavy = ('rich', 'jinja2', 'planner.spec', 'provider_catalog.catalog'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_data_parallel_attention_keeps_a_latent_cache_once() -> None:
    # A latent entry is whole on each of 8 tensor-parallel ranks; by sequence each rank has an eighth
    model = load_model("deepseek-r1")
    repeated = kv_cache_bytes_per_gpu(model, 4096, 64, "bf16", 8, 1)
    kept_once = kv_cache_bytes_per_gpu(model, 4096, 64, "bf16", 8, 1, attention_data=8)
    assert repeated == 8 * kept_once == kv_cache_bytes(model, 4096, 64, "bf16")
    # The price: attention weights on every rank, 11.41B parameters for 61 layers
    extra = weights_bytes_per_gpu(model, "bf16", 8, 1, 8, attention_data=8) - weights_bytes_per_gpu(
        model, "bf16", 8, 1, 8
    )
    assert 0 < extra < 2 * 11_413_547_008


@pytest.mark.parametrize("attention_data", [0, 3, 16])
def test_attention_groups_divide_the_tensor_degree(attention_data: int) -> None:
    model = load_model("deepseek-r1")
    with pytest.raises(ValueError, match="attention_data"):
        kv_cache_bytes_per_gpu(model, 1, 1, "bf16", 8, 1, attention_data=attention_data)
    with pytest.raises(ValueError, match="attention_data"):
        weights_bytes_per_gpu(model, "bf16", 8, 1, 1, attention_data=attention_data)


def test_fp8_scales_of_blocks_are_four_bytes_in_16384() -> None:
    # DeepSeek-V3, arXiv 2412.19437, section 3.3.2: 128 x 128 blocks
    model = load_model("deepseek-r1")
    blocks, whole = weights_bytes(model, "fp8"), weights_bytes(model, "fp8", fp8_scales="tensor")
    assert (blocks - whole) / whole == pytest.approx(4 / 16384, rel=0.01)


@pytest.mark.parametrize("name", SAMPLE)
def test_int8_is_never_more_than_16_bits(name: str) -> None:
    held = model_size(load_model(name)).weights_bytes_by_precision
    assert held["int8"] <= held["bf16"] <= held["fp32"]
    assert held["int4"] <= held["int8"]
    assert held["fp8 per tensor"] <= held["fp8"] <= held["bf16"]


def test_tied_head_counts_once() -> None:
    # Qwen3-0.6B: 596,049,920 with the 151936 x 1024 embedding as head; the same matrix again when untied
    config = preset_config("Qwen/Qwen3-0.6B")
    assert isinstance(config, dict)
    tied = read_config({**config, "tie_word_embeddings": True}, "tied")
    untied = read_config({**config, "tie_word_embeddings": False}, "untied")
    assert tied.total_parameters == 596_049_920
    assert untied.total_parameters - tied.total_parameters == 151_936 * 1024
    assert weights_bytes(tied, "bf16") == 2 * 596_049_920


@given(
    name=st.sampled_from(SAMPLE),
    tokens=st.integers(0, 200_000),
    sequences=st.integers(0, 64),
    block=st.sampled_from((1, 16, 64)),
    tensor=st.sampled_from((1, 2, 4, 8)),
)
def test_whole_blocks_never_hold_less(name: str, tokens: int, sequences: int, block: int, tensor: int) -> None:
    model = load_model(name)
    exact = kv_cache_bytes(model, tokens, sequences, "bf16")
    paged = kv_cache_bytes(model, tokens, sequences, "bf16", block_tokens=block)
    assert exact <= paged <= kv_cache_bytes(model, tokens + block, sequences, "bf16", block_tokens=block)
    shared = kv_cache_bytes_per_gpu(
        model, tokens, sequences, "bf16", tensor, 1, attention_data=tensor, block_tokens=block
    )
    assert shared * tensor >= paged


@given(
    context=st.integers(1, 8192),
    concurrency=st.integers(1, 64),
    name=st.sampled_from(("meta-llama/Llama-3.1-8B", "mistralai/Mixtral-8x7B-v0.1")),
)
def test_more_to_hold_never_takes_fewer_gpus(context: int, concurrency: int, name: str) -> None:
    model, memory = load_model(name), gpu("A100-40GB")
    few = smallest_serving(model, Serving("bf16", "bf16", context, concurrency), memory)
    more = smallest_serving(model, Serving("bf16", "bf16", 2 * context, concurrency), memory)
    assert few is not None
    assert more is None or few.gpus <= more.gpus


def test_gpu_memory_is_what_the_catalog_reports() -> None:
    catalog = Catalog.load()
    for memory in gpu_memories():
        types = [offered for offered in catalog.instance_types.values() if offered.gpu == memory.name]
        reported = [offered.gpu_memory_mib * 2**20 for offered in types]
        assert memory.memory_bytes == min(reported, default=int(catalog.gpu(memory.name).memory_gb * 1e9))
        assert memory.gpus_per_node == max((offered.gpus for offered in types), default=NODE_GPUS)
    assert [memory.name for memory in gpu_memories()] == list(catalog.gpus)


@pytest.mark.parametrize("options", [[], ["--json"], ["--guide"]])
def test_size_starts_without_what_only_planning_needs(options: list[str]) -> None:
    code = (
        "import sys; from llmcluster.cli import cli; "
        f"cli(['size', 'deepseek-r1', *{options}], standalone_mode=False); "
        "print(sorted({'pydantic', 'rich', 'planner.spec', 'planner.plan.plan'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
