"""Resources from synthesized documents (`cdk.tf.json`) and from `terraform show -json` of a plan or a state."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Final

from planner.errors import SpecError
from provider_catalog.text_files import UnreadableFileError, read_text_file
from stacks.estimate.expressions import Scope

DOCUMENT: Final = "cdk.tf.json"
LARGEST_DOCUMENT_BYTES: Final = 200_000_000

_REFERENCE: Final = re.compile(r"\b([a-z][a-z0-9]*_[a-z0-9_]+\.[A-Za-z_][\w-]*)")
"""A resource address within an expression."""


@dataclass(frozen=True)
class Resource:
    """A resource that Terraform manages, a data source, or an output."""

    address: str
    kind: str
    """Type, such as `aws_nat_gateway`."""
    stack: str
    """Name of the document's folder or file."""
    arguments: Mapping[str, Any]
    references: frozenset[str]
    """Addresses, without index, of the resources to which its arguments refer."""
    count: int = 1

    def text(self, name: str, default: str = "") -> str:
        """A string argument; `default` if it is missing or unknown before apply."""
        value = self.arguments.get(name)
        return default if value is None else str(value)

    def number(self, name: str, default: float | None = None) -> float | None:
        """A numeric argument; `default` if it is missing or unknown before apply."""
        return _number(self.arguments.get(name), default)

    def block_number(self, name: str, *blocks: str) -> float | None:
        """A numeric argument of a nested block; None if it is missing or unknown before apply."""
        return _number(self.block(*blocks).get(name), None)

    def block(self, *names: str) -> Mapping[str, Any]:
        """The first nested block of these names; empty if there is none."""
        found: Any = self.arguments
        for name in names:
            found = found.get(name) or {}
            found = found[0] if isinstance(found, list) else found
            if not isinstance(found, Mapping):
                return {}
        result: Mapping[str, Any] = found
        return result

    def blocks(self, name: str) -> list[Mapping[str, Any]]:
        """All nested blocks of a name."""
        found = self.arguments.get(name) or []
        return [found] if isinstance(found, Mapping) else list(found)


@dataclass(frozen=True)
class Resources:
    """Contents of a set of documents. References are followed within a document; all documents share a region."""

    all: tuple[Resource, ...]
    data: tuple[Resource, ...]
    """Data sources: they are never billed, but resources refer to them."""
    region: str | None
    """Region of the AWS provider, or location of the resources; None if no document names one."""
    zone: str | None
    """Zone id or number; None if the documents name none or several."""
    outputs: tuple[Resource, ...] = ()
    """Outputs of the root modules. `kind` is the name, and the argument `value` the value if it is known. What another
    tool builds from an output is billed too."""

    @cached_property
    def _by_address(self) -> dict[tuple[str, str], Resource]:
        return {(resource.stack, _without_index(resource.address)): resource for resource in (*self.data, *self.all)}

    def linked(self, resource: Resource, kind: str) -> Resource | None:
        """The resource of `kind` to which `resource` refers; None if there is none."""
        for reference in sorted(resource.references):
            found = self._by_address.get((resource.stack, reference))
            if found is not None and found.kind == kind:
                return found
        return None


