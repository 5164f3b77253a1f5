"""KV cache against the papers' formulas and figures, and its invariants."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.sizing.kv_cache import kv_cache_bytes, kv_cache_bytes_per_gpu, kv_cache_bytes_per_token
from provider_catalog.models import load_model

SAMPLE = (
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3.2",
    "deepseek-ai/DeepSeek-V4-Flash",
    "meta-llama/Llama-3.1-70B",
    "mistralai/Mistral-7B-v0.1",
    "openai/gpt-oss-20b",
    "Qwen/Qwen3.5-27B",
    "nvidia/Nemotron-H-56B-Base-8K",
    "google/gemma-2-9b",
    "tiiuae/falcon-7b",
)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        # arXiv 2405.04434, Table 1: MLA caches (d_c + d_R) values a layer, 512 + 64
        ("deepseek-ai/DeepSeek-V3", 61 * (512 + 64)),
        ("deepseek-ai/DeepSeek-R1", 61 * (512 + 64)),
        ("deepseek-ai/DeepSeek-V2", 60 * (512 + 64)),
        # arXiv 2512.02556: the lightning indexer adds one key of 128 a layer
        ("deepseek-ai/DeepSeek-V3.2", 61 * (512 + 64 + 128)),
        # GQA 2·L·n_kv·d (arXiv 2305.13245)
        ("meta-llama/Llama-3.1-70B", 2 * 80 * 8 * 128),
        ("meta-llama/Llama-2-7b-hf", 2 * 32 * 32 * 128),
        # Multi-query: one key-value head of 64
        ("tiiuae/falcon-7b", 2 * 32 * 64),
        # Nemotron-H-56B: 10 attention layers of 8 key-value heads (arXiv 2504.03624, Table 1)
        ("nvidia/Nemotron-H-56B-Base-8K", 2 * 10 * 8 * 128),
        # Qwen3.5: one layer in four is attention
        ("Qwen/Qwen3.5-27B", 2 * 16 * 4 * 256),
    ],
)
def test_a_cached_token_takes_the_values_of_the_papers(model: str, values: int) -> None:
    assert kv_cache_bytes_per_token(load_model(model), "bf16") == 2 * values
    assert kv_cache_bytes_per_token(load_model(model), "fp8") == values


def test_a_cached_token_takes_the_published_bytes() -> None:
    # "Insights into DeepSeek-V3", arXiv 2505.09343, Table 1: KV cache per token 70.272 KB, Qwen2.5-72B 327.680 KB,
    # Llama-3.1 405B 516.096 KB, in bf16 with KB of 1000 bytes
    for name, kilobytes in (
        ("deepseek-ai/DeepSeek-V3", 70.272),
        ("Qwen/Qwen2.5-72B", 327.680),
        ("meta-llama/Llama-3.1-405B", 516.096),
    ):
        assert kv_cache_bytes_per_token(load_model(name), "bf16") / 1000 == pytest.approx(kilobytes)


def test_sequences_add_up() -> None:
    model = load_model("meta-llama/Llama-3.1-70B")
    assert kv_cache_bytes(model, 1000, 7, "bf16") == 7000 * 320 * 1024
    assert kv_cache_bytes(model, 0, 7, "bf16") == 0


def test_sliding_window_caps_every_layer_that_has_one() -> None:
    # Mistral 7B: all 32 layers see 4096 tokens (arXiv 2310.06825, section 2)
    model = load_model("mistralai/Mistral-7B-v0.1")
    assert kv_cache_bytes(model, 100_000, 1, "bf16") == kv_cache_bytes(model, 4096, 1, "bf16")
    # gpt-oss: 12 of 24 layers see 128 tokens
    oss = load_model("openai/gpt-oss-20b")
    assert kv_cache_bytes(oss, 10_000, 1, "bf16") == 2 * 2 * 8 * 64 * 12 * (10_000 + 128)


def test_recurrent_state_is_there_from_the_first_token_and_does_not_grow() -> None:
    # Nemotron-H-56B: 54 Mamba-2 layers, 256 heads of 64, state 256 (arXiv 2504.03624), convolution over 3 past tokens
    model = load_model("nvidia/Nemotron-H-56B-Base-8K")
    state = 54 * (256 * 64 * 256 + 3 * (256 * 64 + 2 * 8 * 256)) * 2
    assert kv_cache_bytes(model, 0, 1, "bf16") == state
    assert kv_cache_bytes(model, 1000, 1, "bf16") - state == 1000 * 2 * 2 * 10 * 8 * 128


def test_the_compressed_cache_of_v4_at_a_million_tokens_is_as_small_as_published() -> None:
    # vLLM's notes on serving DeepSeek-V4 (April 2026): 9.62 GiB a sequence of 1M tokens in bf16, 8.7 times less than
    # V3.2, which would take 83.9 GiB
    tokens = 2**20
    v4 = kv_cache_bytes(load_model("deepseek-ai/DeepSeek-V4-Pro"), tokens, 1, "bf16")
    v3 = kv_cache_bytes(load_model("deepseek-ai/DeepSeek-V3.2"), tokens, 1, "bf16")
    assert v4 / 2**30 == pytest.approx(9.62, rel=2e-3)
    assert v3 / 2**30 == pytest.approx(83.9, rel=1e-3)
    assert v3 / v4 == pytest.approx(8.7, rel=5e-3)


def test_tensor_parallelism_divides_heads_and_stops_at_their_number() -> None:
    model = load_model("meta-llama/Llama-3.1-70B")
    whole = kv_cache_bytes(model, 4096, 8, "bf16")
    assert kv_cache_bytes_per_gpu(model, 4096, 8, "bf16", 4, 1) == whole // 4
    assert kv_cache_bytes_per_gpu(model, 4096, 8, "bf16", 8, 1) == whole // 8
    assert kv_cache_bytes_per_gpu(model, 4096, 8, "bf16", 16, 1) == whole // 8


def test_latent_cache_is_whole_on_every_tensor_parallel_rank() -> None:
    model = load_model("deepseek-r1")
    whole = kv_cache_bytes(model, 4096, 8, "bf16")
    assert kv_cache_bytes_per_gpu(model, 4096, 8, "bf16", 8, 1) == whole


def test_pipeline_divides_layers_and_the_fullest_stage_counts() -> None:
    model = load_model("deepseek-r1")
    assert kv_cache_bytes_per_gpu(model, 1000, 1, "fp8", 1, 4) == 16 * 576 * 1000


@pytest.mark.parametrize(("tokens", "sequences"), [(-1, 1), (1, -1)])
def test_negative_counts_are_refused(tokens: int, sequences: int) -> None:
    with pytest.raises(ValueError, match="allowed: 0 or more"):
        kv_cache_bytes(load_model("deepseek-r1"), tokens, sequences, "bf16")


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(SAMPLE),
    tokens=st.integers(0, 300_000),
    more=st.integers(1, 10_000),
    sequences=st.integers(1, 256),
    tensor=st.sampled_from((1, 2, 3, 4, 8, 16)),
    pipeline=st.integers(1, 16),
)
def test_memory_grows_with_tokens_and_sharding_loses_none(
    name: str, tokens: int, more: int, sequences: int, tensor: int, pipeline: int
) -> None:
    model = load_model(name)
    whole = kv_cache_bytes(model, tokens, sequences, "bf16")
    per_gpu = kv_cache_bytes_per_gpu(model, tokens, sequences, "bf16", tensor, pipeline)
    assert 0 <= whole <= kv_cache_bytes(model, tokens + more, sequences, "bf16")
    assert kv_cache_bytes(model, tokens, sequences, "fp8") <= whole
    assert per_gpu <= whole <= per_gpu * tensor * pipeline
    assert per_gpu <= kv_cache_bytes_per_gpu(model, tokens, sequences + 1, "bf16", tensor, pipeline)
