"""The hardware guide's rules next to ours: both are shown, and ours agree with the papers."""

import math

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llmcluster.cli import cli
from planner.sizing.guide import (
    A100_80GB_BYTES,
    CARD_24GB_BYTES,
    GuideRow,
    forward_flops,
    guide_flops,
    guide_memory_gib,
    guide_rows,
    longest_context_tokens,
)
from provider_catalog.models import load_model

GIB = 2**30


def row(rows: tuple[GuideRow, ...], start: str) -> GuideRow:
    found = [each for each in rows if each.rule.startswith(start)]
    assert len(found) == 1, [each.rule for each in rows]
    return found[0]


def rows_of(name: str, tokens: int, sequences: int) -> tuple[GuideRow, ...]:
    return guide_rows(load_model(name), tokens, sequences, load_model)


def test_flops_of_gpt_3_are_megatrons() -> None:
    # Narayanan et al. 2021, arXiv 2104.04473, appendix: a forward pass takes 24·B·s·l·h² + 4·B·s²·l·h in the layers
    # and 2·B·s·h·V in the head; half the s² term where the causal mask is used
    tokens, sequences, layers, hidden = 2048, 4, 96, 12288
    model = load_model("gpt3-175b")
    expected = sequences * (
        24 * tokens * layers * hidden**2 + 2 * tokens**2 * layers * hidden + 2 * tokens * hidden * model.vocab_size
    )
    assert forward_flops(model, tokens, sequences) == pytest.approx(expected, rel=1e-3)


def test_first_order_flops_hold_for_a_dense_model_and_not_for_experts() -> None:
    assert guide_flops(7e9, 2048, 32) == 2 * 7e9 * 2048 * 32
    assert row(rows_of("gpt3-175b", 2048, 1), "FLOPs").off_by == pytest.approx(1, abs=0.05)
    # 671B of which 37B are active (arXiv 2412.19437, abstract): about 18 times too much
    flops = row(rows_of("deepseek-r1", 1, 1), "FLOPs")
    assert flops.off_by == pytest.approx(671 / 37, rel=0.03)
    assert "experts" in flops.why


def test_memory_rule_reads_megabytes_as_gibibytes() -> None:
    # 7000 x 2 / 1024, and 1000 million activations of 4 bytes
    assert guide_memory_gib(7e9, 0) == pytest.approx(13.67, abs=0.01)
    assert guide_memory_gib(0, 1e9) == pytest.approx(3.91, abs=0.01)
    # The same 14e9 bytes are 13.04 GiB
    assert guide_memory_gib(7e9, 0) / (14e9 / GIB) == pytest.approx(1.0486, abs=1e-4)


def test_training_takes_nine_times_the_rules_weights() -> None:
    # 18 bytes a parameter against 2 (Korthikanti et al. 2022: 16 of ZeRO with fp32 gradients), and activations
    training = row(rows_of("llama-2-7b", 512, 1), "memory = (parameters × 2 + activations × 4) / 1024, training")
    assert 18 * 6.74e9 / GIB < training.ours < 18 * 6.74e9 / GIB + 10
    assert training.off_by < 1 / 7


def test_int8_does_not_halve_what_stays_in_16_bits() -> None:
    rows = rows_of("llama-2-7b", 4096, 16)
    weights = next(each for each in rows if each.rule.endswith("weights"))
    assert 0.9 < weights.off_by < 1
    both = row(rows, "INT8 halves memory, weights and KV cache")
    # 16 x 4096 tokens x 512 KiB = 32 GiB of cache, which quantized weights leave alone
    assert both.ours == pytest.approx(32 + weights.ours)
    assert both.off_by < 0.6


def test_checkpointing_saves_more_of_activations_than_the_guide_says() -> None:
    # Korthikanti et al. 2022, arXiv 2205.05198, eq. 1 without the scores, and section 4.2: 34·s·b·h against 2·s·b·h
    activations = row(rows_of("gpt3-175b", 2048, 1), "gradient checkpointing: memory −40 %, activations")
    assert activations.ours / (activations.guide / 0.6) == pytest.approx(2 / 34, rel=0.05)


def test_claims_about_7b_depend_on_the_context() -> None:
    # Llama 2 7B keeps 2 x 32 layers x 4096 x 2 bytes = 512 KiB a token beside 12.55 GiB of weights
    seven = load_model("llama-2-7b")
    free_gib = 0.9 * 24 - 12.55 - 1.5
    assert longest_context_tokens(seven, 16, CARD_24GB_BYTES) == pytest.approx(free_gib * 2048 / 16, rel=0.01)
    for tokens, fits in ((512, True), (4096, False)):
        rows = rows_of("llama-2-7b", tokens, 1)
        for claim in ("7B in fp16 with batch 32 on one A100 80 GB", "7B with batch 16 in 24 GB"):
            said = row(rows, claim)
            assert (said.ours <= 0.9 * said.guide) is fits
            assert said.why.startswith("fits" if fits else "does not fit")


def test_13b_is_too_large_with_checkpointing_too() -> None:
    claim = row(rows_of("llama-2-13b", 4096, 1), "13B")
    # 13.0B parameters at 18 bytes: 218 GiB
    assert claim.ours > 18 * 13.0e9 / GIB > claim.guide == A100_80GB_BYTES / GIB
    assert "8 tensor-parallel GPUs" in claim.why


@given(
    name=st.sampled_from(("gpt2-xl", "deepseek-v2-lite", "google/gemma-2-9b", "nvidia/Nemotron-H-56B-Base-8K")),
    tokens=st.integers(1, 4096),
    sequences=st.integers(1, 64),
)
def test_every_rule_has_both_values_a_reading_and_a_reason(name: str, tokens: int, sequences: int) -> None:
    rows = rows_of(name, tokens, sequences)
    for each in rows:
        assert each.guide > 0
        assert each.ours > 0
        assert math.isfinite(each.off_by)
        assert each.reading
        assert each.why


def test_the_command_prints_them() -> None:
    finished = CliRunner().invoke(cli, ["size", "llama-2-7b", "--guide", "--context", "2048", "--concurrency", "32"])
    assert finished.exit_code == 0, finished.output
    for rule in (
        "FLOPs ≈ 2·P·L·B",
        "memory = (parameters × 2 + activations × 4) / 1024",
        "INT8 halves memory",
        "gradient checkpointing: memory −40 %",
        "7B in fp16 with batch 32 on one A100 80 GB",
        "13B needs activation checkpointing",
        "7B with batch 16 in 24 GB",
    ):
        assert rule in finished.stdout
    assert finished.stdout.count("reason: ") == finished.stdout.count("interpretation: ") >= 7
