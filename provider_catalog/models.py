"""Models by name, path or size: from the `model` of a spec to a ModelArchitecture.

Presets are the published configurations in data/models; each is parsed when it is asked for.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from provider_catalog.architecture import ModelArchitecture
from provider_catalog.errors import CatalogError
from provider_catalog.measured_architecture import MeasuredArchitecture
from provider_catalog.model_config import read_config
from provider_catalog.suggestions import nearest_names, question
from provider_catalog.text import kind_of, shortened
from provider_catalog.text_files import UnreadableFileError, read_text_file

DATA_FOLDER: Final = Path(__file__).parent / "data" / "models"
MAX_CONFIG_BYTES: Final = 16 * 1024 * 1024
"""Largest accepted config.json. Published configurations are below 1 MB, so a larger file is something else."""

INDEX_FILE: Final = "model.safetensors.index.json"
QUANTIZATION_FILE: Final = "hf_quant_config.json"
"""File that NVIDIA Model Optimizer writes its quantization to, unless it writes to config.json."""
MAX_CHECKPOINT_BYTES: Final = 10**16
"""Largest accepted checkpoint: a thousand times the largest published one."""
LEAST_BITS: Final = 1
"""Fewest bits of a stored parameter: formats of a single bit with shared scales are the smallest (BitNet, arXiv
2310.11453)."""
MOST_BITS: Final = 128
"""Most bits of a stored parameter: twice those of fp64, for what a configuration does not count."""
INDEX_TOLERANCE: Final = 0.001
"""Relative difference between checkpoint and count that causes a warning; counts are tested to this accuracy."""

MAX_NOMINAL_RATIO: Final = 1.3
"""Largest ratio between a nominal size and the size class that stands for it."""

TIERS: Final = ("lite", "standard", "flagship")

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([mbt]?)\s*", re.IGNORECASE)
_SIZE_UNITS: Final = {"": 1.0, "m": 1e6, "b": 1e9, "t": 1e12}

ACCEPTED: Final = (
    "a preset name such as deepseek-ai/DeepSeek-R1, a path to a config.json or to a folder holding one, "
    "a nominal size such as 65B, or a tier such as lite"
)


@dataclass(frozen=True)
class ModelPreset:
    """A published model of the catalog."""

    name: str
    config: str
    """File name of the configuration in data/models; models of equal shape may share one."""
    source: str
    licence: str
    as_of: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class NominalSize:
    """A size class as guides name it, and the published model whose shape represents it."""

    parameters: float
    model: str
    tier: str | None = None
    """Tier that the class represents; None for the other classes."""


@dataclass(frozen=True)
class ModelIndex:
    """The table of contents of data/models."""

    presets: tuple[ModelPreset, ...]
    nominal_sizes: tuple[NominalSize, ...]


@lru_cache(maxsize=1)
def model_index() -> ModelIndex:
    """All presets and nominal sizes; this reads no configuration."""
    import yaml  # imported here: a model given by path does not need the table of presets

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with (DATA_FOLDER / "index.yaml").open(encoding="utf-8") as file:
        document = yaml.load(file, Loader=loader)  # noqa: S506 - one of the safe loaders
    return ModelIndex(
        tuple(ModelPreset(**{**row, "aliases": tuple(row.get("aliases", ()))}) for row in document["presets"]),
        tuple(NominalSize(**row) for row in document["nominal_sizes"]),
    )


@lru_cache(maxsize=1)
def _by_name() -> dict[str, ModelPreset]:
    names: dict[str, ModelPreset] = {}
    for preset in model_index().presets:
        for name in (preset.name, *preset.aliases):
            names.setdefault(name.casefold(), preset)
    # The part after the organisation is also a name, unless an earlier preset has it.
    for preset in model_index().presets:
        names.setdefault(preset.name.rpartition("/")[2].casefold(), preset)
    return names


def find_preset(name: str) -> ModelPreset | None:
    """The preset with that full name, alias or name without organisation, ignoring case; None without one."""
    return _by_name().get(name.strip().casefold())


def load_model(
    reference: str | Mapping[str, object], folder: Path | None = None, *, confined: bool = False
) -> ModelArchitecture:
    """Load the architecture that a spec refers to.

    Args:
        reference: a preset name or alias; a path to a config.json or to a folder that holds one; a nominal size, as
            text ('65B', 'lite') or mapping ({parameters: 65B}, {tier: lite}); or the keys of a config.json themselves.
        folder: the folder that relative paths start from; None means the working directory.
        confined: whether symbolic links below `folder` may not lead out of it, as for what a spec names.

    Raises:
        CatalogError: the reference names nothing, or its configuration is not valid.
    """
    if isinstance(reference, Mapping):
        return _from_mapping(reference)
    if not isinstance(reference, str) or not reference.strip():
        raise CatalogError(f"model is {shortened(reference)}; allowed: {ACCEPTED}")
    if reference.endswith(".json"):
        return _load_path(reference, folder, confined)
    preset = find_preset(reference)
    if preset is not None:
        return _load_preset(preset.name)
    if reference.strip().casefold() in TIERS:
        return _nominal(tier=reference.strip().casefold())
    if _SIZE.fullmatch(reference):
        return _nominal(parameters=parse_size(reference))
    return _load_path(reference, folder, confined)


def published_config(reference: str, folder: Path | None = None) -> Mapping[str, object]:
    """The parsed config.json of a preset name, a path or a nominal size.

    Raises:
        CatalogError: the reference names nothing, or its file is not a JSON object.
    """
    preset = find_preset(reference)
    path = (folder or Path()) / Path(reference).expanduser()
    if preset is None and not path.exists():
        preset = find_preset(load_model(reference, folder).name)
    if preset is not None:
        path = DATA_FOLDER / preset.config
    elif path.is_dir():
        path = path / "config.json"
    config = _read_json(path)
    if not isinstance(config, dict):
        raise CatalogError(f"{path}: not a JSON object")
    return config


def _load_path(reference: str, folder: Path | None, confined: bool) -> ModelArchitecture:
    try:
        path = (folder or Path()) / Path(reference).expanduser()
        if path.is_dir():
            path = path / "config.json"
            if not path.is_file():
                raise CatalogError(
                    f"model is {shortened(reference)}: the folder holds no config.json. Allowed: {ACCEPTED}"
                )
        if path.is_file():
            return load_config_file(path, reference, (folder or Path()) if confined else None)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, CatalogError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise CatalogError(
            f"model is {shortened(reference, 200)}: the path cannot be read ({reason}). Allowed: {ACCEPTED}"
        ) from error
    raise CatalogError(f"model is {shortened(reference, 200)}: {_suggestion(reference)}Allowed: {ACCEPTED}")


def parse_size(text: str | float) -> float:
    """Parse a number of parameters: '65B', '1.5b', '0.67T', '125M' or a plain number.

    Raises:
        CatalogError: the text is not a positive size.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        value = float(text)
    else:
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise CatalogError(f"model.parameters is {shortened(text)}; allowed: a number with M, B or T, such as 65B")
        value = float(match[1]) * _SIZE_UNITS[match[2].lower()]
    if not (math.isfinite(value) and value > 0):
        raise CatalogError(f"model.parameters is {shortened(text)}; allowed: a positive size, such as 65B")
    return value


