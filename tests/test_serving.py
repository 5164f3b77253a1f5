"""Serving beyond one replica: percentiles, spare replicas, scaling bounds, the software matrix in planning."""

from functools import cache
from typing import Any

import pytest

from planner.errors import InfeasibleError
from planner.optimizer import plan
from planner.plan import InferencePerformance, Plan
from planner.spec_reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

AWS = {"providers": ["aws"], "regions": ["us-east-1"]}


@cache
def model(name: str) -> ModelArchitecture:
    return load_model(name, None)


def serve(name: str, workload: dict[str, Any], **rest: Any) -> Plan:
    document = {"name": "chat", "model": name, "workload": {"kind": "inference", **workload}, **rest}
    return plan(read_spec(document, "spec"), model(name), Catalog.load())


def performance(decided: Plan) -> InferencePerformance:
    assert isinstance(decided.performance, InferencePerformance)
    return decided.performance


def test_a_percentile_costs_no_less_than_the_mean_and_is_kept() -> None:
    def sized(percentile: str) -> Plan:
        return serve(
            "meta-llama/Meta-Llama-3.1-8B",
            {
                "request_rate_per_s": 40,
                "prompt_tokens": 2000,
                "output_tokens": 200,
                "slo": {"ttft_ms": 700, "tpot_ms": 50, "percentile": percentile},
            },
            placement={**AWS, "instance_types": ["g6e.xlarge"]},
        )

    plans = [sized(percentile) for percentile in ("mean", "p50", "p95", "p99")]
    nodes = [decided.choice.nodes for decided in plans]
    assert nodes == sorted(nodes)
    assert nodes[0] < nodes[-1]
    for decided, percentile in zip(plans[1:], ("p50", "p95", "p99"), strict=True):
        queueing = performance(decided).queueing
        assert queueing is not None
        latency = queueing.ttft_ms[percentile]
        assert latency is not None and latency <= 700


def test_a_percentile_that_nothing_reaches_is_infeasible() -> None:
    with pytest.raises(InfeasibleError) as raised:
        serve(
            "meta-llama/Meta-Llama-3.1-8B",
            {
                "request_rate_per_s": 1,
                "prompt_tokens": 4000,
                "slo": {"ttft_ms": 800, "tpot_ms": 100, "percentile": "p99"},
            },
            placement={**AWS, "instance_types": ["g6.xlarge"]},
        )
    assert "TTFT p99" in raised.value.nearest[0].reason


def test_spare_replicas_come_on_top() -> None:
    workload = {"request_rate_per_s": 10, "prompt_tokens": 1000, "output_tokens": 200}
    place = {**AWS, "instance_types": ["g6e.xlarge"]}
    base = serve("meta-llama/Meta-Llama-3.1-8B", workload, placement=place)
    spare = serve("meta-llama/Meta-Llama-3.1-8B", {**workload, "spare_replicas": 1}, placement=place)
    assert spare.choice.nodes == base.choice.nodes + 1
    assert any("N+1" in note for note in spare.notes)


def test_demand_that_moves_gives_bounds_for_a_scaler() -> None:
    workload = {"request_rate_per_s": 60, "prompt_tokens": 1000, "output_tokens": 200, "spare_replicas": 1}
    decided = serve(
        "meta-llama/Meta-Llama-3.1-8B",
        workload,
        placement={**AWS, "instance_types": ["g6e.xlarge"]},
        capacity={"demand": [0.5] * 12 + [1.0] * 12},
    )
    scaling = decided.autoscaling
    assert scaling is not None
    assert scaling.max_nodes == decided.choice.nodes
    assert scaling.min_nodes == -(-(decided.choice.nodes - 1) // 2) + 1
    assert scaling.min_nodes < scaling.mean_nodes < scaling.max_nodes
    constant = serve("meta-llama/Meta-Llama-3.1-8B", workload, placement=AWS)
    assert constant.autoscaling is None


def test_formats_and_engines_are_refused_by_the_software_matrix() -> None:
    # Transformer Engine: NVFP4 from compute capability 10.0; TensorRT-LLM supports NVIDIA GPUs only
    with pytest.raises(InfeasibleError) as raised:
        serve(
            "meta-llama/Meta-Llama-3.1-8B",
            {"request_rate_per_s": 1},
            precision={"weights": "nvfp4"},
            placement={**AWS, "instance_types": ["p5.48xlarge"]},
        )
    assert "need Blackwell" in raised.value.nearest[0].reason
    with pytest.raises(InfeasibleError) as raised:
        serve(
            "meta-llama/Meta-Llama-3.1-8B",
            {"request_rate_per_s": 1, "serving_engine": "tensorrt-llm"},
            placement={"providers": ["azure"], "regions": ["eastus"], "instance_types": ["Standard_ND96isr_MI300X_v5"]},
            pin={"instance_type": "Standard_ND96isr_MI300X_v5"},
        )
    assert "TensorRT-LLM 1.2.1 does not run on MI300X" in raised.value.nearest[0].reason
    hopper = serve(
        "meta-llama/Meta-Llama-3.1-8B",
        {"request_rate_per_s": 1, "serving_engine": "vllm"},
        placement={**AWS, "instance_types": ["p5.4xlarge"]},
    )
    assert hopper.software is not None
    assert (hopper.software.stack, hopper.software.min_version) == ("CUDA", "11.8")
    assert hopper.software.attention == "FlashAttention-3"
    assert "vLLM 0.33.0" in hopper.software.engines
