"""Training memory against profiled runs and published figures, and properties of any layout."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.performance import TrainingPerformance
from planner.search.optimizer import plan
from planner.sizing.activations import activation_bytes, in_flight_micro_batches
from planner.sizing.adapters import BLOCKS
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import rank_parameters, training_memory
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.model_config.reader import read_config
from provider_catalog.models import load_model

GIB = 2**30

MODELS = (
    "huggyllama/llama-7b",
    "openai-community/gpt2-xl",
    "google/gemma-2-9b",
    "Qwen/Qwen3-30B-A3B",
    "deepseek-ai/DeepSeek-V2-Lite",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "nvidia/Nemotron-H-56B-Base-8K",
)
PROFILES = {name: ModelProfile.of(load_model(name, None)) for name in MODELS}


def gpt(hidden: int, layers: int, heads: int) -> ModelProfile:
    """The GPT of the Megatron papers: 51,200 tokens, sequences of 2,048."""
    config = {
        "model_type": "gpt2",
        "n_embd": hidden,
        "n_layer": layers,
        "n_head": heads,
        "vocab_size": 51200,
        "n_positions": 2048,
    }
    return ModelProfile.of(read_config(config, f"gpt-{hidden}"))


@pytest.mark.parametrize(
    ("profile", "layout", "flash", "measured_gib"),
    [
        # 22B, 8-way tensor parallel, micro-batch 4; 530B, 8 x 35 stages x 3 chunks, micro-batch 1
        (gpt(6144, 48, 64), Layout(tensor=8, micro_batch=4), False, 59.25),
        (gpt(6144, 48, 64), Layout(tensor=8, micro_batch=4, sequence_parallel=True), True, 9.5625),
        (gpt(20480, 105, 128), Layout(tensor=8, pipeline=35, virtual_stages=3), False, 114.0234375),
        (
            gpt(20480, 105, 128),
            Layout(tensor=8, pipeline=35, virtual_stages=3, sequence_parallel=True),
            True,
            23.0762,
        ),
    ],
)
def test_activations_match_profiled_megatron(
    profile: ModelProfile, layout: Layout, flash: bool, measured_gib: float
) -> None:
    stage = profile.stages(layout.pipeline)[0]
    hidden = profile.architecture.hidden_size
    one = activation_bytes(stage, layout, 2048, hidden, flash_attention=flash)
    ours = one * in_flight_micro_batches(layout, micro_batches=280) / GIB
    assert ours == pytest.approx(measured_gib, rel=0.05)


@pytest.mark.parametrize(
    ("profile", "layout", "measured_gib"),
    [
        (gpt(6144, 48, 64), Layout(tensor=8, micro_batch=4), 45.5625),
        (gpt(20480, 105, 128), Layout(tensor=8, pipeline=35, virtual_stages=3), 31.640625),
    ],
)
def test_weights_gradients_and_optimizer_match_profiled_megatron(
    profile: ModelProfile, layout: Layout, measured_gib: float
) -> None:
    memory = training_memory(profile, layout, 2048, 280, 80 * GIB)
    state = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    # The published figure counts layers only; the embedding of the first stage is ours on top.
    embedding = 18 * profile.embedding_stage_parameters / layout.tensor
    assert (state - embedding) / GIB == pytest.approx(measured_gib, rel=0.05)


def test_zero_3_divides_all_state_by_the_data_parallel_degree() -> None:
    # ZeRO (arXiv 1910.02054), Figure 1: 7.5B parameters, K = 12, 64 ranks: 120 GB without, 1.9 GB with stage 3. With
    # 4-byte gradients the 16 bytes a parameter of the paper are 18.
    profile = gpt(4096, 36, 32)
    parameters = profile.architecture.total_parameters
    whole = training_memory(profile, Layout(data=64), 2048, 1, 80 * GIB)
    state = whole.weights_bytes + whole.gradients_bytes + whole.optimizer_bytes
    assert state == pytest.approx(18 * parameters, rel=0.01)
    sharded = training_memory(profile, Layout(data=64, zero_stage=3), 2048, 1, 80 * GIB)
    kept = sharded.weights_bytes + sharded.gradients_bytes + sharded.optimizer_bytes
    assert kept == pytest.approx(18 * parameters / 64, rel=0.01)


def test_first_stage_holds_as_many_micro_batches_as_there_are_stages() -> None:
    # 1F1B (Narayanan et al. 2021, arXiv 2104.04473, section 2.2.1): at most p in flight, never more than exist.
    assert in_flight_micro_batches(Layout(pipeline=8), micro_batches=64) == 8
    assert in_flight_micro_batches(Layout(pipeline=8), micro_batches=64, stage_index=7) == 1
    assert in_flight_micro_batches(Layout(pipeline=8), micro_batches=3) == 3


@settings(max_examples=60, deadline=None)
@given(
    tensor=st.sampled_from([1, 2, 4, 8]),
    pipeline=st.sampled_from([1, 2, 3, 5, 8, 16]),
    name=st.sampled_from(["deepseek-ai/DeepSeek-V2-Lite", "huggyllama/llama-65b", "Qwen/Qwen3-30B-A3B"]),
)
def test_stages_lose_no_parameter(tensor: int, pipeline: int, name: str) -> None:
    profile = ModelProfile.of(load_model(name, None))
    stages = profile.stages(pipeline)
    held = sum(stage.dense_parameters + stage.expert_parameters for stage in stages)
    architecture = profile.architecture
    outside = architecture.embedding_parameters + architecture.head_parameters + architecture.other_parameters
    assert held + outside == architecture.total_parameters
    assert sum(stage.layers for stage in stages) == architecture.layer_count


@settings(max_examples=60, deadline=None)
@given(micro_batch=st.sampled_from([1, 2, 4]), sequence=st.sampled_from([1024, 2048, 4096]))
def test_more_tokens_never_take_less_memory(micro_batch: int, sequence: int) -> None:
    profile = ModelProfile.of(load_model("meta-llama/Llama-2-7b-hf", None))
    smaller = training_memory(profile, Layout(micro_batch=micro_batch), sequence, 8, 80 * GIB)
    longer = training_memory(profile, Layout(micro_batch=micro_batch), 2 * sequence, 8, 80 * GIB)
    wider = training_memory(profile, Layout(micro_batch=2 * micro_batch), sequence, 8, 80 * GIB)
    assert smaller.total_bytes < longer.total_bytes
    assert smaller.total_bytes < wider.total_bytes


Case = tuple[str, dict[str, Any], dict[str, Any]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw the arguments of training_memory."""
    name = draw(st.sampled_from(MODELS))
    layout = {
        "tensor": draw(st.sampled_from([1, 2, 4, 8])),
        "pipeline": draw(st.sampled_from([1, 2, 4, 7])),
        "context": draw(st.sampled_from([1, 2])),
        "data": draw(st.sampled_from([1, 3, 8, 64])),
        "expert": draw(st.sampled_from([1, 4, 8])),
        "micro_batch": draw(st.sampled_from([1, 2])),
        "virtual_stages": draw(st.sampled_from([1, 2])),
        "zero_stage": draw(st.sampled_from([0, 1, 2, 3])),
        "recompute": draw(st.sampled_from(["none", "selective", "full"])),
        "sequence_parallel": draw(st.booleans()),
        "schedule": draw(st.sampled_from(["1f1b", "interleaved", "zero-bubble", "dualpipe"])),
    }
    rules = StateRules(
        optimizer=draw(st.sampled_from(["adamw", "adamw-bf16-moments", "adamw-8bit", "adafactor", "muon"])),
        method=draw(st.sampled_from(["full", "lora", "qlora"])),
    )
    rest = {
        "sequence_length": draw(st.sampled_from([512, 4096])),
        "micro_batches": draw(st.sampled_from([1, 4, 64])),
        "flash_attention": draw(st.booleans()),
        "rules": rules,
    }
    return name, layout, rest


