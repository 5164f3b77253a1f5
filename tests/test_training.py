"""Training plans against published runs, and what must hold of any plan."""

from typing import Any

import pytest

from planner.errors import InfeasibleError, SpecError
from planner.optimizer import plan
from planner.plan import Plan, TrainingPerformance
from planner.spec_reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.model_config.reader import read_config
from provider_catalog.models import load_model


def train(architecture: ModelArchitecture, workload: dict[str, Any], **rest: Any) -> Plan:
    document = {"name": "run", "model": "m", "workload": {"kind": "training", **workload}, **rest}
    return plan(read_spec(document, "spec"), architecture, Catalog.load())


def replay(architecture: ModelArchitecture, gpus: int, workload: dict[str, Any], layout: dict[str, Any]) -> Any:
    node = {"gpu": "A100-80GB", "gpus": 8, "nic_gbit_per_s": 1600}
    pin = {"node": node, "nodes": gpus // 8, "layout": layout}
    return train(architecture, {"deadline_days": 3650, **workload}, pin=pin).performance


def megatron(hidden: int, layers: int, heads: int) -> ModelArchitecture:
    return read_config(
        {
            "model_type": "gpt2",
            "n_embd": hidden,
            "n_layer": layers,
            "n_head": heads,
            "vocab_size": 51200,
            "n_positions": 2048,
        },
        "megatron",
    )


@pytest.mark.parametrize(
    ("hidden", "layers", "heads", "gpus", "batch", "tensor", "pipeline", "measured_tflops"),
    [
        # Narayanan et al. 2021 (arXiv 2104.04473), Table 1; full recompute, recomputed FLOPs are counted
        (2304, 24, 24, 32, 512, 1, 1, 137),
        (4096, 36, 32, 128, 512, 4, 1, 142),
        (8192, 48, 64, 512, 1536, 8, 2, 138),
        (12288, 80, 96, 1536, 2304, 8, 8, 148),
        (20480, 105, 128, 2520, 2520, 8, 35, 163),
    ],
)
def test_megatron_table_1(
    hidden: int, layers: int, heads: int, gpus: int, batch: int, tensor: int, pipeline: int, measured_tflops: float
) -> None:
    performance = replay(
        megatron(hidden, layers, heads),
        gpus,
        {
            "tokens": 100 * batch * 2048,
            "sequence_length": 2048,
            "global_batch_tokens": batch * 2048,
            "flash_attention": False,
        },
        {"tensor": tensor, "pipeline": pipeline, "recompute": "full"},
    )
    hardware_tflops = performance.hfu * 312
    assert hardware_tflops == pytest.approx(measured_tflops, rel=0.2)


def test_korthikanti_530b_step_time() -> None:
    # Korthikanti et al. 2022 (arXiv 2205.05198), Table 5: 37.83 s with selective recompute and sequence parallelism
    performance = replay(
        megatron(20480, 105, 128),
        280,
        {
            "tokens": 100 * 280 * 2048,
            "sequence_length": 2048,
            "global_batch_tokens": 280 * 2048,
            "flash_attention": False,
        },
        {
            "tensor": 8,
            "pipeline": 35,
            "virtual_stages": 3,
            "micro_batch": 1,
            "recompute": "selective",
            "sequence_parallel": True,
        },
    )
    assert performance.step_time_s == pytest.approx(37.83, rel=0.2)


def test_llama_65b_gpu_hours() -> None:
    # Touvron et al. 2023 (arXiv 2302.13971), Table 15: 1,022,362 A100-80GB hours for 1.4T tokens on 2,048 GPUs
    performance = replay(
        load_model("huggyllama/llama-65b", None),
        2048,
        {"tokens": 1.4e12, "sequence_length": 2048, "global_batch_tokens": 4e6},
        {},
    )
    assert performance.gpu_hours == pytest.approx(1_022_362, rel=0.2)


def test_goodput_of_the_llama_3_run() -> None:
    # Llama 3 herd (arXiv 2407.21783), section 3.3.4: more than 90 % effective training time on 16,384 GPUs
    performance = train(
        load_model("meta-llama/Meta-Llama-3.1-405B", None),
        {"tokens": 1e12, "sequence_length": 8192, "global_batch_tokens": 16e6, "deadline_days": 3650},
        pin={
            "node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200},
            "nodes": 2048,
            "layout": {"tensor": 8, "pipeline": 16},
        },
    ).performance
    assert isinstance(performance, TrainingPerformance)
    assert 0.80 <= performance.goodput <= 0.95


ON_P4D = {"providers": ["aws"], "regions": ["us-east-1"], "instance_types": ["p4d.24xlarge"]}


def p4d(tokens: float = 2e11, deadline_days: float = 40, **rest: Any) -> Plan:
    workload = {"tokens": tokens, "sequence_length": 2048, "deadline_days": deadline_days}
    return train(load_model("huggyllama/llama-13b", None), workload, placement=ON_P4D, **rest)


def test_the_deadline_is_met_and_memory_fits() -> None:
    decided = p4d()
    assert isinstance(decided.performance, TrainingPerformance)
    assert decided.performance.days <= 40
    assert decided.memory_per_gpu.total_bytes <= decided.memory_per_gpu.capacity_bytes
    assert decided.choice.layout.gpus == decided.choice.gpus
    breakdown = sum(decided.performance.breakdown_s.values())
    assert breakdown == pytest.approx(decided.performance.step_time_s)


def test_more_tokens_never_cost_less_nor_a_longer_deadline_more() -> None:
    by_tokens = [p4d(tokens=tokens).cost.usd_per_run or 0 for tokens in (5e10, 1e11, 2e11, 4e11)]
    assert by_tokens == sorted(by_tokens)
    by_deadline = [p4d(deadline_days=days).cost.usd_per_run or 0 for days in (20, 40, 80)]
    assert by_deadline == sorted(by_deadline, reverse=True)


def test_the_search_is_never_worse_than_a_layout_pinned_by_hand() -> None:
    free = p4d()
    for layout in ({"tensor": 8, "pipeline": 1}, {"tensor": 4, "pipeline": 2}, {"tensor": 2, "pipeline": 4}):
        pinned = p4d(pin={"nodes": free.choice.nodes, "layout": layout})
        assert isinstance(pinned.performance, TrainingPerformance)
        if pinned.performance.days <= 40:
            assert (free.cost.usd_per_run or 0) <= (pinned.cost.usd_per_run or 0)


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
        ({"tensor": 3}, ["pin.layout.tensor", "40 attention heads"]),
        ({"pipeline": 41}, ["pin.layout.pipeline", "40 layers"]),
        ({"expert": 2}, ["pin.layout.expert", "no routed experts"]),
        ({"tensor": 8, "pipeline": 3}, ["pin.nodes"]),
    ],
)
def test_a_contradictory_pin_is_the_users_error(layout: dict[str, int], names: list[str]) -> None:
    with pytest.raises(SpecError) as raised:
        p4d(pin={"nodes": 4, "layout": layout})
    for name in names:
        assert name in str(raised.value)
