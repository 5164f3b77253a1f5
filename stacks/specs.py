"""Spec files: reading them, and the model they name, with an error for everything that can be wrong."""

from dataclasses import dataclass
from pathlib import Path

from planner.errors import SpecError
from planner.spec import ClusterSpec, NominalModel
from planner.spec_reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.facts import CatalogError
from provider_catalog.files import MissingFileError, UnreadableFileError, read_text_file
from provider_catalog.layers import read_overlay
from provider_catalog.models import load_model
from provider_catalog.scenarios import PREFIX, load_scenario
from provider_catalog.text import one_line
from provider_catalog.yaml_text import BrokenYamlError, parse_yaml
from stacks.demand_file import read_demand

LARGEST_SPEC_BYTES = 1_000_000


@dataclass(frozen=True)
class LoadedSpec:
    """A spec, the architecture of its model, and where it was read from."""

    spec: ClusterSpec
    architecture: ModelArchitecture
    path: Path


def load_spec(path: Path) -> LoadedSpec:
    """The spec in a YAML file, or of a named scenario (`scenario:real-time-chat`).

    A relative model path is relative to that file.

    Raises:
        SpecError: the file cannot be read, is no YAML mapping, or a field or the model is wrong.
        CatalogError: there is no such scenario.
    """
    named = one_line(str(path))
    if named.startswith(PREFIX):
        document: object = load_scenario(PACKAGED_DATA, named.removeprefix(PREFIX)).spec
    else:
        document = _with_demand(_parse(path), path.parent)
    spec = read_spec(document, named)
    model = spec.model.model_dump() if isinstance(spec.model, NominalModel) else spec.model
    try:
        architecture = load_model(model, path.parent, confined=True)
    except CatalogError as error:
        raise SpecError(f"{named}: model: {error}") from error
    return LoadedSpec(spec, architecture, path)


def _with_demand(document: object, folder: Path) -> object:
    """The document with a trace in place of the file that names it, so that the hash of the spec covers the trace."""
    capacity = document.get("capacity") if isinstance(document, dict) else None
    demand = capacity.get("demand") if isinstance(capacity, dict) else None
    if not isinstance(document, dict) or not isinstance(capacity, dict) or not isinstance(demand, str):
        return document
    if not demand.lower().endswith(".csv"):
        return document
    return {**document, "capacity": {**capacity, "demand": read_demand(folder / demand, folder)}}


def priced_catalog(catalog: Catalog, loaded: LoadedSpec, overlay: Path | None = None) -> Catalog:
    """`catalog` under the negotiated prices that the spec names, and under those of `overlay`.

    Raises:
        SpecError: an overlay cannot be read, or prices what the catalog does not know.
    """
    named = loaded.spec.prices
    try:
        if named is not None:
            catalog = catalog.under(read_overlay(loaded.path.parent / named, catalog, loaded.path.parent))
        return catalog if overlay is None else catalog.under(read_overlay(overlay, catalog))
    except CatalogError as error:
        raise SpecError(f"prices: {error}") from error


def _parse(path: Path) -> object:
    shown = one_line(str(path))
    try:
        text = read_text_file(path, largest_bytes=LARGEST_SPEC_BYTES, folder=path.parent)
    except MissingFileError as error:
        raise SpecError(f"{shown}: {error}; name a spec, such as one in clusters/") from None
    except UnreadableFileError as error:
        raise SpecError(f"{shown}: {error}; a spec is a YAML file of at most {LARGEST_SPEC_BYTES:,} bytes") from None
    try:
        return parse_yaml(text)
    except BrokenYamlError as error:
        raise SpecError(f"{shown}: {error}") from None