def load_config_file(path: Path, name: str | None = None, folder: Path | None = None) -> ModelArchitecture:
    """Load the architecture of a config.json.

    If a model.safetensors.index.json lies beside it, the size of the model comes from its `total_size`.

    Args:
        path: The config.json.
        name: What the model is called; None, or the bare name of the file: as the configuration says, else the folder.
        folder: See `read_text_file`.

    Raises:
        CatalogError: a file is too large, is not a valid configuration in JSON, or states an impossible size.
    """
    config = _read_json(path, folder)
    if not isinstance(config, dict):
        raise CatalogError(f"{path}: holds {kind_of(config)}; allowed: a JSON object, the config.json of a model")
    if name is None or Path(name).name in ("config.json", ""):
        stated = config.get("_name_or_path")
        name = stated if isinstance(stated, str) and stated else path.resolve().parent.name
    beside = path.parent / QUANTIZATION_FILE
    if "quantization_config" not in config and beside.is_file():
        config = {**config, "quantization_config": _read_json(beside, folder)}
    architecture = read_config(config, name)
    index = path.parent / INDEX_FILE
    if index.is_file():
        return _as_published(architecture, index, folder)
    return architecture


def _read_json(path: Path, folder: Path | None = None) -> object:
    try:
        text = read_text_file(path, largest_bytes=MAX_CONFIG_BYTES, folder=folder, encoding="utf-8-sig")
    except UnreadableFileError as error:
        raise CatalogError(
            f"{path}: not valid JSON ({error}); allowed: a JSON file of at most {MAX_CONFIG_BYTES:,} bytes"
        ) from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CatalogError(f"{path}: not valid JSON ({reason})") from None


