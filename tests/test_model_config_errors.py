"""Hostile configurations get a message that names the key, the value and what is allowed."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider_catalog.errors import CatalogError
from provider_catalog.model_config import read_config
from provider_catalog.models import load_model

LLAMA: dict[str, object] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
}
MOE: dict[str, object] = {**LLAMA, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": -1}, r"'hidden_size' is -1; allowed: an integer from 1"),
        ({"hidden_size": "4096"}, r"'hidden_size' is '4096'; allowed: an integer"),
        ({"hidden_size": float("nan")}, r"'hidden_size' is nan; allowed: an integer"),
        ({"hidden_size": float("inf")}, r"'hidden_size' is inf; allowed: an integer"),
        ({"hidden_size": True}, r"'hidden_size' is True; allowed: an integer"),
        ({"hidden_size": [4096]}, r"'hidden_size' is \[4096\]; allowed: an integer"),
        ({"hidden_size": 10**30}, r"'hidden_size' is 1000000000000000000000000000000; allowed: an integer from 1 to"),
        ({"hidden_size": 4096.5}, r"'hidden_size' is 4096.5; allowed: an integer"),
        ({"hidden_size": None}, r"'hidden_size' is missing"),
        ({"num_hidden_layers": 0}, r"'num_hidden_layers' is 0; allowed: an integer from 1"),
        ({"num_key_value_heads": 5}, r"'num_attention_heads' is 32; allowed: a multiple of num_key_value_heads \(5\)"),
        ({"num_attention_heads": 33}, r"'num_attention_heads' is 33"),
        ({"tie_word_embeddings": "yes"}, r"'tie_word_embeddings' is 'yes'; allowed: true or false"),
        ({"model_type": 7}, r"'model_type' is 7; allowed: a string"),
        ({"text_config": [1]}, r"'text_config' is \[1\]; allowed: an object"),
        ({"text_config": {"hidden_size": -2}}, r"'text_config.hidden_size' is -2"),
        ({"layer_types": ["full_attention"]}, r"'layer_types' is .*allowed: a list of strings, one for each of the 32"),
        ({"quantization_config": "fp8"}, r"'quantization_config' is 'fp8'; allowed: an object"),
        ({"vision_config": 3}, r"'vision_config' is 3; allowed: an object"),
        (
            {"num_hidden_layers": 60000, "hidden_size": 4_000_000, "num_attention_heads": 8},
            r"describes .* parameters; allowed: at most",
        ),
    ],
    ids=lambda value: json.dumps(value, default=str)[:40] if isinstance(value, dict) else "",
)
def test_bad_value_is_named_with_what_is_allowed(change: dict[str, object], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        read_config({**LLAMA, **change}, "model")


def test_more_active_experts_than_experts_are_refused() -> None:
    with pytest.raises(CatalogError, match=r"'num_experts_per_tok' is 9; allowed: at most the 8 experts"):
        read_config({**MOE, "num_experts_per_tok": 9}, "model")


def test_a_configuration_without_a_decoder_is_refused() -> None:
    with pytest.raises(CatalogError, match="'hidden_size' is missing"):
        read_config({"name": "not a model"}, "model")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "holds a list; allowed: a JSON object"),
        ("{", "not valid JSON"),
        ('"text"', "holds a text; allowed: a JSON object"),
        ("[" * 200_000, "not valid JSON"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "not valid JSON"),
    ],
    ids=["empty", "list", "cut", "string", "deep", "long-number"],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(CatalogError, match=message):
        load_model(str(path))


def test_a_deeply_nested_text_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    depth = 600
    path.write_text('{"text_config": ' * depth + "{}" + "}" * depth)
    with pytest.raises(CatalogError, match="nested"):
        load_model(str(path))


def test_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(CatalogError, match=r"104,857,600 bytes; .*allowed: a JSON file of at most"):
        load_model(str(path))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(CatalogError, match="not valid JSON"):
        load_model(str(path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
FAMILIES = ["llama", "mixtral", "deepseek_v3", "deepseek_v4", "qwen3_5", "nemotron_h", "gemma4", "gpt2", "falcon", "x"]
KEYS = [
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
    "intermediate_size",
    "num_key_value_heads",
    "sliding_window",
    "layer_types",
    "quantization_config",
    "vision_config",
    "text_config",
    "n_routed_experts",
    "num_experts_per_tok",
    "kv_lora_rank",
    "mlp_only_layers",
    "hybrid_override_pattern",
    "torch_dtype",
    "compress_ratios",
]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    changes=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
)
def test_any_json_gives_a_model_or_a_catalog_error(family: str, changes: dict[str, object]) -> None:
    config = {**MOE, "moe_intermediate_size": 64, "model_type": family, **changes}
    try:
        model = read_config(config, "model")
    except CatalogError:
        return
    assert model.total_parameters >= model.active_parameters > 0
