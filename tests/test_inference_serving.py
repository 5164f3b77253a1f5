"""Serving: batching, caches, drafts, pools, engines, and what a wrong pin says."""

from typing import Any

import pytest

from planner.errors import InfeasibleError, SpecError
from planner.plan.performance import InferencePerformance
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.serving import performance, serve

R1 = "deepseek-ai/DeepSeek-R1"
LLAMA = "meta-llama/Meta-Llama-3.1-70B"
H200_NODE = {"node": {"gpu": "H200", "gpus": 8, "nic_gbit_per_s": 3200}, "nodes": 1}


def pinned(name: str, **workload: Any) -> InferencePerformance:
    """Plan one node of eight H200 with tensor parallelism and as many requests as the SLO allows."""
    load = {"request_rate_per_s": 1e5, "prompt_tokens": 2000, "output_tokens": 500, **workload}
    layout = {"tensor": 8, "pipeline": 1, "attention_data": 1}
    return performance(serve(name, load, pin={**H200_NODE, "layout": layout}))


def test_multi_token_prediction_speeds_up_as_published() -> None:
    # DeepSeek-V3, arXiv 2412.19437, section 5.4.3: 85 to 90 % of second tokens accepted, 1.8 times the tokens a second
    load = {"concurrency": 256, "slo": {"ttft_ms": 1e5, "tpot_ms": 1000}, "output_tokens": 5000}
    plain = pinned(R1, **load, request_rate_per_s=None)
    drafted = pinned(R1, **load, request_rate_per_s=None, speculation={"draft_tokens": 1, "acceptance": 0.875})
    assert plain.tpot_ms / drafted.tpot_ms == pytest.approx(1.8, rel=0.15)


def test_a_prefix_cache_serves_more_and_sooner() -> None:
    cold, warm = pinned(LLAMA), pinned(LLAMA, prefix_cache_hit_rate=0.5)
    assert warm.prefill_ms < cold.prefill_ms
    assert warm.requests_per_s > cold.requests_per_s


def test_dynamic_batching_serves_more_than_static_batches() -> None:
    relaxed = {"slo": {"ttft_ms": 60_000, "tpot_ms": 60}}
    dynamic, static = pinned(LLAMA, **relaxed), pinned(LLAMA, **relaxed, dynamic_batching=False)
    assert dynamic.requests_per_s > static.requests_per_s
    # A static batch makes requests wait for the one that is running
    assert static.ttft_ms > dynamic.ttft_ms


def test_chunked_prefill_does_not_serve_less() -> None:
    assert pinned(LLAMA).requests_per_s >= pinned(LLAMA, chunked_prefill=False).requests_per_s


@pytest.mark.parametrize("fleet", ["disaggregated", "auto"])
def test_a_disaggregated_fleet_keeps_the_slo_with_both_pools(fleet: str) -> None:
    decided = serve(
        R1,
        {
            "request_rate_per_s": 20,
            "prompt_tokens": 4000,
            "output_tokens": 500,
            "slo": {"ttft_ms": 1000, "tpot_ms": 50},
            "fleet": fleet,
        },
        placement={"providers": ["aws"], "instance_types": ["p5en.48xlarge"]},
    )
    found = performance(decided)
    assert found.ttft_ms <= 1000
    assert found.tpot_ms <= 50
    assert found.requests_per_s >= 20 * 0.999
    if fleet == "disaggregated":
        assert {pool.role for pool in found.pools} == {"prefill", "decode"}
        assert sum(pool.replicas for pool in found.pools) == decided.choice.layout.data
    else:
        alone = serve(
            R1,
            {
                "request_rate_per_s": 20,
                "prompt_tokens": 4000,
                "output_tokens": 500,
                "slo": {"ttft_ms": 1000, "tpot_ms": 50},
            },
            placement={"providers": ["aws"], "instance_types": ["p5en.48xlarge"]},
        )
        assert decided.choice.nodes <= alone.choice.nodes


def test_data_parallel_attention_holds_more_of_a_latent_cache() -> None:
    def concurrency(groups: int) -> int:
        layout = {"tensor": 8, "pipeline": 1, "expert": 8, "attention_data": groups}
        slo = {"ttft_ms": 1e6, "tpot_ms": 1e6}
        load = {"request_rate_per_s": 1e5, "prompt_tokens": 30_000, "output_tokens": 500, "slo": slo}
        return performance(serve(R1, load, pin={**H200_NODE, "layout": layout})).max_concurrency

    assert concurrency(8) > 4 * concurrency(1)