def size(name: str, layout: dict[str, Any], rest: dict[str, Any]) -> MemoryPerGpu:
    return training_memory(PROFILES[name], Layout(**layout), capacity_bytes=80 * GIB, **rest)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_parts_are_never_negative_and_sum_to_the_whole(
    case: Case,
) -> None:
    memory = size(*case)
    parts = (
        memory.weights_bytes,
        memory.kv_cache_bytes,
        memory.activations_bytes,
        memory.gradients_bytes,
        memory.optimizer_bytes,
        memory.overhead_bytes,
    )
    assert min(parts) >= 0
    assert min(memory.overhead.values()) > 0
    assert sum(parts) == memory.total_bytes
    assert sum(memory.overhead.values()) == memory.overhead_bytes


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_a_higher_zero_stage_never_takes_more(case: Case) -> None:
    name, layout, rest = case
    totals = [size(name, layout | {"zero_stage": stage}, rest).total_bytes for stage in (3, 2, 1, 0)]
    # Every part is cut to whole bytes.
    assert all(more <= less + 8 for more, less in pairwise(totals))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_more_recompute_never_takes_more(case: Case) -> None:
    name, layout, rest = case
    totals = [size(name, layout | {"recompute": kind}, rest).total_bytes for kind in ("full", "selective", "none")]
    assert all(more <= less + 8 for more, less in pairwise(totals))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(case=cases(), field=st.sampled_from(["sequence_length", "micro_batch"]))
