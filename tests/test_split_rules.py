"""Splits that serving engines refuse, against the engines' own refusals."""

from typing import Any

import pytest

from planner.errors import SpecError
from planner.plan.layout import Layout
from planner.sizing.legal_layouts import divisors
from planner.sizing.split_rules import RULES, broken_rule, legal_tensors
from provider_catalog.models import load_model
from provider_catalog.precision import Precision
from tests.support.serving import serve

DEGREES = (1, 2, 4, 5, 8, 10, 16, 32)


@pytest.mark.parametrize(
    ("model", "weights", "expert", "legal"),
    [
        # 40 heads over 10 key/value heads
        ("microsoft/phi-4", "bf16", None, [1, 2, 5, 10]),
        # Qwen2-72B: 29568 = 231 groups of 128, which no degree but 3, 7, 11, ... divides (QwenLM/Qwen3 issue 698)
        ("Qwen/Qwen2.5-72B", "int4", None, [1]),
        ("Qwen/Qwen2.5-72B", "bf16", None, [1, 2, 4, 8, 16, 32]),
        # 13824 = 108 groups of 128
        ("Qwen/Qwen2.5-14B", "int4", None, [1, 2, 4]),
        # Experts of 2560 in blocks of 128: 20 blocks, whole on a rank or cut by 2 and 4 only
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "fp8", 1, [1, 2, 4]),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "fp8", None, [1, 2, 4, 8, 16, 32]),
        # vLLM pull 52915: a shared expert of 512 in blocks of 128 does not start at TP8
        ("Qwen/Qwen3.5-35B-A3B", "fp8", None, [1, 2, 4]),
        # Publishers' recipes: DeepSeek-R1 and V3.2 on 8 and 16 GPUs, 405B in FP8 on 8, gpt-oss-120b on 8 (padded)
        ("deepseek-ai/DeepSeek-R1", "fp8", 1, [1, 2, 4, 8, 16]),
        ("meta-llama/Meta-Llama-3.1-405B", "fp8", None, [1, 2, 4, 8, 16, 32]),
        ("openai/gpt-oss-120b", "mxfp4", 1, [1, 2, 4, 8, 16, 32]),
        # GLM-4.5-FP8 has scales of channels and runs at TP8
        ("zai-org/GLM-4.5", "fp8", 1, [1, 2, 4, 8, 16, 32]),
    ],
)
def test_degrees_that_engines_accept(model: str, weights: Precision, expert: int | None, legal: list[int]) -> None:
    assert legal_tensors(load_model(model), weights, DEGREES, expert=expert) == legal


def test_every_rule_has_a_source_and_refuses_something() -> None:
    assert all(rule.source for rule in RULES)
    told = {
        broken_rule(load_model(model), weights, Layout(tensor=tensor, expert=expert))
        for model, weights, tensor, expert in (
            ("tiiuae/falcon-7b", "bf16", 2, 1),
            ("microsoft/phi-4", "bf16", 4, 1),
            ("deepseek-ai/DeepSeek-V4-Flash", "fp8", 16, 16),
            ("Qwen/Qwen2.5-14B", "int4", 8, 1),
            ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "fp8", 8, 1),
        )
    }
    assert None not in told and len(told) == 5


def test_data_parallel_attention_is_judged_by_the_ranks_of_a_group() -> None:
    phi = load_model("microsoft/phi-4")
    assert broken_rule(phi, "bf16", Layout(tensor=4)) is not None
    assert broken_rule(phi, "bf16", Layout(tensor=4, attention_data=4)) is None


@pytest.mark.parametrize(
    ("model", "weights", "layout", "words"),
    [
        ("microsoft/phi-4", "bf16", {"tensor": 4}, r"10 key/value heads.*Nearest legal degree: 2 or 5"),
        ("Qwen/Qwen2.5-14B", "int4", {"tensor": 8}, r"1728 of the 13824 values.*Nearest legal degree: 4"),
        (
            "Qwen/Qwen3-Coder-480B-A35B-Instruct",
            "fp8",
            {"tensor": 8, "expert": 1},
            r"320 of the 2560.*Nearest legal degree: 4; or pin.layout.expert: 8",
        ),
    ],
)
def test_a_pin_is_refused_with_the_nearest_legal_degrees(
    model: str, weights: str, layout: dict[str, int], words: str
) -> None:
    pin: dict[str, Any] = {"node": {"gpu": "H200", "gpus": 8, "nic_gbit_per_s": 3200}, "nodes": 1, "layout": layout}
    with pytest.raises(SpecError, match=words):
        serve(model, {"concurrency": 4}, pin=pin, precision={"weights": weights})


def test_the_search_plans_legal_splits_only() -> None:
    where = {"placement": {"providers": ["aws"], "instance_types": ["g6.48xlarge"]}}
    decided = serve("microsoft/phi-4", {"request_rate_per_s": 1, "slo": {"ttft_ms": 9000, "tpot_ms": 300}}, **where)
    assert 10 % decided.choice.layout.tensor == 0
    assert decided.choice.layout.tensor in divisors(40)
