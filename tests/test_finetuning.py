"""Fine-tuning against published runs and papers: adapters, data sets, and settings that contradict each other."""

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy_finetuning import PUBLISHED, replay
from benchmarks.accuracy_training import runs
from planner.errors import SpecError
from planner.plan.layout import Layout
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.sizing.adapters import adapter_shares, linear_layers
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import trainable_parameters, training_memory
from planner.spec import TrainingWorkload
from planner.spec.dataset import Dataset
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model


def finetuning(**workload: Any) -> TrainingWorkload:
    return TrainingWorkload(kind="finetuning", **{"tokens": 1e8, **workload})


def planned(model: str, pin: dict[str, Any] | None = None, **workload: Any) -> Plan:
    document = {
        "name": "run",
        "model": model,
        "workload": {"kind": "finetuning", "tokens": 1e7, "sequence_length": 2048, **workload},
        "pin": pin or {},
    }
    return plan(read_spec(document, "spec"), load_model(model, None), Catalog.load())


def test_predicted_throughput_agrees_with_published_finetuning_runs() -> None:
    replays = [replay(run) for run in runs(PUBLISHED)]
    assert statistics.median(abs(one.error) for one in replays) <= 0.15
    memory = [abs(one.memory_error) for one in replays if one.memory_error is not None]
    assert statistics.median(memory) <= 0.10
    assert sum(error <= 0.20 for error in memory) / len(memory) >= 0.9


def test_a_33b_needs_a_paged_optimizer_on_24_gb() -> None:
    # QLoRA (arXiv 2305.14314), appendix G: batch 1, 512 tokens, checkpointing; 33B does not quite fit into 24 GB
    # without paged optimizers. Adapters on all linear layers, rank 64 (Table 9).
    profile = ModelProfile.of(load_model("huggyllama/llama-30b", None))
    layout = Layout(recompute="full")

    def total_gb(optimizer: Any) -> float:
        rules = StateRules(optimizer=optimizer, gradient_bytes=2, method="qlora", lora_rank=64)
        return training_memory(profile, layout, 512, 16, 24 * 10**9, rules=rules).total_bytes / 1e9

    assert total_gb("adamw") > 24 > total_gb("paged-adamw")


def test_lora_leaves_of_gpt3_little_more_than_its_weights() -> None:
    # LoRA (arXiv 2106.09685), section 4.2: 350 GB instead of 1.2 TB on GPT-3 175B; checkpoints of 35 MB with rank 4 on
    # queries and values, in 16 bits.
    architecture = load_model("openai/gpt3-175b", None)
    profile = ModelProfile.of(architecture)
    rules = StateRules.of(finetuning(method="lora", lora_rank=4, lora_targets=("q_proj", "v_proj")), architecture)
    memory = training_memory(profile, Layout(recompute="full"), 2048, 1, 80 * 10**9, rules=rules)
    state = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    assert state == pytest.approx(350e9, rel=0.01)
    assert 2 * sum(trainable_parameters(profile, rules)) == pytest.approx(35e6, rel=0.1)


@pytest.mark.parametrize(
    ("model", "rank", "targets", "millions"),
    [
        # Hu et al. 2021, Table 5: GPT-3 175B with 18M parameters: rank 8 on queries, rank 4 on queries and values,
        # rank 2 on all four
        ("openai/gpt3-175b", 8, ("q_proj",), 18.9),
        ("openai/gpt3-175b", 4, ("q_proj", "v_proj"), 18.9),
        ("openai/gpt3-175b", 2, "attention", 18.9),
        # PEFT prints 20,971,520 trainable parameters for rank 8 on all linear layers of Llama 3 8B
        ("meta-llama/Meta-Llama-3-8B", 8, "attention-and-mlp", 20.971520),
        # and 4,194,304 for rank 8 on q_proj and v_proj of Llama 7B
        ("huggyllama/llama-7b", 8, ("q_proj", "v_proj"), 4.194304),
    ],
)
def test_lora_trains_the_published_number_of_parameters(model: str, rank: int, targets: Any, millions: float) -> None:
    architecture = load_model(model, None)
    rules = StateRules.of(finetuning(method="lora", lora_rank=rank, lora_targets=targets), architecture)
    assert sum(trainable_parameters(ModelProfile.of(architecture), rules)) / 1e6 == pytest.approx(millions, rel=0.002)


