"""Training plans against published runs, and properties of any plan."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy_training import architecture, replay, runs, spec_of
from planner.errors import InfeasibleError, SpecError
from planner.plan.layout import Layout
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import training_memory
from planner.spec.reader import read_spec
from planner.training.peak_gpu_memory import PeakGpuMemory
from planner.training.pipeline_schedule import StageTime, bubble_s
from planner.training.replica_layout import ReplicaLayout
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

RUNS = {run["name"]: run for run in runs()}


def train(model: ModelArchitecture, workload: dict[str, Any], **rest: Any) -> Plan:
    document = {"name": "run", "model": "m", "workload": {"kind": "training", **workload}, **rest}
    return plan(read_spec(document, "spec"), model, Catalog.load())


def performance_of(decided: Plan) -> TrainingPerformance:
    assert isinstance(decided.performance, TrainingPerformance)
    return decided.performance


@pytest.mark.parametrize(
    ("family", "within"),
    [
        ("megatron-2021", 0.15),
        ("korthikanti-2022", 0.2),
        ("llama-1", 0.2),
        ("bloom", 0.1),
        ("opt", 0.15),
        ("gpt-neox", 0.15),
        ("megascale", 0.15),
        ("nemotron", 0.15),
        ("megatron-core", 0.2),
        ("deepseek", 0.2),
    ],
)
def test_predicted_step_times_agree_with_published_runs(family: str, within: float) -> None:
    errors = {name: replay(run).error for name, run in RUNS.items() if run["family"] == family}
    assert errors
    assert {name: error for name, error in errors.items() if abs(error) > within} == {}


def test_llama_3_405b_without_a_pinned_schedule() -> None:
    # Llama 3 herd (arXiv 2407.21783), Table 4: 43 % MFU on 8,192 H100, stages interleaved, 126 layers on 16 stages
    one = replay(RUNS["llama-3.1-405b-8k"])
    assert one.performance.mfu == pytest.approx(0.43, abs=0.04)
    assert one.layout.schedule == "interleaved"


def test_bubbles_are_those_of_the_papers() -> None:
    # F = B = W = 1 on 8 stages: Narayanan et al. 2021, 2.2; Qi et al. 2023, Table 2; DeepSeek-V3, Table 2
    stage = StageTime(forward=1, backward=1, weights=1)
    assert bubble_s("1f1b", 8, 1, stage, 64) == 7 * 3
    assert bubble_s("interleaved", 8, 4, stage, 64) == pytest.approx(7 * 3 / 4)
    assert bubble_s("zero-bubble", 8, 1, stage, 64) == 0
    assert bubble_s("dualpipe", 8, 1, stage, 64) == (8 / 2 - 1) * (3 + 2 - 3)


def test_goodput_agrees_with_the_llama_3_run() -> None:
    # Llama 3 herd (arXiv 2407.21783), section 3.3.4: more than 90 % effective training time on 16,384 GPUs
    assert 0.80 <= replay(RUNS["llama-3.1-405b-16k"]).performance.goodput <= 0.95


ON_P4D = {"providers": ["aws"], "regions": ["us-east-1"], "instance_types": ["p4d.24xlarge"]}
LLAMA_13B = load_model("huggyllama/llama-13b", None)


def p4d(tokens: float = 2e11, deadline_days: float = 40, **rest: Any) -> Plan:
    workload = {"tokens": tokens, "sequence_length": 2048, "deadline_days": deadline_days}
    return train(LLAMA_13B, workload, placement=ON_P4D, **rest)


def test_the_deadline_is_met_and_memory_fits() -> None:
    decided = p4d()
    performance = performance_of(decided)
    assert performance.days <= 40
    assert decided.memory_per_gpu.total_bytes <= decided.memory_per_gpu.capacity_bytes
    assert decided.choice.layout.gpus == decided.choice.gpus
    assert sum(performance.breakdown_s.values()) == pytest.approx(performance.step_time_s)


def test_the_front_trades_cost_against_time() -> None:
    front = p4d().pareto
    assert front[0].usd_per_run == p4d().cost.usd_per_run
    assert [point.usd_per_run for point in front] == sorted(point.usd_per_run for point in front)
    assert [point.days for point in front] == sorted((point.days for point in front), reverse=True)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(tokens=st.floats(1e10, 8e11), more=st.floats(1.01, 3))
def test_more_tokens_never_take_less_time_or_money(tokens: float, more: float) -> None:
    nodes = {"nodes": 8}
    few, many = p4d(tokens=tokens, pin=nodes), p4d(tokens=tokens * more, pin=nodes)
    assert performance_of(few).days <= performance_of(many).days
    assert (p4d(tokens=tokens).cost.usd_per_run or 0) <= (p4d(tokens=tokens * more).cost.usd_per_run or 0) * (1 + 1e-9)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(days=st.floats(15, 90), longer=st.floats(1.01, 3))
def test_a_longer_deadline_never_costs_more(days: float, longer: float) -> None:
    short, long = p4d(deadline_days=days), p4d(deadline_days=days * longer)
    assert (long.cost.usd_per_run or 0) <= (short.cost.usd_per_run or 0) * (1 + 1e-9)


@settings(max_examples=12, deadline=None)
@given(
    tensor=st.sampled_from([1, 2, 4, 8]),
    pipeline=st.sampled_from([1, 2, 4, 8]),
    micro_batch=st.sampled_from([1, 2, 4]),
    faster=st.sampled_from([("A100-40GB", "A100-80GB"), ("A100-80GB", "H100"), ("H800", "H100"), ("H100", "B200")]),
)
def test_a_faster_gpu_is_never_slower(tensor: int, pipeline: int, micro_batch: int, faster: tuple[str, str]) -> None:
    def step_s(gpu: str) -> float:
        layout = {"tensor": tensor, "pipeline": pipeline, "micro_batch": micro_batch, "context": 1, "schedule": "1f1b"}
        pin = {"node": {"gpu": gpu, "gpus": 8, "nic_gbit_per_s": 1600}, "nodes": 8}
        fixed = {**layout, "recompute": "full", "zero_stage": 1}
        workload = {"tokens": 1e11, "sequence_length": 2048}
        return performance_of(train(LLAMA_13B, workload, pin={**pin, "layout": fixed})).step_time_s

    assert step_s(faster[1]) <= step_s(faster[0])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    layout=st.fixed_dictionaries(
        {"tensor": st.sampled_from([1, 2, 4, 8]), "pipeline": st.sampled_from([1, 2, 4, 5, 8, 10, 20])},
        optional={
            "micro_batch": st.sampled_from([1, 2, 4, 8]),
            "recompute": st.sampled_from(["none", "selective", "full"]),
            "zero_stage": st.sampled_from([0, 1, 2, 3]),
            "schedule": st.sampled_from(["1f1b", "interleaved"]),
        },
    )
)
def test_the_search_is_never_worse_than_a_layout_pinned_by_hand(layout: dict[str, Any]) -> None:
    free = p4d()
    try:
        pinned = p4d(pin={"nodes": free.choice.nodes, "layout": layout})
    except SpecError:
        return
    fits = pinned.memory_per_gpu.total_bytes <= pinned.memory_per_gpu.capacity_bytes
    if fits and performance_of(pinned).days <= 40:
        assert (free.cost.usd_per_run or 0) <= (pinned.cost.usd_per_run or 0) * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["huggyllama/llama-65b", "deepseek-ai/DeepSeek-V2-Lite", "Qwen/Qwen3-30B-A3B"]),
    layout=st.fixed_dictionaries(
        {
            "tensor": st.sampled_from([1, 2, 4]),
            "pipeline": st.sampled_from([1, 2, 4, 8]),
            "data": st.sampled_from([1, 8, 64]),
            "expert": st.sampled_from([1, 8]),
            "micro_batch": st.sampled_from([1, 2]),
            "zero_stage": st.sampled_from([0, 1, 2, 3]),
            "recompute": st.sampled_from(["none", "selective", "full"]),
            "sequence_parallel": st.booleans(),
            "context": st.sampled_from([1, 2]),
            "schedule": st.sampled_from(["1f1b", "interleaved", "zero-bubble", "dualpipe"]),
            "virtual_stages": st.sampled_from([1, 2]),
        }
    ),
    method=st.sampled_from(["full", "lora", "qlora"]),
)
def test_the_search_sees_the_memory_that_the_plan_shows(name: str, layout: dict[str, Any], method: str) -> None:
    profile, whole, rules = ModelProfile.of(load_model(name, None)), Layout(**layout), StateRules(method=method)  # type: ignore[arg-type]
    fullest = PeakGpuMemory(profile, rules, 4096, True)
    exact = training_memory(profile, whole, 4096, 16, 1, rules=rules).total_bytes
    assert fullest.bytes(ReplicaLayout.of(whole), whole.data, whole.zero_stage, 16) == pytest.approx(exact, abs=64)


@pytest.mark.slow
def test_a_gang_is_bought_one_way() -> None:
    reserved = p4d().choice
    assert reserved.purchase.reserved_nodes == reserved.nodes
    spot = p4d(capacity={"interruption": "tolerate"}).choice
    assert spot.purchase.spot_nodes == spot.nodes


def test_an_impossible_deadline_names_the_nearest() -> None:
    with pytest.raises(InfeasibleError) as raised:
        p4d(tokens=1e15, deadline_days=1)
    assert raised.value.nearest
    assert "nodes" in raised.value.nearest[0].reason


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ({"tensor": 3}, ["pin.layout.tensor", "40 attention heads", "nearest is 2"]),
        ({"pipeline": 41}, ["pin.layout.pipeline", "40 layers", "nearest is 40"]),
        ({"pipeline": 25}, ["pin.layout.pipeline", "40 layers", "nearest is 21"]),
        ({"pipeline": 8, "virtual_stages": 3}, ["pin.layout.virtual_stages", "40 layers", "nearest is 1"]),
        ({"schedule": "1f1b", "virtual_stages": 2}, ["pin.layout.virtual_stages", "pin.layout.schedule"]),
        ({"expert": 2}, ["pin.layout.expert", "no routed experts"]),
        ({"context": 3}, ["pin.layout.context", "2048 tokens", "nearest is 2"]),
        ({"data": 4096}, ["pin.layout.data", "2048 sequences", "nearest is 2048"]),
        ({"tensor": 8, "pipeline": 3}, ["pin.nodes", "32 GPUs", "nearest is 3 (24 GPUs)"]),
        ({"tensor": 8, "pipeline": 2, "data": 3}, ["pin.layout.data", "32 GPUs", "nearest is 2"]),
        ({"data": 5}, ["pin.layout.data", "32 GPUs", "nearest is 4"]),
        ({"pipeline": 5}, ["pin.layout: pipeline = 5", "32 GPUs", "nearest is pin.layout.pipeline 4 instead of 5"]),
        ({"pipeline": 5, "context": 2}, ["pipeline x context = 10", "32 GPUs", "pin.layout.pipeline 4 instead of 5"]),
        ({"pipeline": 40, "data": 1}, ["pipeline = 40", "32 GPUs", "nearest is pin.layout.pipeline 8 instead of 40"]),
        ({"tensor": 8, "data": 64}, ["pin.layout.data", "32 GPUs", "nearest is 4"]),
        ({"micro_batch": 3}, ["pin.layout.micro_batch", "2048 sequences", "nearest is 2"]),
        ({"data": 4, "micro_batch": 1024}, ["pin.layout.data", "nearest is 2"]),
        ({"pipeline": 1, "virtual_stages": 4}, ["pin.layout.virtual_stages", "pin.layout.pipeline", "nearest is 1"]),
        ({"schedule": "interleaved", "virtual_stages": 1}, ["pin.layout.virtual_stages", "nearest is 2"]),
        ({"schedule": "dualpipe", "pipeline": 5}, ["pin.layout.pipeline", "even", "nearest is 4"]),
        ({"attention_data": 2}, ["pin.layout.attention_data", "serving"]),
        ({"tensor": 8, "pipeline": 1, "context": 1, "data": 3}, ["pin.layout.data", "hold 4 replicas"]),
    ],
)
def test_a_contradictory_pin_is_the_users_error(layout: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(SpecError) as raised:
        p4d(pin={"nodes": 4, "layout": layout})
    for name in names:
        assert name in str(raised.value)


def test_a_batch_smaller_than_a_sequence_is_the_users_error() -> None:
    workload = {"tokens": 1e11, "sequence_length": 2048, "global_batch_tokens": 2047}
    with pytest.raises(
        SpecError, match=r"global_batch_tokens is 2,047, less than one sequence; the smallest allowed value is 2,048"
    ):
        train(LLAMA_13B, workload, placement=ON_P4D)


def test_a_batch_smaller_than_the_replicas_is_the_users_error() -> None:
    workload = {"tokens": 1e11, "sequence_length": 2048, "global_batch_tokens": 8 * 2048}
    pin = {"nodes": 4, "layout": {"tensor": 1, "pipeline": 1, "context": 1}}
    with pytest.raises(SpecError, match=r"workload\.global_batch_tokens .* 8 sequences, fewer .* 32 replicas"):
        train(LLAMA_13B, workload, placement=ON_P4D, pin=pin)


@pytest.mark.parametrize("pin", [{}, {"nodes": 4}])
def test_a_sequence_beyond_the_model_is_the_users_error(pin: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"workload\.sequence_length is 4096; .* supports at most 2048 tokens"):
        train(LLAMA_13B, {"tokens": 1e11, "sequence_length": 4096}, placement=ON_P4D, pin=pin)


def test_experts_that_do_not_divide_the_replicas_are_the_users_error() -> None:
    pin = {"nodes": 32, "layout": {"tensor": 2, "pipeline": 8, "context": 1, "expert": 32}}
    with pytest.raises(SpecError, match=r"pin\.layout\.expert is 32; .* 16 on 256 GPUs: nearest is 16\. Experts"):
        train(load_model("Qwen/Qwen3-30B-A3B", None), {"tokens": 1e11}, placement=ON_P4D, pin=pin)


def test_training_in_integers_is_the_users_error() -> None:
    with pytest.raises(SpecError, match=r"precision\.weights is int4, .* allowed are auto"):
        p4d(precision={"weights": "int4"})


def test_a_rounded_batch_is_read_as_a_power_of_two() -> None:
    # "4M tokens" of LLaMA (arXiv 2302.13971, Table 2) at 2,048 tokens a sequence
    run = RUNS["llama-1-65b"] | {"gpus": 64, "gpus_per_node": 8}
    spec = read_spec(spec_of(run), "spec")
    decided = plan(spec, architecture(run), Catalog.load())
    assert performance_of(decided).steps == pytest.approx(1e11 / (2048 * 2048), abs=1)
    assert any("4,194,304 tokens" in note for note in decided.notes)
