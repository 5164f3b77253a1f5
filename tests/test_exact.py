"""Counting by instantiation agrees with counting from the configuration."""

import importlib.util
import json

import pytest

from provider_catalog import models
from provider_catalog.errors import CatalogError
from provider_catalog.instantiation import instantiated_parameters
from provider_catalog.models import load_model

INSTALLED = all(importlib.util.find_spec(package) for package in ("torch", "transformers"))


@pytest.mark.exact
@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "deepseek-ai/DeepSeek-V3", "openai-community/gpt2-xl"])
def test_counting_by_instantiation_agrees_with_the_configuration(name: str) -> None:
    preset = models.find_preset(name)
    assert preset is not None
    config = json.loads((models.DATA_FOLDER / preset.config).read_text(encoding="utf-8"))
    assert instantiated_parameters(config)["total"] == load_model(name).total_parameters


@pytest.mark.skipif(INSTALLED, reason="transformers is installed")
def test_exact_without_its_extra_says_what_to_install() -> None:
    with pytest.raises(CatalogError, match="is not installed: pip install transformers torch"):
        instantiated_parameters({"model_type": "llama"})