def test_longer_and_wider_never_takes_less(case: Case, field: str) -> None:
    name, layout, rest = case
    here = size(name, layout, rest).total_bytes
    if field == "micro_batch":
        assert size(name, layout | {field: 2 * layout[field]}, rest).total_bytes > here
    else:
        assert size(name, layout, rest | {field: 2 * rest[field]}).total_bytes > here


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_smaller_state_takes_less(case: Case) -> None:
    name, layout, rest = case

    def total(**rules: Any) -> int:
        return size(name, layout, rest | {"rules": StateRules(**rules)}).total_bytes

    def state(**rules: Any) -> int:
        memory = size(name, layout, rest | {"rules": StateRules(**rules)})
        return memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes

    assert total(optimizer="adamw-8bit") < total(optimizer="adamw-bf16-moments") < total(optimizer="adamw")
    assert total(optimizer="adafactor") < total(optimizer="adamw")
    assert total(optimizer="muon") < total(optimizer="adamw")
    assert total(gradient_bytes=2) < total(gradient_bytes=4)
    assert state(method="lora") < state(method="full")
    assert (
        total(method="lora", adapters=BLOCKS["attention"]) <= total(method="lora") < total(method="lora", lora_rank=32)
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("tensor", "pipeline", "experts"), [(1, 1, 1), (1, 4, 8), (2, 1, 1), (2, 4, 4)])
def test_the_ranks_hold_the_whole_model(name: str, tensor: int, pipeline: int, experts: int) -> None:
    profile = PROFILES[name]
    architecture = profile.architecture
    held = copies = 0.0
    for stage in profile.stages(pipeline):
        parameters = rank_parameters(profile, (stage,), tensor, experts)
        held += tensor * parameters.dense + tensor * experts * parameters.expert
        copies += (tensor - 1) * stage.replicated_parameters
    if pipeline > 1 and architecture.tied_embeddings:
        copies += architecture.embedding_parameters
    assert held - copies == pytest.approx(architecture.total_parameters, rel=1e-9)


@pytest.mark.parametrize(
    ("profile", "layout", "sequence_parallel", "selective", "full"),
    [
        # Profiled activation memory over that without recompute and sequence parallelism: Korthikanti et al. 2022,
        # Figure 7, as carried in the validation set of Calculon (Isaev et al., SC'23)
        (gpt(6144, 48, 64), {"tensor": 8, "micro_batch": 4}, 0.6684, 0.4942, 0.0764),
        (gpt(20480, 105, 128), {"tensor": 8, "pipeline": 35, "virtual_stages": 3}, 0.5831, 0.6204, 0.0942),
    ],
)
def test_activation_savings_match_profiled_megatron(
    profile: ModelProfile, layout: dict[str, Any], sequence_parallel: float, selective: float, full: float
) -> None:
    def kept(**change: Any) -> int:
        return training_memory(profile, Layout(**layout, **change), 2048, 280, 80 * GIB, False).activations_bytes

    assert kept(sequence_parallel=True) / kept() == pytest.approx(sequence_parallel, rel=0.05)
    assert kept(recompute="selective") / kept() == pytest.approx(selective, rel=0.05)
    assert kept(recompute="full") / kept() == pytest.approx(full, rel=0.05)


