"""`model:` in a spec may be a preset, a path or a nominal size."""

import json
from pathlib import Path

import pytest

from provider_catalog import models
from provider_catalog.errors import CatalogError
from provider_catalog.models import load_model, model_index

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize("preset", model_index().presets, ids=lambda preset: preset.name)
def test_every_preset_loads_and_has_its_context(preset: models.ModelPreset) -> None:
    model = load_model(preset.name)
    assert model.name == preset.name
    assert model.max_position_embeddings is not None
    assert model.warnings == ()
    assert preset.source.startswith(("https://huggingface.co/", "Brown et al.", "Zhang et al."))


def test_the_deepseek_line_is_complete() -> None:
    names = {preset.name.removeprefix("deepseek-ai/") for preset in model_index().presets}
    assert names >= {
        "deepseek-llm-7b-base",
        "deepseek-llm-67b-base",
        "deepseek-coder-33b-base",
        "deepseek-moe-16b-base",
        "DeepSeek-V2-Lite",
        "DeepSeek-V2",
        "DeepSeek-V3",
        "DeepSeek-V3.1",
        "DeepSeek-V3.2",
        "DeepSeek-V4-Flash",
        "DeepSeek-V4-Pro",
        "DeepSeek-R1",
        "DeepSeek-R1-Distill-Qwen-1.5B",
        "DeepSeek-R1-Distill-Qwen-7B",
        "DeepSeek-R1-Distill-Qwen-14B",
        "DeepSeek-R1-Distill-Qwen-32B",
        "DeepSeek-R1-Distill-Llama-8B",
        "DeepSeek-R1-Distill-Llama-70B",
    }


def test_names_and_aliases_are_unique() -> None:
    names = [n.casefold() for preset in model_index().presets for n in (preset.name, *preset.aliases)]
    assert sorted(names) == sorted(set(names))


def test_every_configuration_belongs_to_a_preset() -> None:
    assert {path.name for path in models.DATA_FOLDER.glob("*.json")} == {p.config for p in model_index().presets}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-R1"),
        ("DEEPSEEK-AI/deepseek-r1", "deepseek-ai/DeepSeek-R1"),
        ("deepseek-r1", "deepseek-ai/DeepSeek-R1"),
        ("llama-65b", "huggyllama/llama-65b"),
        ("llama-3.1-70b", "meta-llama/Llama-3.1-70B"),
        ("gpt-3", "openai/gpt3-175b"),
    ],
)
def test_full_names_and_aliases_in_any_case(reference: str, name: str) -> None:
    assert load_model(reference).name == name


def test_loading_one_preset_parses_one_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = models._read_json

    def counted(path: Path) -> object:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(models, "_read_json", counted)
    models._load_preset.cache_clear()
    load_model("deepseek-ai/DeepSeek-R1")
    assert read == ["deepseek-ai--DeepSeek-R1.json"]


def test_misspelt_name_suggests_the_nearest_and_the_accepted_forms() -> None:
    with pytest.raises(CatalogError) as error:
        load_model("deepseek-ai/DeepSek-R1")
    for part in ("'deepseek-ai/DeepSek-R1'", "did you mean 'deepseek-ai/DeepSeek-R1'", "config.json", "65B"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("reference", "taken"),
    [
        ({"parameters": "65B"}, "huggyllama/llama-65b"),
        ("65b", "huggyllama/llama-65b"),
        ({"parameters": 7e9}, "meta-llama/Llama-2-7b-hf"),
        ({"parameters": "0.67T"}, "deepseek-ai/DeepSeek-V3"),
        ("175B", "openai/gpt3-175b"),
        ({"tier": "standard"}, "huggyllama/llama-65b"),
        ("Flagship", "openai/gpt3-175b"),
    ],
    ids=str,
)
def test_nominal_size_takes_a_published_shape_and_says_which(reference: str | dict[str, object], taken: str) -> None:
    model = load_model(reference)
    assert model.name == taken
    assert taken in model.warnings[-1]


@pytest.mark.parametrize("entry", model_index().nominal_sizes, ids=lambda entry: f"{entry.parameters:.3g}")
def test_nominal_size_is_near_the_shape_that_stands_for_it(entry: models.NominalSize) -> None:
    # Names of classes are rounded: 7B is 6.7B, 30B is 32.5B
    assert load_model(entry.model).total_parameters == pytest.approx(entry.parameters, rel=0.1)


@pytest.mark.parametrize("tier", models.TIERS)
def test_tier_is_within_its_class(tier: str) -> None:
    # Hardware guides: lite 1.5B-7B, standard 13B-65B, flagship 175B and up; names round by a few percent
    low, high = {"lite": (1.5e9, 7e9), "standard": (13e9, 65e9), "flagship": (175e9, 1e13)}[tier]
    assert low * 0.95 <= load_model(tier).total_parameters <= high * 1.05


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "  ",
        "no-such-model",
        "0B",
        {"parameters": "big"},
        {"parameters": -7},
        {"parameters": float("nan")},
        {"parameters": True},
        {"parameters": "900T"},
        {"tier": "huge"},
        {},
        {"parameters": "7B", "tier": "lite"},
        "x" * 5000,
        "bad\0name",
    ],
    ids=lambda reference: repr(reference)[:30],
)
def test_nonsense_is_a_catalog_error(reference: str | dict[str, object]) -> None:
    with pytest.raises(CatalogError, match=r"allowed|Allowed"):
        load_model(reference)


def test_path_to_a_file_or_its_folder_relative_to_the_spec(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    for reference in ("my-model", "my-model/config.json", "./my-model"):
        model = load_model(reference, tmp_path)
        assert model.total_parameters == 6_738_415_616
    assert load_model("my-model/config.json", tmp_path).name == "my-model"


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"holds no config\.json"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(("total_size", "warned"), [(2 * 6_738_415_616, False), (2 * 7_500_000_000, True)])
def test_checkpoint_index_beside_the_configuration_is_compared(tmp_path: Path, total_size: int, warned: bool) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": total_size}}))
    warnings = load_model(str(tmp_path)).warnings
    assert any("model.safetensors.index.json" in warning for warning in warnings) is warned


def test_keys_of_a_configuration_given_in_place() -> None:
    assert load_model(dict(LLAMA)).total_parameters == 6_738_415_616
