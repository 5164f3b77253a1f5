"""Parameter counts against instantiated models and publishers' figures."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from provider_catalog.attention.latent import LatentAttention
from provider_catalog.model_config import read_config
from provider_catalog.model_config.llama_traits import TRAITS
from provider_catalog.model_config.reader import READERS, family_reader
from provider_catalog.models import load_model

REFERENCE: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parent / "data" / "model_totals.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("row", REFERENCE["totals"], ids=lambda row: row["model"])
def test_total_is_that_of_the_instantiated_model(row: dict[str, Any]) -> None:
    model = load_model(row["model"])
    assert model.total_parameters == pytest.approx(row["total"], rel=1e-3)
    assert model.warnings == ()


@pytest.mark.parametrize("row", [r for r in REFERENCE["totals"] if "vision" in r], ids=lambda row: row["model"])
def test_vision_tower_is_counted_apart(row: dict[str, Any]) -> None:
    model = load_model(row["model"])
    assert model.vision_parameters == pytest.approx(row["vision"], rel=1e-3)
    assert model.parameters_by_component["vision"] == model.vision_parameters


@pytest.mark.parametrize("row", REFERENCE["active"], ids=lambda row: row["model"])
def test_active_parameters_are_the_publishers(row: dict[str, Any]) -> None:
    active = load_model(row["model"]).active_parameters / 1e9
    assert active == pytest.approx(row["billions"], rel=0.02)
    # To the very digits that were published
    assert round(active, 0 if isinstance(row["billions"], int) else 1) == row["billions"]


def test_dense_model_activates_all_its_parameters() -> None:
    model = load_model("meta-llama/Llama-3.1-8B")
    assert model.active_parameters == model.total_parameters


def test_components_add_up_to_total_and_what_is_named_beside_it() -> None:
    for name in ("deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-VL-4B-Instruct", "openai-community/gpt2-xl"):
        model = load_model(name)
        beside = model.mtp_parameters + model.vision_parameters + model.audio_parameters
        assert sum(model.parameters_by_component.values()) == model.total_parameters + beside


def test_v3_draft_layer_is_apart_and_of_the_published_size() -> None:
    # README_WEIGHTS of DeepSeek-V3: the MTP module has 11.5B unique parameters
    assert load_model("deepseek-ai/DeepSeek-V3").mtp_parameters / 1e9 == pytest.approx(11.5, rel=0.02)


def test_r1_is_read_with_its_published_latent_attention_and_experts() -> None:
    # arXiv 2412.19437, section 4.2: 61 layers, 128 heads, r_kv 512, r_q 1536, per-head 128 and 64 decoupled
    model = load_model("deepseek-r1")
    attention = model.layers[0].attention
    assert isinstance(attention, LatentAttention)
    assert (model.layer_count, attention.kind, attention.heads) == (61, "mla", 128)
    assert (attention.kv_lora_rank, attention.q_lora_rank, attention.qk_rope_head_dim) == (512, 1536, 64)
    assert [group.count for group in model.layers] == [3, 58]
    assert (model.layers[1].feed_forward.experts, model.layers[1].feed_forward.experts_per_token) == (256, 8)


def test_gpt3_counts_to_the_papers_total() -> None:
    # Brown et al. 2020, Table 2.1: 174.6B in the published breakdown (Table D.1: 174,600M)
    assert load_model("gpt3-175b").total_parameters / 1e6 == pytest.approx(174_600, rel=1e-3)


def test_layer_order_follows_the_configuration() -> None:
    # gpt-oss alternates windowed and full layers, the first windowed (arXiv 2508.10925, section 2.3: 128 tokens)
    model = load_model("openai/gpt-oss-20b")
    windows = [model.layers[index].attention.window for index in model.layer_sequence]
    assert windows[:4] == [128, None, 128, None]
    assert len(windows) == model.layer_count == 24


FAMILIES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "family_totals.json").read_text(encoding="utf-8")
)
"""Configurations of every family (its defaults, and variants) as Hugging Face transformers 5.23 writes them, with the
parameters it instantiates on the meta device, towers left out."""


@pytest.mark.parametrize("name", FAMILIES)
def test_family_counts_to_the_instantiated_total(name: str) -> None:
    model = read_config(FAMILIES[name]["config"], name)
    assert model.total_parameters == pytest.approx(FAMILIES[name]["total"], rel=1e-4)
    assert model.warnings == ()


@pytest.mark.parametrize(
    ("config", "published"),
    [
        # Model types whose presets the catalog does not hold; totals from Hugging Face safetensors metadata
        ({"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "vocab_size": 50400}, 6_050_882_784),
        ({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}, 124_439_808),
        (
            {
                "model_type": "olmoe",
                "hidden_size": 2048,
                "intermediate_size": 1024,
                "num_hidden_layers": 16,
                "num_attention_heads": 16,
                "num_experts": 64,
                "num_experts_per_tok": 8,
                "vocab_size": 50304,
            },
            6_919_161_856,
        ),
        (
            {
                "model_type": "dbrx",
                "d_model": 6144,
                "n_heads": 48,
                "n_layers": 40,
                "vocab_size": 100352,
                "attn_config": {"kv_n_heads": 8},
                "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
            },
            131_596_523_520,
        ),
        # LGAI-EXAONE/EXAONE-3.0-7.8B-Instruct
        (
            {
                "model_type": "exaone",
                "hidden_size": 4096,
                "intermediate_size": 14336,
                "num_layers": 32,
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
                "vocab_size": 102400,
            },
            7_818_448_896,
        ),
        # stepfun-ai/step3: 316B in the language model (arXiv 2507.19427, Table 1)
        (
            {
                "model_type": "step3_text",
                "hidden_size": 7168,
                "intermediate_size": 18432,
                "num_hidden_layers": 61,
                "num_attention_heads": 64,
                "num_attention_groups": 1,
                "head_dim": 256,
                "share_q_dim": 2048,
                "moe_num_experts": 48,
                "moe_top_k": 3,
                "moe_intermediate_size": 5120,
                "share_expert_dim": 5120,
                "moe_layers_enum": ",".join(map(str, range(4, 60))),
                "vocab_size": 128815,
            },
            316_000_000_000,
        ),
        # inclusionAI/Ling-mini-2.0: 16.26B
        (
            {
                "model_type": "bailing_moe_v2",
                "hidden_size": 2048,
                "intermediate_size": 5120,
                "num_hidden_layers": 20,
                "num_attention_heads": 16,
                "num_key_value_heads": 4,
                "head_dim": 128,
                "use_qk_norm": True,
                "num_experts": 256,
                "num_experts_per_tok": 8,
                "num_shared_experts": 1,
                "moe_intermediate_size": 512,
                "first_k_dense_replace": 1,
                "vocab_size": 157184,
            },
            16_260_000_000,
        ),
        # Snowflake/snowflake-arctic-instruct: 479B
        (
            {
                "model_type": "arctic",
                "hidden_size": 7168,
                "intermediate_size": 4864,
                "num_hidden_layers": 35,
                "num_attention_heads": 56,
                "num_key_value_heads": 8,
                "num_local_experts": 128,
                "num_experts_per_tok": 2,
                "vocab_size": 32000,
            },
            479_000_000_000,
        ),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_other_families_count_to_their_published_totals(config: dict[str, object], published: int) -> None:
    assert read_config(config, "model").total_parameters == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize(
    ("published", "config"),
    [
        # Key names as on the Hub, where they differ from those transformers writes; totals of the model cards
        (
            456e9,
            {
                "model_type": "minimax_text_01",
                "hidden_size": 6144,
                "num_hidden_layers": 80,
                "num_attention_heads": 64,
                "num_key_value_heads": 8,
                "head_dim": 128,
                "num_local_experts": 32,
                "num_experts_per_tok": 2,
                "intermediate_size": 9216,
                "vocab_size": 200064,
                "attn_type_list": ([0] * 7 + [1]) * 10,
                "shared_intermediate_size": 0,
            },
        ),
        (
            309e9,
            {
                "model_type": "mimo_v2_flash",
                "hidden_size": 4096,
                "intermediate_size": 16384,
                "moe_intermediate_size": 2048,
                "num_hidden_layers": 48,
                "num_attention_heads": 64,
                "num_key_value_heads": 4,
                "head_dim": 192,
                "v_head_dim": 128,
                "swa_num_key_value_heads": 8,
                "sliding_window": 128,
                "hybrid_layer_pattern": [0, 1, 1, 1, 1, 0] + [1, 1, 1, 1, 1, 0] * 7,
                "moe_layer_freq": [0] + [1] * 47,
                "n_routed_experts": 256,
                "n_shared_experts": None,
                "num_experts_per_tok": 8,
                "vocab_size": 152576,
            },
        ),
        (
            196e9,
            {
                "model_type": "step3p5",
                "hidden_size": 4096,
                "intermediate_size": 11264,
                "num_hidden_layers": 45,
                "num_attention_heads": 64,
                "num_attention_groups": 8,
                "head_dim": 128,
                "moe_num_experts": 288,
                "moe_top_k": 8,
                "moe_intermediate_size": 1280,
                "share_expert_dim": 1280,
                "moe_layers_enum": ",".join(str(layer) for layer in range(3, 45)),
                "sliding_window": 512,
                "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "sliding_attention"] * 12,
                "attention_other_setting": {"num_attention_heads": 96, "num_attention_groups": 8},
                "vocab_size": 128896,
            },
        ),
        (
            300e9,
            {
                "model_type": "ernie4_5_moe",
                "hidden_size": 8192,
                "intermediate_size": 28672,
                "num_hidden_layers": 54,
                "num_attention_heads": 64,
                "num_key_value_heads": 8,
                "moe_num_experts": 64,
                "moe_k": 8,
                "moe_intermediate_size": 3584,
                "moe_layer_start_index": 3,
                "moe_layer_end_index": 53,
                "moe_layer_interval": 1,
                "vocab_size": 103424,
                "tie_word_embeddings": False,
            },
        ),
        (
            80e9,
            {
                "model_type": "hunyuan_v1_moe",
                "hidden_size": 4096,
                "intermediate_size": 3072,
                "moe_intermediate_size": [3072] * 32,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
                "num_experts": 64,
                "moe_topk": [8] * 32,
                "num_shared_expert": [1] * 32,
                "vocab_size": 128167,
                "tie_word_embeddings": True,
            },
        ),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_configurations_of_the_hub_count_to_the_cards_total(published: float, config: dict[str, object]) -> None:
    model = read_config(config, "model")
    assert model.total_parameters == pytest.approx(published, rel=0.01)
    assert model.warnings == ()


def test_unknown_family_is_read_by_its_keys_and_says_so() -> None:
    shape = {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
    }
    model = read_config({**shape, "model_type": "nobody-knows"}, "new")
    # The shape is Llama 2 7B's
    assert model.total_parameters == 6_738_415_616
    assert "'nobody-knows' is unknown" in model.warnings[0]
    assert "gated" in model.warnings[0]


def test_nested_text_config_is_followed() -> None:
    text = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 1000,
    }
    nested = read_config({"model_type": "some-vlm", "text_config": text}, "vlm")
    assert nested.total_parameters == read_config(text, "llm").total_parameters


@pytest.mark.parametrize("model_type", sorted({*READERS, *TRAITS}))
def test_every_listed_family_has_a_reader_of_its_own(model_type: str) -> None:
    assert family_reader(model_type) is not family_reader("nobody-knows-it")