@pytest.mark.parametrize(
    ("profile", "layout"),
    [
        (gpt(6144, 48, 64), {"tensor": 8, "micro_batch": 4}),
        (gpt(20480, 105, 128), {"tensor": 8, "pipeline": 35, "virtual_stages": 3}),
    ],
)
def test_both_techniques_together_save_a_factor_of_five(profile: ModelProfile, layout: dict[str, Any]) -> None:
    # Korthikanti et al. 2022 (arXiv 2205.05198), abstract; the second model comes to 4.9.
    base = training_memory(profile, Layout(**layout), 2048, 280, 80 * GIB, False).activations_bytes
    both = Layout(**layout, sequence_parallel=True, recompute="selective")
    assert base / training_memory(profile, both, 2048, 280, 80 * GIB, False).activations_bytes > 4.9


@pytest.mark.parametrize(
    ("rules", "bytes_per_parameter", "tolerance"),
    [
        # ZeRO, arXiv 1910.02054, section 3.1: 2 + 2 + 12; Megatron-LM accumulates gradients in 4 bytes
        ({"gradient_bytes": 2}, 16, 0.001),
        ({}, 18, 0.001),
        # DeepSeek-V3, arXiv 2412.19437, section 3.3.3: bf16 moments, fp32 master weights and gradients
        ({"optimizer": "adamw-bf16-moments"}, 14, 0.001),
        # Dettmers et al. 2021, arXiv 2110.02861: a quarter of the 8 bytes of both moments
        ({"optimizer": "adamw-8bit"}, 12, 0.01),
        # Liu et al. 2025, arXiv 2502.16982, section 2.3: half the optimizer state of AdamW, but for the embeddings
        ({"optimizer": "muon"}, 14, 0.02),
        # Shazeer and Stern 2018, arXiv 1804.04235: sublinear in the matrix
        ({"optimizer": "adafactor"}, 10, 0.001),
    ],
)
def test_the_training_state_of_llama_7b_takes_the_published_bytes_per_parameter(
    rules: dict[str, Any], bytes_per_parameter: float, tolerance: float
) -> None:
    profile = PROFILES["huggyllama/llama-7b"]
    memory = training_memory(profile, Layout(), 2048, 8, 80 * GIB, rules=StateRules(**rules))
    state = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    assert state / profile.architecture.total_parameters == pytest.approx(bytes_per_parameter, rel=tolerance)


def test_qlora_finetunes_65b_on_one_48_gb_gpu() -> None:
    # Dettmers et al. 2023 (arXiv 2305.14314), abstract: 65B on a single 48 GB GPU, against more than 780 GB of 16-bit
    # finetuning; with gradient checkpointing.
    profile = ModelProfile.of(load_model("huggyllama/llama-65b", None))
    layout = Layout(recompute="full")
    adapters = training_memory(profile, layout, 512, 16, 48 * 10**9, rules=StateRules(method="qlora"))
    assert adapters.total_bytes < 48e9
    # Section 3: 4.127 bits a parameter of the linear layers
    assert adapters.weights_bytes > profile.architecture.total_parameters * 4.127 / 8
    assert training_memory(profile, layout, 512, 16, 48 * 10**9).total_bytes > 780e9


def test_lora_of_gpt3_has_the_papers_number_of_parameters() -> None:
    # Hu et al. 2021 (arXiv 2106.09685), Table 5: rank 2 on all four attention matrices of GPT-3 175B are 18M.
    profile = ModelProfile.of(load_model("openai/gpt3-175b", None))
    assert 2 * sum(layer.attention_edges for layer in profile.layers) == pytest.approx(18e6, rel=0.05)