def clusters(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Documents by cluster. `paths` are folders with `cdk.tf.json` files, or outputs of `terraform show -json`.

    The cost.json beside a document names its cluster. Documents without one form one cluster, named after the first.

    Raises:
        SpecError: a path does not exist, or holds no documents.
    """
    found: dict[str, list[Path]] = {}
    nameless: list[Path] = []
    for file in dict.fromkeys(file for path in paths for file in _files(path)):
        name = _cluster(file)
        (nameless if name is None else found.setdefault(name, [])).append(file)
    if nameless:
        found.setdefault(_stack(nameless[0]), []).extend(nameless)
    return found


def read_resources(files: Sequence[Path], region: str | None = None) -> Resources:
    """Resources of the documents of one cluster.

    Args:
        files: `cdk.tf.json` documents and output of `terraform show -json`.
        region: Region of the prices, if the documents do not name one.

    Raises:
        SpecError: a file is not Terraform JSON, or the files name several regions.
    """
    resources: list[Resource] = []
    data: list[Resource] = []
    outputs: list[Resource] = []
    regions: list[str] = []
    for file in files:
        document = _read(file)
        found, read, told, named = _of_document(document, _stack(file), file)
        resources += found
        data += read
        outputs += told
        regions += named
    distinct = [region] if region else sorted({*regions, *_locations(resources)})
    if len(distinct) > 1:
        raise SpecError(
            f"the documents name several regions ({', '.join(distinct)}); give --region, or estimate each apart"
        )
    place = distinct[0] if distinct else None
    return Resources(tuple(resources), tuple(data), place, _zone(resources), tuple(outputs))


def _stack(file: Path) -> str:
    return file.resolve().parent.name if file.name == DOCUMENT else file.stem


def _cluster(file: Path) -> str | None:
    beside = file.with_name("cost.json")
    if file.name != DOCUMENT or not beside.is_file():
        return None
    cluster = _json(beside).get("cluster")
    return cluster if isinstance(cluster, str) else None


def _files(path: Path) -> list[Path]:
    wanted = f"give an output folder of synth, a {DOCUMENT} or the output of `terraform show -json`"
    if not path.exists():
        raise SpecError(f"{path}: no such file or folder; {wanted}")
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob(DOCUMENT))
    if not found:
        raise SpecError(f"{path}: holds no {DOCUMENT}; {wanted}")
    return found


def _read(path: Path) -> Mapping[str, Any]:
    document = _json(path)
    if not {"resource", "planned_values", "values", "terraform"} & set(document):
        raise SpecError(f"{path}: not a Terraform document; give a {DOCUMENT} or the output of `terraform show -json`")
    return document


def _json(path: Path) -> Mapping[str, Any]:
    try:
        text = read_text_file(path, largest_bytes=LARGEST_DOCUMENT_BYTES)
    except UnreadableFileError as error:
        raise SpecError(f"{path}: {error}") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise SpecError(f"{path}: not a JSON object; give a {DOCUMENT} or the output of `terraform show -json`")
    return document


def _of_document(
    document: Mapping[str, Any], stack: str, path: Path
) -> tuple[list[Resource], list[Resource], list[Resource], list[str]]:
    """Resources, data sources, outputs, and the regions of the providers of a document."""
    shown = "planned_values" in document or "values" in document
    read, managed, data = (_shown, "managed", "data") if shown else (_synthesized, "resource", "data")
    try:
        return (
            list(read(document, stack, managed)),
            list(read(document, stack, data)),
            list(_outputs(document, stack)),
            list(_provider_regions(document)),
        )
    except (AttributeError, TypeError, KeyError, RecursionError) as error:
        raise SpecError(f"{path}: not a Terraform document of a known structure ({error!r})") from error


def _synthesized(document: Mapping[str, Any], stack: str, section: str) -> Iterator[Resource]:
    scope = _scope(document, section)
    for address, given in scope.arguments.items():
        count = _number(given.get("count"), 1)
        yield Resource(
            address=address,
            kind=address.split(".")[0],
            stack=stack,
            arguments=scope.resolved(given),
            references=frozenset(reference for text in _strings(given) for reference in _REFERENCE.findall(text)),
            count=1 if count is None else int(count),
        )


def _scope(document: Mapping[str, Any], section: str) -> Scope:
    kinds: Mapping[str, Mapping[str, Any]] = document.get(section, {})
    return Scope(
        {name: given.get("default") for name, given in document.get("variable", {}).items()},
        dict(document.get("locals", {}).items()),
        {f"{kind}.{name}": given for kind, named in kinds.items() for name, given in named.items()},
    )


def _outputs(document: Mapping[str, Any], stack: str) -> Iterator[Resource]:
    values = document.get("planned_values") or document.get("values") or {}
    scope = _scope(document, "resource")
    for name, given in {**document.get("output", {}), **values.get("outputs", {})}.items():
        value = scope.resolved(given.get("value"))
        value = scope.filled(value) if isinstance(value, str) else value
        references = frozenset(reference for text in _strings(value) for reference in _REFERENCE.findall(text))
        yield Resource(f"output.{name}", name, stack, {"value": value}, references)


def _shown(document: Mapping[str, Any], stack: str, mode: str) -> Iterator[Resource]:
    values = document.get("planned_values") or document.get("values") or {}
    # Data sources that were read during the plan are in the prior state.
    before = document.get("prior_state", {}).get("values", {}) if mode == "data" else {}
    references = dict(_configured(document.get("configuration", {}).get("root_module", {}), ""))
    modules = (values.get("root_module", {}), before.get("root_module", {}))
    shown = [each for module in modules for each in _modules(module) if each.get("mode", "managed") == mode]
    # A state holds no expressions: a resource that holds the id of another one refers to it.
    identified = {
        (each.get("values") or {}).get(key): _without_index(each["address"]) for each in shown for key in ("id", "arn")
    }
    identified.pop(None, None)
    for each in shown:
        arguments = each.get("values") or {}
        address = _without_index(each["address"])
        by_id = {identified[text] for text in _strings(arguments) if text in identified} - {address}
        yield Resource(
            # Without the prefix, references to data sources match the same pattern as those to resources.
            address=each["address"].replace("data.", "", 1) if mode == "data" else each["address"],
            kind=each["type"],
            stack=stack,
            arguments=arguments,
            references=frozenset(references.get(address, frozenset()) | by_id),
        )


def _modules(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _modules(child)


def _configured(module: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, frozenset[str]]]:
    for each in module.get("resources", []):
        found = (reference for text in _strings(each.get("expressions", {})) for reference in _REFERENCE.findall(text))
        yield prefix + each["address"], frozenset(prefix + reference for reference in found)
    for name, call in module.get("module_calls", {}).items():
        yield from _configured(call.get("module", {}), f"{prefix}module.{name}.")


def _provider_regions(document: Mapping[str, Any]) -> Iterator[str]:
    given: Any = document.get("provider", {})
    configured = [each for named in given.values() for each in (named if isinstance(named, list) else [named])]
    for each in configured:
        if isinstance(each.get("region"), str):
            yield each["region"]
    for each in document.get("configuration", {}).get("provider_config", {}).values():
        region = each.get("expressions", {}).get("region", {}).get("constant_value")
        if isinstance(region, str):
            yield region


def _locations(resources: Iterable[Resource]) -> Iterator[str]:
    for resource in resources:
        # Every Azure resource has a location; with the newest AWS provider, every resource has a region.
        for name in ("location", "region"):
            value = resource.arguments.get(name)
            if isinstance(value, str) and value and "${" not in value and value != "global":
                yield value


def _zone(resources: Iterable[Resource]) -> str | None:
    found = set()
    for resource in resources:
        zone = resource.arguments.get("availability_zone_id") or resource.arguments.get("zone")
        zones = resource.arguments.get("zones") or ([zone] if zone else [])
        found |= {text for text in zones if isinstance(text, str) and "${" not in text}
    return found.pop() if len(found) == 1 else None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _without_index(address: str) -> str:
    return re.sub(r"\[[^\]]*\]", "", address)


def _number(value: Any, default: float | None) -> float | None:
    try:
        number = None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    return default if number is None or not isfinite(number) else number
