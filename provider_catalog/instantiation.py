"""Counting parameters by instantiation: Hugging Face transformers builds the model without weights.

This is slower by orders of magnitude than counting from the configuration, and needs the optional packages transformers
and torch. It settles doubts about a family that is read generically.
"""

import importlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from provider_catalog.errors import CatalogError

TOWERS: Final = ("vision", "visual", "image", "audio", "multi_modal", "multimodal", "aligner", "projector")
"""Parts of module names that mark an encoder beside the decoder, or its projector."""


def instantiated_parameters(config: Mapping[str, object]) -> dict[str, int]:
    """Count the parameters of the instantiated model: `total` in the decoder, `towers` in the encoders beside it.

    Tied tensors count once. Code that comes with a checkpoint is never run, so a family that transformers itself does
    not know is refused.

    Raises:
        CatalogError: transformers is not installed, or cannot build the model.
    """
    try:
        torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise CatalogError(
            f"exact counting needs the package {error.name}, which is not installed: pip install transformers torch, "
            "or count from the configuration"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
        try:
            settings = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
            with torch.device("meta"):
                model = _instantiate(transformers, settings)
        except Exception as error:
            # transformers has no common base class for errors; whatever it raises here concerns the configuration.
            raise CatalogError(f"transformers cannot build this configuration: {error}") from error
    counts = {"total": 0, "towers": 0}
    # named_parameters() yields a tied tensor once.
    for name, tensor in model.named_parameters():
        counts["towers" if any(part in name for part in TOWERS) else "total"] += tensor.numel()
    return counts


def _instantiate(transformers: Any, settings: Any) -> Any:
    """Build a causal language model, or the multimodal class where the family has no other."""
    try:
        return transformers.AutoModelForCausalLM.from_config(settings)
    except ValueError:
        return transformers.AutoModelForImageTextToText.from_config(settings)