def test_interleaved_and_two_way_schedules_hold_the_papers_micro_batches() -> None:
    # Korthikanti et al. 2022, section 4.2.3: 1 + (p-1)/(p·v) times the first stage of 1F1B
    interleaved = Layout(pipeline=35, virtual_stages=3, schedule="interleaved")
    assert in_flight_micro_batches(interleaved, 280) == pytest.approx(35 * (1 + 34 / 105))
    # DeepSeek-V3 (arXiv 2412.19437), Table 2: DualPipe holds p + 1 micro-batches and twice the parameters
    dualpipe = Layout(pipeline=16, schedule="dualpipe")
    assert in_flight_micro_batches(dualpipe, 64, 2) + in_flight_micro_batches(dualpipe, 64, 13) == 17
    profile = gpt(4096, 32, 32)
    plain = training_memory(profile, Layout(pipeline=16), 2048, 64, 80 * GIB)
    both = training_memory(profile, dualpipe, 2048, 64, 80 * GIB)
    embeddings = profile.embedding_stage_parameters + profile.head_stage_parameters
    in_layers = profile.architecture.total_parameters - profile.embedding_stage_parameters
    assert plain.weights_bytes == pytest.approx(2 * (in_layers / 16 + profile.embedding_stage_parameters), rel=0.01)
    assert both.weights_bytes < 2 * 2 * (in_layers / 16 + embeddings)
    assert both.activations_bytes == pytest.approx(17 / 16 * plain.activations_bytes, rel=0.001)
    assert "DualPipe" in both.rank


def test_the_last_stage_is_the_fullest_when_its_logits_are() -> None:
    profile = ModelProfile.of(load_model("meta-llama/Llama-3.2-1B", None))
    layout = Layout(pipeline=2, recompute="full", zero_stage=1, data=8)
    memory = training_memory(profile, layout, 65536, 16, 80 * GIB)
    assert memory.rank == "last of 2 pipeline stages"
    # bf16 and fp32 for each of the 128,256 entries of the vocabulary
    assert memory.overhead["logits"] == 65536 * 128_256 * 6


def finetune(**workload: Any) -> Any:
    document = {"name": "run", "model": "huggyllama/llama-7b", "workload": {"tokens": 1e8, **workload}}
    return read_spec(document, "spec").workload


def test_adapters_belong_to_finetuning() -> None:
    adapted = StateRules.of(
        finetune(kind="finetuning", method="qlora", lora_rank=64), load_model("huggyllama/llama-7b", None)
    )
    assert adapted.lora_rank == 64
    with pytest.raises(Exception, match=r"method is lora, but kind is training.*kind: finetuning"):
        finetune(kind="training", method="lora")
    with pytest.raises(Exception, match="lora_rank is given, but method is full"):
        finetune(kind="finetuning", lora_rank=8)


def test_adapters_take_two_thirds_of_the_time_and_their_own() -> None:
    # Frozen weights need no weight gradient: 4 instead of 6 FLOPs a parameter and token, so a third of the work goes.
    # Measured: 0.68 to 0.70 with fused kernels (NeMo 24.12, Llama 2 7B to 70B, LoRA over SFT); with PEFT, Qwen 1.8B at
    # 8,192 tokens took 6.8 s with recompute against 5.6 s in full without (Qwen README.md), which is 0.87 without.
    architecture = load_model("huggyllama/llama-7b", None)

    def performance(method: str) -> TrainingPerformance:
        document = {
            "name": "run",
            "model": "huggyllama/llama-7b",
            "workload": {"kind": "finetuning", "tokens": 1e9, "sequence_length": 2048, "method": method},
            "pin": {
                "node": {"gpu": "A100-80GB", "gpus": 8, "nic_gbit_per_s": 1600},
                "nodes": 1,
                "layout": {"tensor": 1, "pipeline": 1, "micro_batch": 1, "zero_stage": 1, "recompute": "none"},
            },
        }
        found = plan(read_spec(document, "spec"), architecture, Catalog.load()).performance
        assert isinstance(found, TrainingPerformance)
        return found

    full, lora, qlora = (performance(method) for method in ("full", "lora", "qlora"))
    assert 0.68 < lora.gpu_hours / full.gpu_hours < 0.87
    frozen = {"adapters", "stragglers"}
    without = sum(seconds for part, seconds in lora.breakdown_s.items() if part not in frozen)
    assert without / sum(s for part, s in full.breakdown_s.items() if part not in frozen) == pytest.approx(
        2 / 3, rel=0.1
    )
    assert qlora.breakdown_s["dequantization"] > 0
    assert "dequantization" not in lora.breakdown_s
    assert "adapters" not in full.breakdown_s