@pytest.mark.parametrize(
    "model", ["deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-30B-A3B", "huggyllama/llama-7b", "google/gemma-2-9b"]
)
def test_naming_all_layers_is_naming_the_blocks(model: str) -> None:
    architecture = load_model(model, None)
    profile = ModelProfile.of(architecture)
    names = {layer.name for group in architecture.layers for layer in linear_layers(group)}

    def trained(targets: Any) -> tuple[float, float]:
        rules = StateRules.of(finetuning(method="lora", lora_targets=targets), architecture)
        return trainable_parameters(profile, rules)

    assert trained(tuple(sorted(names))) == pytest.approx(trained("attention-and-mlp"))
    one_by_one = [trained((name,)) for name in sorted(names)]
    assert [sum(part) for part in zip(*one_by_one, strict=True)] == pytest.approx(trained("attention-and-mlp"))


def test_adapters_of_experts_cost_memory_and_time() -> None:
    # All 128 experts of a layer hold adapters, of which a token trains 8.
    pin = {"node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200}, "nodes": 1}

    def found(targets: Any) -> tuple[TrainingPerformance, float]:
        decided = planned("Qwen/Qwen3-30B-A3B", pin, method="lora", lora_targets=targets)
        assert isinstance(decided.performance, TrainingPerformance)
        return decided.performance, decided.memory_per_gpu.total_bytes

    (attention, attention_bytes), (everything, every_bytes) = found("attention"), found("attention-and-mlp")
    assert attention.gpu_hours < everything.gpu_hours
    assert attention_bytes < every_bytes


@pytest.mark.slow
@pytest.mark.parametrize(("model", "gpu_gb"), [("huggyllama/llama-65b", 48), ("huggyllama/llama-30b", 24)])
def test_qlora_fits_on_the_single_gpu_of_the_paper(model: str, gpu_gb: float) -> None:
    # QLoRA (arXiv 2305.14314), section 5: 65B on one 48 GB GPU in 24 hours, 33B on one of 24 GB in 12; rank 64 on all
    # layers, 1,875 steps of 16 examples of up to 528 tokens (Table 9 and finetune_guanaco_65b.sh).
    decided = planned(
        model,
        method="qlora",
        lora_rank=64,
        optimizer="paged-adamw",
        gradient_precision="bf16",
        tokens=1875 * 16 * 528,
        sequence_length=528,
        global_batch_tokens=16 * 528,
        deadline_days=7,
    )
    smallest = decided.smallest
    assert smallest is not None
    assert smallest.gpus == 1
    kind = Catalog.load().instance_type(smallest.provider, smallest.instance_type)
    assert Catalog.load().gpu(kind.gpu).memory_gb <= gpu_gb


@pytest.mark.parametrize(
    ("workload", "told"),
    [
        ({"method": "lora", "lora_rank": 4096}, ["lora_rank is 4096", "k_proj", "4096 x 1024", "up to 1024"]),
        ({"method": "lora", "lora_targets": ["q_pro"]}, ["lora_targets[0]", "q_pro", "did you mean 'q_proj'"]),
        ({"method": "qlora", "lora_targets": ["kv_b_proj"]}, ["kv_b_proj", "does not have", "q_proj, k_proj"]),
    ],
)
def test_adapters_that_the_model_has_no_place_for(workload: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        planned("meta-llama/Meta-Llama-3-8B", None, **workload)
    assert all(part in str(caught.value) for part in told)


@pytest.mark.parametrize(
    ("workload", "told"),
    [
        ({"tokens": None}, ["give either tokens, or dataset", "neither"]),
        ({"dataset": {"examples": 10, "tokens_per_example": 5}}, ["give either tokens, or dataset", "both"]),
        (
            {"tokens": None, "dataset": {"examples": 10, "tokens_per_example": 5, "epochs": 0}},
            ["epochs", "more than 0"],
        ),
        ({"tokens": None, "dataset": {"examples": 0, "tokens_per_example": 5}}, ["examples", "more than 0"]),
        ({"tokens": None, "dataset": {"examples": 1, "tokens_per_example": []}}, ["tokens_per_example"]),
        ({"optimizer": "paged-adamw"}, ["paged-adamw", "method is full"]),
        ({"every_days": 7, "deadline_days": 10}, ["deadline_days is 10", "every 7 days", "up to 7"]),
        ({"every_days": 0}, ["every_days", "at least 0.1"]),
    ],
)
def test_contradictory_finetuning_settings_are_refused(workload: dict[str, Any], told: list[str]) -> None:
    document = {"name": "run", "model": "huggyllama/llama-7b", "workload": {"kind": "finetuning", "tokens": 1e7}}
    document["workload"] = {**document["workload"], **workload}  # type: ignore[dict-item]
    with pytest.raises(SpecError) as caught:
        read_spec(document, "spec.yaml")
    assert all(part in str(caught.value) for part in told)


def test_a_data_set_trains_on_its_tokens_and_pays_for_padding() -> None:
    # OASST1 in QLoRA (arXiv 2305.14314, Table 9): 9,209 examples
    data = Dataset(examples=9209, tokens_per_example=300, epochs=3)
    assert data.computed_tokens(512) == data.useful_tokens(512) == 9209 * 300 * 3
    padded = data.model_copy(update={"packing": "padded"})
    assert padded.computed_tokens(512) == 9209 * 512 * 3
    # Two of 300 do not fit into 512, as long as an example is not cut: each takes a sequence.
    assert Dataset(examples=9209, tokens_per_example=(300,)).computed_tokens(512) == 9209 * 512
    # One of 300 and one of 200 do.
    assert Dataset(examples=1000, tokens_per_example=(300, 200)).computed_tokens(512) == 500 * 512
    # What is longer than a sequence is cut.
    assert Dataset(examples=10, tokens_per_example=5000).computed_tokens(512) == 10 * 512


@given(
    lengths=st.lists(st.floats(1, 4096), min_size=1, max_size=40),
    sequence_length=st.integers(256, 8192),
    epochs=st.floats(0.1, 10),
)
def test_packing_loses_no_token_and_never_more_than_padding(
    lengths: list[float], sequence_length: int, epochs: float
) -> None:
    data = Dataset(examples=1000, tokens_per_example=tuple(lengths), epochs=epochs)
    padded = data.model_copy(update={"packing": "padded"}).computed_tokens(sequence_length)
    useful, packed = data.useful_tokens(sequence_length), data.computed_tokens(sequence_length)
    assert useful <= packed * (1 + 1e-9)
    assert packed <= padded * (1 + 1e-9)
    # No two sequences are at most half full, so that best fit wastes less than half but for the last one.
    assert packed <= 2 * useful + epochs * sequence_length


def test_padding_is_paid_for() -> None:
    def days(**data: Any) -> float:
        decided = planned(
            "huggyllama/llama-7b",
            {"node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200}, "nodes": 1},
            tokens=None,
            dataset={"examples": 1_000_000, "tokens_per_example": 512, **data},
        )
        assert isinstance(decided.performance, TrainingPerformance)
        return decided.performance.days

    assert days(packing="padded") == pytest.approx(4 * days(), rel=0.01)
    assert days(epochs=3) == pytest.approx(3 * days(), rel=0.01)


def test_shares_are_of_what_the_model_has() -> None:
    llama = load_model("meta-llama/Meta-Llama-3-8B", None)
    shares = adapter_shares(finetuning(method="lora", lora_targets=("q_proj", "o_proj")), llama)
    # 2 x 8,192 of 2 x 8,192 and 2 x 5,120 (Llama 3 8B: 32 heads and 8 key/value heads of 128)
    assert shares.attention == pytest.approx(16384 / (16384 + 10240))
    assert shares.feed_forward == 0