def _as_published(architecture: ModelArchitecture, path: Path, folder: Path | None) -> ModelArchitecture:
    """Give the architecture the size that the index of its checkpoint states, and warn if the counted size differs.

    At 16 or 32 bits, the size divided by the bytes per value is the number of values. Values of towers and of
    multi-token prediction are subtracted where the checkpoint contains them. In quantized checkpoints the publisher
    chooses the scales and their layout, so only the bytes are used.
    """
    index = _read_json(path, folder)
    metadata = index.get("metadata") if isinstance(index, dict) else None
    total_size = metadata.get("total_size") if isinstance(metadata, dict) else None
    if total_size is None:
        return architecture
    possible = isinstance(total_size, (int, float)) and not isinstance(total_size, bool)
    if not possible or not 0 < total_size <= MAX_CHECKPOINT_BYTES:
        raise CatalogError(
            f"{path}: metadata.total_size is {shortened(total_size)}; allowed: the bytes of all tensors, a number from "
            f"1 to {MAX_CHECKPOINT_BYTES:.0e}. Correct it, or remove the file to count from config.json"
        )
    checkpoint_bytes = int(total_size)
    _refuse_other_model(architecture, checkpoint_bytes, path)
    value_bytes = {"fp32": 4, "bf16": 2, "fp16": 2}.get(architecture.published_precision)
    if value_bytes is None:
        return MeasuredArchitecture.of(architecture, checkpoint_bytes=checkpoint_bytes)
    stored, counted = checkpoint_bytes // value_bytes, architecture.total_parameters
    towers = architecture.vision_parameters + architecture.audio_parameters
    beside = min(
        (mtp + tower for tower in (0, towers) for mtp in (0, architecture.mtp_parameters)),
        key=lambda extra: abs(stored - counted - extra),
    )
    if beside >= stored:
        beside = 0
    measured = stored - beside
    warnings: tuple[str, ...] = ()
    if abs(measured - counted) > INDEX_TOLERANCE * measured:
        included = f", {beside / 1e9:.2f}B of them beside the decoder" if beside else ""
        warnings = (
            f"{INDEX_FILE} states {checkpoint_bytes} bytes ({stored / 1e9:.2f}B values of "
            f"{architecture.published_precision}{included}), and this size is used; config.json counts "
            f"{counted / 1e9:.2f}B parameters: one of the files may belong to another model or format",
        )
    return MeasuredArchitecture.of(
        architecture, measured_parameters=measured, checkpoint_bytes=checkpoint_bytes, warnings=warnings
    )


def _refuse_other_model(architecture: ModelArchitecture, checkpoint_bytes: int, path: Path) -> None:
    """Refuse a checkpoint that is too small or too large to hold the values that the configuration counts."""
    beside = architecture.mtp_parameters + architecture.vision_parameters + architecture.audio_parameters
    least = architecture.total_parameters * LEAST_BITS // 8
    most = (architecture.total_parameters + beside) * MOST_BITS // 8
    if not least <= checkpoint_bytes <= most:
        raise CatalogError(
            f"{path}: metadata.total_size is {checkpoint_bytes:,}, but the {architecture.total_parameters:,} parameters"
            f" of config.json take {least:,} to {most:,} bytes. One of the files belongs to another model: correct it,"
            " or remove the index to count from config.json"
        )