def test_eager_attention_keeps_the_scores_of_the_whole_sequence_in_windows_too() -> None:
    # Korthikanti et al. 2022 (arXiv 2205.05198), eq. 1: 5·a·s² bytes a layer. A sliding window only masks them. Gemma 2
    # 9B (arXiv 2408.00118, Table 1): 42 layers, every other one windowed, 16 heads.
    profile = PROFILES["google/gemma-2-9b"]
    with_scores = training_memory(profile, Layout(), 8192, 1, 80 * GIB, flash_attention=False).activations_bytes
    without = training_memory(profile, Layout(), 8192, 1, 80 * GIB, flash_attention=True).activations_bytes
    assert with_scores - without == 42 * 5 * 16 * 8192**2


def test_activations_follow_the_shape_of_each_kind_of_layer() -> None:
    def sharded(name: str, layer: int) -> float:
        return ModelProfile.of(load_model(name, None)).layers[layer].sharded_activation_bytes

    # DeepSeek-V3 (arXiv 2412.19437, section 4.2), a dense layer: 128 heads of 192 for queries and expanded keys, of 128
    # for values and output; three inner widths of 18432. 2 bytes each.
    assert sharded("deepseek-ai/DeepSeek-V3", 0) == 2 * (128 * (192 + 192 + 128 + 128) + 3 * 18432)
    # A mixture-of-experts layer: 8 routed experts and a shared one of 2048, routed tokens in and out of width 7168.
    experts = 3 * 2048 + 8 * (3 * 2048 + 2 * 7168)
    assert sharded("deepseek-ai/DeepSeek-V3", 10) == 2 * (128 * (192 + 192 + 128 + 128) + experts)
    # Llama 3 8B (arXiv 2407.21783, Table 3): 32 query and 8 key/value heads of 128, inner width 14336.
    assert sharded("meta-llama/Meta-Llama-3-8B", 0) == 2 * (128 * (32 + 8 + 8 + 32) + 3 * 14336)
    # Nemotron-H 56B (arXiv 2504.03624, Table 1), a Mamba-2 layer: 256 heads of 64, 8 groups of state 256: gate, x, B, C
    # and step of every head, and the output of the scan.
    assert sharded("nvidia/Nemotron-H-56B-Base-8K", 0) == 2 * (2 * 16384 + 2 * 8 * 256 + 256 + 16384)


def test_state_space_and_linear_layers_have_no_scores() -> None:
    hybrid = PROFILES["nvidia/Nemotron-H-56B-Base-8K"]
    with_scores = [layer for layer in hybrid.layers if layer.score_activation_bytes_per_context_token]
    # Table 1 again: 10 of its 118 layers are self-attention.
    assert (len(with_scores), len(hybrid.layers)) == (10, 118)


def test_router_and_latents_are_whole_on_every_tensor_parallel_rank() -> None:
    profile = ModelProfile.of(load_model("deepseek-ai/DeepSeek-V3", None))
    layer = profile.layers[10]
    # Down-projections to 1536 + 512 + 64 and the router of 256 experts at least, of 7168 inputs each.
    whole = 7168 * (1536 + 512 + 64 + 256)
    assert whole <= layer.replicated_parameters <= 1.01 * whole
