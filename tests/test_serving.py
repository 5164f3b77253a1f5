"""Serving beyond one replica: percentiles, spare replicas, scaling bounds, the software matrix in planning."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcluster.reports.plan_text import print_plan
from planner.errors import InfeasibleError
from planner.plan.performance import InferencePerformance
from planner.plan.plan import Plan
from planner.relax.serving import nearest_plans
from planner.relax.verdict import meets_spec
from planner.search.optimizer import plan
from planner.serving.queueing import TtftModel
from planner.serving.replica_count import replicas_within
from planner.spec import Slo
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.serving import model, performance, serve

ROOT = Path(__file__).parent.parent
AWS = {"providers": ["aws"], "regions": ["us-east-1"]}


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


def test_a_spec_without_a_load_plans_for_one_request_per_second() -> None:
    def fleet(**load: float) -> tuple[int, Any]:
        placement = {**AWS, "instance_types": ["g6e.xlarge"]}
        decided = serve("meta-llama/Meta-Llama-3.1-8B", load, placement=placement)
        return decided.choice.nodes, performance(decided)

    assert fleet() == fleet(request_rate_per_s=1)
    assert fleet() != fleet(request_rate_per_s=40)


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(0.1, 500), ttft_ms=st.floats(150, 5000))
def test_more_requests_or_a_tighter_percentile_never_take_fewer_replicas(rate: float, ttft_ms: float) -> None:
    def replicas(rate: float, percentile: str, ttft_ms: float) -> int:
        slo = Slo(ttft_ms=ttft_ms, percentile=percentile)  # type: ignore[arg-type]
        found = replicas_within(lambda n: TtftModel(rate / n, 0.06, 0.02, 2000, 8192, 1, 40, 6.0), slo, 1)
        assert isinstance(found, int)
        return found

    base = replicas(rate, "p95", ttft_ms)
    assert replicas(rate * 1.5, "p95", ttft_ms) >= base
    assert replicas(rate, "p99", ttft_ms) >= base >= replicas(rate, "p50", ttft_ms)
    assert replicas(rate, "p95", ttft_ms * 1.5) <= base


def test_a_percentile_that_nothing_reaches_is_infeasible() -> None:
    place = {**AWS, "instance_types": ["g6.xlarge"]}
    idle = {"request_rate_per_s": 0.001, "prompt_tokens": 4000}
    alone = performance(serve("meta-llama/Meta-Llama-3.1-8B", {**idle, "slo": {"ttft_ms": 1e6}}, placement=place))
    assert alone.queueing is not None
    tail_ms = alone.queueing.ttft_ms["p99"]
    assert tail_ms is not None and tail_ms > alone.ttft_ms
    between = {"ttft_ms": (alone.ttft_ms + tail_ms) / 2, "percentile": "p99"}
    with pytest.raises(InfeasibleError) as raised:
        serve("meta-llama/Meta-Llama-3.1-8B", {**idle, "slo": between}, placement=place)
    assert "TTFT p99" in raised.value.nearest[0].reason
    assert serve("meta-llama/Meta-Llama-3.1-8B", {**idle, "slo": {**between, "percentile": "mean"}}, placement=place)


def test_a_percentile_holds_where_prefill_stands_apart() -> None:
    workload = {"request_rate_per_s": 12, "prompt_tokens": 4000, "output_tokens": 300, "fleet": "disaggregated"}
    place = {**AWS, "instance_types": ["p5.48xlarge"]}
    plans = [
        serve(
            "meta-llama/Meta-Llama-3.1-70B",
            {**workload, "slo": {"ttft_ms": 900, "tpot_ms": 60, "percentile": percentile}},
            placement=place,
        )
        for percentile in ("mean", "p99")
    ]
    assert plans[0].choice.nodes <= plans[1].choice.nodes
    queueing = performance(plans[1]).queueing
    assert performance(plans[1]).pools and queueing is not None
    tail_ms = queueing.ttft_ms["p99"]
    assert tail_ms is not None and tail_ms <= 900
    assert (queueing.ttft_ms["p50"] or 0) < tail_ms


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
        capacity={"demand": [0.5] * 12 + [1.0] * 12, "time_zone": "Etc/UTC"},
    )
    scaling = decided.autoscaling
    assert scaling is not None
    assert scaling.max_nodes == decided.choice.nodes
    assert scaling.min_nodes == -(-(decided.choice.nodes - 1) // 2) + 1
    assert scaling.min_nodes < scaling.mean_nodes < scaling.max_nodes
    constant = serve("meta-llama/Meta-Llama-3.1-8B", workload, placement=AWS)
    assert constant.autoscaling is None


def test_formats_and_engines_are_refused_by_the_software_matrix() -> None:
    # vLLM documentation: no INT8 (W8A8) from compute capability 10.0; TensorRT-LLM supports NVIDIA GPUs only
    with pytest.raises(InfeasibleError) as raised:
        serve(
            "meta-llama/Meta-Llama-3.1-8B",
            {"request_rate_per_s": 1},
            precision={"weights": "int8"},
            placement={**AWS, "instance_types": ["p6-b200.48xlarge"]},
        )
    assert "no int8 (W8A8) kernels for Blackwell" in raised.value.nearest[0].reason
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
    assert hopper.software.attention == "FlashAttention-3 (CUDA 12.3 or newer)"
    assert "vLLM 0.33.0" in hopper.software.engines


TIGHT: dict[str, Any] = {
    "name": "chat",
    "model": "meta-llama/Meta-Llama-3.1-70B",
    "workload": {
        "kind": "inference",
        "request_rate_per_s": 4,
        "prompt_tokens": 8000,
        "output_tokens": 300,
        "slo": {"ttft_ms": 120, "tpot_ms": 40},
    },
    "placement": {**AWS, "instance_types": ["p4d.24xlarge", "p5.48xlarge"]},
}


def _helps(document: dict[str, Any]) -> tuple[str, ...]:
    spec = read_spec(document, "spec")
    return tuple(found.change for found in nearest_plans(spec, model(document["model"]), Catalog.load()))


def _figure(sentences: tuple[str, ...], field: str) -> float:
    (found,) = (sentence for sentence in sentences if sentence.startswith(field))
    return float(found.split(": ")[1].split()[0])


def _works(**workload: Any) -> bool:
    document = {**TIGHT, "workload": {**TIGHT["workload"], **workload}}
    try:
        plan(read_spec(document, "spec"), model("meta-llama/Meta-Llama-3.1-70B"), Catalog.load())
    except InfeasibleError:
        return False
    return True


def test_the_looser_slo_that_is_named_holds_and_a_tighter_one_does_not() -> None:
    sentences = _helps(TIGHT)
    ttft_ms = _figure(sentences, "workload.slo.ttft_ms")
    assert _works(slo={"ttft_ms": ttft_ms, "tpot_ms": 40})
    assert not _works(slo={"ttft_ms": ttft_ms * 0.95, "tpot_ms": 40})
    prompt = int(_figure(sentences, "workload.prompt_tokens"))
    assert _works(prompt_tokens=prompt)
    assert not _works(prompt_tokens=round(prompt * 1.05))


@pytest.mark.slow
def test_other_hardware_and_a_larger_budget_are_named() -> None:
    small = {
        "name": "chat",
        "model": "meta-llama/Meta-Llama-3.1-405B",
        "workload": {"kind": "inference"},
        "placement": {**AWS, "instance_types": ["g5.xlarge"]},
    }
    assert any("any instance type" in sentence for sentence in _helps(small))
    poor = {**small, "placement": AWS, "budget": {"usd_per_month": 1000}}
    assert any(sentence.startswith("budget.usd_per_month") for sentence in _helps(poor))


def test_an_slo_that_needs_both_latencies_looser_names_both() -> None:
    document = {
        "name": "chat",
        "model": "meta-llama/Meta-Llama-3.1-8B",
        "workload": {"kind": "inference", "request_rate_per_s": 1, "slo": {"ttft_ms": 0.1, "tpot_ms": 0.01}},
        "placement": {**AWS, "instance_types": ["p5.4xlarge"]},
    }
    (sentence,) = (found for found in _helps(document) if found.startswith("workload.slo"))
    assert "ttft_ms: " in sentence and "tpot_ms: " in sentence


def test_a_pinned_layout_that_misses_its_slo_gets_help_too() -> None:
    pinned = {
        "name": "chat",
        "model": "meta-llama/Meta-Llama-3.1-70B",
        "workload": {"kind": "inference", "request_rate_per_s": 1, "slo": {"ttft_ms": 2000, "tpot_ms": 30}},
        "pin": {"instance_type": "p4de.24xlarge", "nodes": 1, "layout": {"tensor": 2, "pipeline": 1}},
    }
    decided = plan(read_spec(pinned, "spec"), model("meta-llama/Meta-Llama-3.1-70B"), Catalog.load())
    assert not meets_spec(decided)
    assert any("pin.layout: another layout is feasible" in sentence for sentence in _helps(pinned))


def test_exit_3_prints_what_would_help(tmp_path: Path) -> None:
    path = tmp_path / "tight.yaml"
    path.write_text(yaml.safe_dump(TIGHT))
    command = [sys.executable, "-m", "llmcluster", "plan", str(path)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 3
    assert "what would help:" in finished.stderr
    assert "workload.slo.ttft_ms" in finished.stderr
    assert finished.stdout == ""


def test_plan_prints_the_slo_against_the_prediction() -> None:
    command = [sys.executable, "-m", "llmcluster", "plan", "--detail", "clusters/quickstart.yaml"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "SLO against prediction" in finished.stdout
    assert "slack" in finished.stdout
    assert "p99" in finished.stdout
    assert "driver" in finished.stdout


def test_the_report_names_the_operating_point_of_each_latency(capsys: pytest.CaptureFixture[str]) -> None:
    def report(workload: dict[str, Any], pin: dict[str, Any]) -> tuple[InferencePerformance, str]:
        document = {
            "name": "chat",
            "model": "Qwen/Qwen2.5-7B",
            "workload": {"kind": "inference", **workload},
            "placement": {"providers": ["aws"], "instance_types": ["g6e.xlarge"]},
            "pin": pin,
        }
        decided = plan(read_spec(document, "spec"), load_model("Qwen/Qwen2.5-7B"), Catalog.load())
        assert isinstance(decided.performance, InferencePerformance)
        print_plan(decided)
        return decided.performance, capsys.readouterr().out

    # A rate of arrivals: the mean of the SLO leaves out the wait for a slot, the queueing line includes it.
    found, text = report({"request_rate_per_s": 4}, {})
    assert found.queueing is not None
    row = next(line for line in text.splitlines() if "TTFT mean without slot wait" in line)
    assert f"{found.ttft_ms:,.4g}" in row
    assert "SLO against prediction at the planned load" in text
    mean = found.queueing.ttft_ms["mean"]
    assert f"TTFT at the planned load with the wait for a batch slot: mean {mean:,.0f} ms" in text
    # A fixed number of users: nobody waits for a slot.
    found, text = report({"concurrency": 8}, {})
    assert "slot" not in text
    assert "TTFT at the planned load: mean" in text
    # A pinned batch is one static pass and has no queue: its TTFT is that of the pass.
    found, text = report({"request_rate_per_s": 4}, {"batch": 8, "nodes": 1})
    assert found.ttft_ms == found.prefill_ms
    assert "SLO against prediction for one static batch" in text
    assert "queueing" not in text and "planned load" not in text