@lru_cache(maxsize=64)
def _load_preset(name: str) -> ModelArchitecture:
    preset = _by_name()[name.casefold()]
    config = _read_json(DATA_FOLDER / preset.config)
    if not isinstance(config, dict):
        raise CatalogError(f"{preset.config}: not a JSON object")
    return read_config(config, preset.name)


def _from_mapping(reference: Mapping[str, object]) -> ModelArchitecture:
    given = set(reference)
    if given == {"parameters"}:
        size = reference["parameters"]
        if not isinstance(size, (str, int, float)) or isinstance(size, bool):
            raise CatalogError(f"model.parameters is {shortened(size)}; allowed: a number with M, B or T, such as 65B")
        return _nominal(parameters=parse_size(size))
    if given == {"tier"}:
        tier = reference["tier"]
        if not isinstance(tier, str) or tier.casefold() not in TIERS:
            raise CatalogError(f"model.tier is {shortened(tier)}; allowed: {', '.join(TIERS)}")
        return _nominal(tier=tier.casefold())
    if "parameters" in given or "tier" in given or not given:
        raise CatalogError(f"model has the keys {sorted(map(str, given))}; allowed: one of parameters, tier")
    name = reference.get("name", reference.get("_name_or_path", "custom"))
    return read_config(reference, name if isinstance(name, str) and name else "custom")


def _nominal(parameters: float | None = None, tier: str | None = None) -> ModelArchitecture:
    sizes = model_index().nominal_sizes
    if parameters is None:
        chosen = next(size for size in sizes if size.tier == tier)
        asked = f"tier {tier}"
    else:
        chosen = min(sizes, key=lambda size: abs(math.log(size.parameters / parameters)))
        asked = f"{_size_text(parameters)} parameters"
        if not 1 / MAX_NOMINAL_RATIO <= chosen.parameters / parameters <= MAX_NOMINAL_RATIO:
            classes = ", ".join(_size_text(size.parameters) for size in sizes)
            raise CatalogError(
                f"model.parameters is {_size_text(parameters)}: no published model has a similar size. Allowed: "
                f"within a factor {MAX_NOMINAL_RATIO} of {classes}; or give a config.json"
            )
    architecture = _load_preset(chosen.model)
    warning = (
        f"{asked}: the published shape of {chosen.model} is used "
        f"({architecture.total_parameters / 1e9:.2f}B parameters)"
    )
    return replace(architecture, warnings=(*architecture.warnings, warning))


def _size_text(parameters: float) -> str:
    return f"{parameters / 1e9:g}B"


_QUANTIZED: Final = re.compile(r"(.+?)-(?:int4-)?(awq|gptq|fp8)(?:-int4)?")
"""Names of quantized checkpoints as they are published: the name of the model, and the method."""
_QUANTIZED_FORMATS: Final = {"awq": "int4", "gptq": "int4", "fp8": "fp8"}


def _suggestion(reference: str) -> str:
    """The start of a refusal: nothing has that name, and which presets have a similar one.

    A name that ends in a method of quantization is a preset in another format, where the name without it is one.
    """
    names = _by_name()
    quantized = _QUANTIZED.fullmatch(reference.strip().casefold()[:200])
    if quantized is not None and (base := names.get(quantized[1])) is not None:
        return (
            f"no preset and no file has that name; write model: {base.name} with precision: {{weights:"
            f" {_QUANTIZED_FORMATS[quantized[2]]}}}. "
        )
    similar = nearest_names(reference.strip().casefold()[:200], names, at_most=5)
    presets = list(dict.fromkeys(names[name].name for name in similar))[:3]
    return f"no preset and no file has that name{'; ' if presets else '. '}{question(presets)}"
