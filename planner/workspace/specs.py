"""Reads spec files, the models that they name and their price files."""

from dataclasses import dataclass
from pathlib import Path

from planner.errors import SpecError
from planner.spec import ClusterSpec, NominalModel
from planner.spec.model_limits import within_model
from planner.spec.reader import read_spec
from planner.workspace.demand_file import read_trace
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.models import load_model
from provider_catalog.price_overlay import read_overlay
from provider_catalog.scenarios import PREFIX, load_scenario
from provider_catalog.text import one_line
from provider_catalog.text_files import MissingFileError, UnreadableFileError, read_text_file
from provider_catalog.yaml_text import BrokenYamlError, locator, parse_yaml

LARGEST_SPEC_BYTES = 1_000_000


@dataclass(frozen=True)
class LoadedSpec:
    """A spec, the architecture of its model, and the path of its file."""

    spec: ClusterSpec
    architecture: ModelArchitecture
    path: Path


def load_spec(path: Path) -> LoadedSpec:
    """Returns the spec in a YAML file, or of a named scenario such as `scenario:real-time-chat`.

    Relative paths in a spec start at the folder of its file.

    Raises:
        SpecError: the file cannot be read, is not a YAML mapping, or a field or the model is invalid.
        CatalogError: the scenario does not exist.
    """
    named = one_line(str(path))
    if named.startswith(PREFIX):
        spec = read_spec(load_scenario(PACKAGED_DATA, named.removeprefix(PREFIX)).spec, named)
    else:
        text = _read(path)
        document = _with_demand(_parse(path, text), path.parent)
        spec = read_spec(document, named, locator(text))
    model = spec.model.model_dump() if isinstance(spec.model, NominalModel) else spec.model
    try:
        architecture = load_model(model, path.parent, confined=True)
    except CatalogError as error:
        raise SpecError(f"{named}: model: {error}") from error
    return LoadedSpec(within_model(spec, architecture), architecture, path)


def _with_demand(document: object, folder: Path) -> object:
    """Replaces the path of a demand file by its hours, so that the hash of the spec covers them."""
    capacity = document.get("capacity") if isinstance(document, dict) else None
    demand = capacity.get("demand") if isinstance(capacity, dict) else None
    if not isinstance(document, dict) or not isinstance(capacity, dict) or not isinstance(demand, str):
        return document
    if not demand.lower().endswith(".csv"):
        return document
    zone = capacity.get("time_zone")
    hours, first_hour = read_trace(folder / demand, folder, zone if isinstance(zone, str) else None)
    begins = {"first_hour": first_hour} if first_hour else {}
    return {**document, "capacity": {**begins, **capacity, "demand": hours}}


def priced_catalog(catalog: Catalog, loaded: LoadedSpec | None, overlay: Path | None = None) -> Catalog:
    """Returns the catalog with negotiated prices; those of `overlay` take precedence over those of the spec.

    Args:
        catalog: Facts and prices.
        loaded: The spec, whose field `prices` may name a price file; None for a bill of Terraform resources.
        overlay: Price file of the command line (`--prices`).

    Raises:
        SpecError: a price file cannot be read, or has a price for something that the catalog does not list.
    """
    if loaded is not None and loaded.spec.prices is not None:
        folder = loaded.path.parent
        catalog = _under(catalog, folder / loaded.spec.prices, "prices", folder)
    return catalog if overlay is None else _under(catalog, overlay, "--prices")


def _under(catalog: Catalog, price_file: Path, named_by: str, folder: Path | None = None) -> Catalog:
    try:
        return catalog.under(read_overlay(price_file, catalog, folder))
    except CatalogError as error:
        raise SpecError(f"{named_by}: {error}") from error


def _read(path: Path) -> str:
    shown = one_line(str(path))
    try:
        return read_text_file(path, largest_bytes=LARGEST_SPEC_BYTES, folder=path.parent)
    except MissingFileError as error:
        raise SpecError(f"{shown}: {error}; name a spec, such as one in clusters/") from None
    except UnreadableFileError as error:
        raise SpecError(f"{shown}: {error}; a spec is a YAML file of at most {LARGEST_SPEC_BYTES:,} bytes") from None


def _parse(path: Path, text: str) -> object:
    shown = one_line(str(path))
    try:
        return parse_yaml(text)
    except BrokenYamlError as error:
        raise SpecError(f"{shown}: {error}") from None
