"""Spec files: reading them, and the model they name, with an error for everything that can be wrong."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from planner.errors import SpecError
from planner.spec import ClusterSpec, NominalModel
from planner.spec.reader import read_spec
from planner.workspace.demand_file import read_demand
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.models import load_model
from provider_catalog.price_overlay import read_overlay
from provider_catalog.scenarios import PREFIX, load_scenario

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
    named = str(path)
    if named.startswith(PREFIX):
        document: object = load_scenario(PACKAGED_DATA, named.removeprefix(PREFIX)).spec
    else:
        document = _with_demand(_parse(path), path.parent)
    spec = read_spec(document, named)
    model = spec.model.model_dump() if isinstance(spec.model, NominalModel) else spec.model
    try:
        architecture = load_model(model, path.parent)
    except CatalogError as error:
        raise SpecError(f"{path}: model: {error}") from error
    return LoadedSpec(spec, architecture, path)


def _with_demand(document: object, folder: Path) -> object:
    """The document with a trace in place of the file that names it, so that the hash of the spec covers the trace."""
    capacity = document.get("capacity") if isinstance(document, dict) else None
    demand = capacity.get("demand") if isinstance(capacity, dict) else None
    if not isinstance(document, dict) or not isinstance(capacity, dict) or not isinstance(demand, str):
        return document
    if not demand.lower().endswith(".csv"):
        return document
    return {**document, "capacity": {**capacity, "demand": read_demand(folder / demand)}}


def priced_catalog(catalog: Catalog, loaded: LoadedSpec | None, overlay: Path | None = None) -> Catalog:
    """Returns the catalog under the negotiated prices that apply, those of `overlay` above those of the spec.

    Args:
        catalog: Facts and prices.
        loaded: The spec, whose field `prices` may name a price file; None for a bill of Terraform resources.
        overlay: Price file of the command line (`--prices`).

    Raises:
        SpecError: a price file cannot be read, or prices something that the catalog does not know.
    """
    if loaded is not None and loaded.spec.prices is not None:
        catalog = _under(catalog, loaded.path.parent / loaded.spec.prices, "prices")
    return catalog if overlay is None else _under(catalog, overlay, "--prices")


def _under(catalog: Catalog, price_file: Path, named_by: str) -> Catalog:
    try:
        return catalog.under(read_overlay(price_file, catalog))
    except CatalogError as error:
        raise SpecError(f"{named_by}: {error}") from error


def _parse(path: Path) -> object:
    try:
        size_bytes = path.stat().st_size
        if path.is_dir():
            raise SpecError(f"{path}: is a folder; name a spec file in it")
        if size_bytes > LARGEST_SPEC_BYTES:
            raise SpecError(
                f"{path}: {size_bytes:,} bytes are no spec; the largest that is read is {LARGEST_SPEC_BYTES:,} bytes"
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file; name a spec, such as one in clusters/") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text (byte {error.start}); a spec is a YAML file") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise SpecError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise SpecError(f"{path}: nested too deeply for a spec") from None


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.YAMLError(f"key {key!r} stands twice, line {key_node.start_mark.line + 1}")
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)
