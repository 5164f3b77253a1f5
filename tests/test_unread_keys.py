"""Keys of a config.json that may change sizes are read or named in a warning."""

from typing import Any

import pytest

from provider_catalog.model_config import read_config
from provider_catalog.models import load_model, published_config

QWEN: dict[str, Any] = dict(published_config("Qwen/Qwen3-30B-A3B"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        # LongCat-Flash-Lite: an embedding of n-grams, which is half of the model
        ("ngram_vocab_size_ratio", 78),
        # Kimi K3, in a family that does not read it
        ("routed_expert_hidden_size", 3584),
        ("linear_num_value_heads", 32),
        ("altup_lora_rank", 64),
        ("use_attention_output_gate", True),
        ("per_layer_kv_heads", [1, 2, 4]),
    ],
)
def test_a_key_that_a_known_family_does_not_read_is_named(key: str, value: object) -> None:
    plain, changed = read_config(QWEN, "plain"), read_config({**QWEN, key: value}, "changed")
    assert plain.warnings == ()
    assert len(changed.warnings) == 1 and key in changed.warnings[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token_id", 7),
        ("rope_theta", 10_000),
        ("attention_dropout", 0.1),
        ("hidden_dropout_prob", 0.1),
        ("num_experts_per_group", None),
        ("extra_gate", False),
        ("router_aux_loss_coef", 0.001),
    ],
)
def test_keys_without_a_size_are_not_named(key: str, value: object) -> None:
    assert read_config({**QWEN, key: value}, "changed").warnings == ()


def test_nested_keys_are_named_with_their_path() -> None:
    config: dict[str, Any] = dict(published_config("google/gemma-3-27b-it"))
    text = {**config["text_config"], "memory_layers": 4}
    warnings = read_config({**config, "text_config": text}, "changed").warnings
    assert any("text_config.memory_layers = 4" in warning for warning in warnings)


def test_the_generic_reader_knows_further_names() -> None:
    common = {"model_type": "new", "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "intermediate_size": 128}
    without = read_config({**common, **experts, "num_layers": 2}, "new")
    shared = read_config({**common, **experts, "num_layers": 2, "num_shared_experts": 1}, "new")
    assert shared.total_parameters - without.total_parameters == 2 * 3 * 64 * 32
    normed = read_config({**common, **experts, "num_layers": 2, "qk_norm": True}, "new")
    assert normed.total_parameters - without.total_parameters == 2 * 2 * 16


def test_kimi_k3_and_minimax_m3() -> None:
    # Published totals of the safetensors; the keys are those of the configurations that decide sizes
    heads = {"num_attention_heads": 96, "num_key_value_heads": 96, "q_lora_rank": 1536, "kv_lora_rank": 512}
    full = [4 * index for index in range(1, 24)] + [93]
    kimi = {
        "model_type": "kimi_linear",
        "hidden_size": 7168,
        "intermediate_size": 33792,
        "moe_intermediate_size": 3072,
        "routed_expert_hidden_size": 3584,
        "latent_moe_use_norm": True,
        "num_hidden_layers": 93,
        "first_k_dense_replace": 1,
        "num_experts": 896,
        "num_experts_per_token": 16,
        "num_shared_experts": 2,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "mla_use_output_gate": True,
        "attn_res_block_size": 12,
        "vocab_size": 163840,
        **heads,
        "linear_attn_config": {
            "full_attn_layers": full,
            "head_dim": 128,
            "num_heads": 96,
            "short_conv_kernel_size": 4,
            "use_full_rank_gate": True,
        },
    }
    assert read_config(kimi, "Kimi-K3").total_parameters == pytest.approx(2_779_484_478_208, rel=1e-8)
    sparse = [0] * 3 + [1] * 57
    minimax = {
        "hidden_size": 6144,
        "intermediate_size": 3072,
        "dense_intermediate_size": 12288,
        "shared_intermediate_size": 3072,
        "num_hidden_layers": 60,
        "num_attention_heads": 64,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "vocab_size": 200064,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "moe_layer_freq": sparse,
        "sparse_attention_config": {
            "sparse_index_dim": 128,
            "sparse_num_index_heads": 4,
            "sparse_attention_freq": sparse,
        },
    }
    model = read_config({"model_type": "minimax_m3_vl", "text_config": minimax}, "MiniMax-M3")
    assert model.total_parameters == 426_174_572_928
    assert sum(group.count * group.attention.indexer_values_per_token for group in model.layers) == 57 * 128


def test_presets_have_no_unread_keys() -> None:
    for name in ("Qwen/Qwen3.5-27B", "openai/gpt-oss-20b", "zai-org/GLM-5.1", "nvidia/Nemotron-H-56B-Base-8K"):
        assert not any("not read" in warning for warning in load_model(name).warnings)