@pytest.mark.parametrize("engine", ["silicon", "auto", "analytic"])
def test_every_number_names_its_engine(engine: str) -> None:
    # A latent split over 16 GPUs of two nodes is measured by nobody, whether or not the package is installed
    layout = {"tensor": 16, "pipeline": 1, "expert": 16, "attention_data": 16}
    pin = {**H200_NODE, "nodes": 2, "layout": layout}
    decided = serve(R1, {"request_rate_per_s": 1, "engine": engine}, pin=pin)
    assert performance(decided).engine.startswith("analytic")
    fallback = [note for note in decided.notes if note.startswith("the analytic engine replaces silicon")]
    assert bool(fallback) or engine != "silicon"


@pytest.mark.silicon
def test_measured_kernels_refine_the_shortlist() -> None:
    load = {"request_rate_per_s": 20, "prompt_tokens": 2000, "output_tokens": 500}
    where = {"placement": {"providers": ["aws"], "instance_types": ["p5en.48xlarge"]}}
    ours, theirs = serve(LLAMA, load, **where), serve(LLAMA, {**load, "engine": "silicon"}, **where)
    assert performance(theirs).engine == "silicon (aiconfigurator-core 0.12)"
    assert performance(theirs).tpot_ms == pytest.approx(performance(ours).tpot_ms, rel=0.3)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"tensor": 3}, "must divide the 64 attention heads"),
        ({"tensor": 8, "expert": 8}, "the model has no routed experts"),
        ({"tensor": 8, "attention_data": 3}, "it must divide pin.layout.tensor"),
        ({"tensor": 8, "pipeline": 100}, "has 80 layers"),
    ],
)
def test_a_pinned_split_that_the_model_cannot_take_is_the_users_error(layout: dict[str, int], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        serve(LLAMA, {"concurrency": 1}, pin={**H200_NODE, "layout": layout})


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ({"request_rate_per_s": 0}, "request_rate_per_s"),
        ({"prefix_cache_hit_rate": 1.0}, "prefix_cache_hit_rate"),
        ({"speculation": {"acceptance": 1.2}}, "acceptance"),
        ({"engine": "guess"}, "engine"),
    ],
)
def test_contradictory_serving_settings_are_refused(workload: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        serve(LLAMA, workload)


def test_a_format_that_no_gpu_has_names_the_nearest() -> None:
    with pytest.raises(InfeasibleError) as raised:
        serve(
            LLAMA,
            {"request_rate_per_s": 1},
            precision={"weights": "fp8"},
            pin={"node": {"gpu": "MI250X", "gpus": 8, "nic_gbit_per_s": 800}},
        )
    assert "has no fp8 arithmetic" in raised.value.nearest[0].reason


def test_dynamic_batching_says_what_it_gains() -> None:
    layout = {"tensor": 8, "pipeline": 1}
    relaxed = {"slo": {"ttft_ms": 60_000, "tpot_ms": 60}}
    decided = serve(LLAMA, {"request_rate_per_s": 1, **relaxed}, pin={**H200_NODE, "layout": layout})
    assert any(note.startswith("dynamic batching serves") for note in decided.notes)


def test_a_gpu_without_measured_kernels_is_named() -> None:
    node = {"node": {"gpu": "MI300X", "gpus": 8, "nic_gbit_per_s": 3200}, "nodes": 1}
    decided = serve(LLAMA, {"request_rate_per_s": 1}, pin=node)
    assert any("no kernels of CDNA3 were measured" in note for note in decided.notes)


def test_the_search_takes_a_cheaper_format_only_where_the_spec_allows_it() -> None:
    load, where = {"request_rate_per_s": 20}, {"placement": {"providers": ["aws"], "regions": ["us-east-1"]}}
    given = serve(LLAMA, load, **where, precision={"weights": "bf16"})
    free = serve(LLAMA, load, **where, precision={"weights": "bf16", "also": ["fp8"]})
    assert given.choice.weights == "bf16"
    assert free.choice.weights == "fp8"
    assert (free.cost.usd_per_month or 0) <= (given.cost.usd_per_month or 0)
    front = [other for other in free.alternatives if other.on_pareto_front]
    assert all(
        other.performance.tpot_ms < performance(free).tpot_ms
        for other in front
        if other.performance.kind == "inference"
    )


@pytest.mark.parametrize("nodes", [3, 4])
def test_pinned_nodes_are_all_planned_and_none_of_them_idles(nodes: int) -> None:
    document = {
        "name": "pinned",
        "model": "Qwen/Qwen2.5-1.5B",
        "workload": {"kind": "inference", "request_rate_per_s": 1, "prompt_tokens": 256, "output_tokens": 64},
        "placement": {"providers": ["aws"], "regions": ["us-east-1"]},
        "pin": {"instance_type": "g6e.24xlarge", "nodes": nodes},
    }
    choice = plan(read_spec(document, "pinned"), load_model("Qwen/Qwen2.5-1.5B", None), Catalog.load()).choice
    purchase = choice.purchase
    assert choice.nodes == nodes == purchase.reserved_nodes + purchase.on_demand_nodes + purchase.spot_nodes
    assert choice.layout.gpus == choice.gpus == nodes * 4
