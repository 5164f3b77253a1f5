"""Training memory against profiled runs: Korthikanti et al. 2022 (arXiv 2205.05198), Tables 2 to 4, and ZeRO."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.plan import Layout
from planner.sizing.activations import activation_bytes, in_flight_micro_batches
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import training_memory
from provider_catalog.model_config.reader import read_config
from provider_catalog.models import load_model

GIB = 2**30


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
    ours = activation_bytes(stage, layout, 2048, hidden, micro_batches=280, flash_attention=flash) / GIB
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
