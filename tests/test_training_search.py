"""Properties of the search over layouts, whatever the model, GPU and size."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InfeasibleError, SpecError
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import Gpu
from provider_catalog.models import load_model

pytestmark = pytest.mark.slow

MODELS = ("huggyllama/llama-13b", "meta-llama/Llama-2-70b-hf", "mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen3-30B-A3B")
INSTANCES = ("p4d.24xlarge", "p5.48xlarge", "p6-b200.48xlarge", "g6e.12xlarge")
DEADLINE_DAYS = 400


def train(model: str, workload: dict[str, Any], **rest: Any) -> Plan:
    """Plan a training run."""
    document = {"name": "run", "model": "m", "workload": {"kind": "training", **workload}, **rest}
    return plan(read_spec(document, "spec"), load_model(model, None), Catalog.load())


def performance_of(decided: Plan) -> TrainingPerformance:
    """Return the performance of a training plan."""
    assert isinstance(decided.performance, TrainingPerformance)
    return decided.performance


LAYOUTS = st.fixed_dictionaries(
    {},
    optional={
        "tensor": st.sampled_from([1, 2, 4, 8]),
        "pipeline": st.sampled_from([1, 2, 3, 4, 5, 8, 10, 12, 16]),
        "context": st.sampled_from([1, 2]),
        "expert": st.sampled_from([1, 2, 4, 8, 16]),
        "micro_batch": st.sampled_from([1, 2, 4, 8, 16]),
        "recompute": st.sampled_from(["none", "selective", "full"]),
        "zero_stage": st.sampled_from([0, 1, 2, 3]),
        "sequence_parallel": st.booleans(),
        "schedule": st.sampled_from(["1f1b", "interleaved"]),
        "virtual_stages": st.sampled_from([1, 2, 4, 5]),
    },
)


@settings(max_examples=40, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    instance=st.sampled_from(INSTANCES),
    nodes=st.sampled_from([1, 2, 4, 8, 12, 16, 32, 64]),
    batch=st.sampled_from([256, 384, 1024]),
    precision=st.sampled_from(["bf16", "fp8"]),
    layout=LAYOUTS,
)
def test_no_layout_pinned_by_hand_beats_the_front(
    model: str, instance: str, nodes: int, batch: int, precision: str, layout: dict[str, Any]
) -> None:
    # As many micro-batches as interleaving needs, and as many nodes as the search may use, are the search's own limits
    where = {"providers": ["aws"], "regions": ["us-east-1"], "instance_types": [instance], "max_nodes": 64}
    workload = {
        "tokens": 2e10,
        "sequence_length": 4096,
        "global_batch_tokens": batch * 4096,
        "deadline_days": DEADLINE_DAYS,
    }
    rest = {"placement": where, "precision": {"weights": precision}}
    model_here = {"sequence_length": 2048, "global_batch_tokens": batch * 2048} if model == MODELS[0] else {}
    try:
        pinned = train(model, {**workload, **model_here}, pin={"nodes": nodes, "layout": layout}, **rest)
    except (SpecError, InfeasibleError):
        return
    chosen, memory = pinned.choice.layout, pinned.memory_per_gpu
    sequences = batch / (chosen.data * chosen.micro_batch)
    fits = memory.total_bytes <= memory.capacity_bytes and performance_of(pinned).days <= DEADLINE_DAYS
    tried = sequences.is_integer() and (chosen.schedule != "interleaved" or sequences >= chosen.pipeline)
    if not (fits and tried):
        return
    free = train(model, {**workload, **model_here}, **rest)
    usd, days = pinned.cost.usd_per_run, performance_of(pinned).days
    assert usd is not None
    assert any(point.usd_per_run <= usd * (1 + 1e-9) and point.days <= days * (1 + 1e-9) for point in free.pareto), (
        chosen
    )


class FasterGpus(Catalog):
    """The packaged catalog with every GPU faster in arithmetic and memory."""

    flops = bandwidth = 1.0

    def gpu(self, name: str) -> Gpu:
        gpu = super().gpu(name)
        peaks = {precision: peak * self.flops for precision, peak in gpu.peak_tflops.items()}
        bandwidth = gpu.memory_bandwidth_gb_per_s * self.bandwidth
        return gpu.model_copy(update={"peak_tflops": peaks, "memory_bandwidth_gb_per_s": bandwidth})


@settings(max_examples=40, deadline=None)
@given(
    model=st.sampled_from(MODELS[1:]),
    gpu=st.sampled_from(["A100-80GB", "H100", "B200", "MI300X"]),
    raised=st.sampled_from(["flops", "bandwidth", "nvlink", "network"]),
    factor=st.floats(1.01, 4),
    precision=st.sampled_from(["bf16", "fp8"]),
    layout=LAYOUTS,
)
def test_a_gpu_that_is_faster_in_one_thing_is_never_slower(
    model: str, gpu: str, raised: str, factor: float, precision: str, layout: dict[str, Any]
) -> None:
    slow = {"flops": 1.0, "bandwidth": 1.0, "nvlink": 1.0, "network": 1.0}

    def decided(speeds: dict[str, float], pinned: dict[str, Any]) -> Plan:
        catalog = FasterGpus(Catalog.load().folder)
        catalog.flops, catalog.bandwidth = speeds["flops"], speeds["bandwidth"]
        nvlink = Catalog.load().gpu(gpu).nvlink_gb_per_s * speeds["nvlink"]
        node = {"gpu": gpu, "gpus": 8, "nvlink_gb_per_s": nvlink, "nic_gbit_per_s": 1600 * speeds["network"]}
        document = {
            "name": "run",
            "model": "m",
            "workload": {"kind": "training", "tokens": 1e10, "sequence_length": 4096},
            "precision": {"weights": precision},
            "pin": {"node": node, "nodes": 8, "layout": pinned},
        }
        return plan(read_spec(document, "spec"), load_model(model, None), catalog)

    fast = {**slow, raised: factor}
    try:
        before = decided(slow, layout)
    except (SpecError, InfeasibleError):
        return
    whole = before.choice.layout
    same = {
        name: getattr(whole, name)
        for name in ("tensor", "pipeline", "data", "context", "expert", "micro_batch", "recompute", "zero_stage")
    } | {"schedule": whole.schedule, "sequence_parallel": whole.sequence_parallel}
    if whole.virtual_stages > 1:
        same["virtual_stages"] = whole.virtual_stages
    for pinned in (layout, same):
        assert performance_of(decided(fast, pinned)).step_time_s <= performance_of(before).step_time_s * (1 + 1e-9)


@settings(max_examples=15, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    instance=st.sampled_from(INSTANCES),
    tokens=st.floats(1e9, 2e11),
    more=st.floats(1.01, 4),
    days=st.floats(20, 200),
    longer=st.floats(1.01, 4),
)
def test_more_tokens_and_shorter_deadlines_are_never_cheaper(
    model: str, instance: str, tokens: float, more: float, days: float, longer: float
) -> None:
    def usd(tokens: float, days: float) -> float:
        where = {"providers": ["aws"], "regions": ["us-east-1"], "instance_types": [instance], "max_nodes": 256}
        try:
            decided = train(model, {"tokens": tokens, "sequence_length": 2048, "deadline_days": days}, placement=where)
        except InfeasibleError:
            return float("inf")
        assert decided.cost.usd_per_run is not None
        return decided.cost.usd_per_run

    base = usd(tokens, days)
    assert base <= usd(tokens * more, days) * (1 + 1e-9)
    assert usd(tokens, days * longer) <= base * (1 + 1e-9)


@settings(max_examples=15, deadline=None)
@given(model=st.sampled_from(MODELS), tokens=st.floats(1e9, 1e12), more=st.floats(1.01, 4))
def test_more_tokens_never_take_less_time(model: str, tokens: float, more: float) -> None:
    def days(tokens: float) -> float:
        pin = {"node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200}, "nodes": 16}
        return performance_of(train(model, {"tokens": tokens, "sequence_length": 2048}, pin=pin)).days

    assert days(tokens) <= days(tokens * more)
