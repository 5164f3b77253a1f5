"""A schema of the azurerm provider, read from the prebuilt bindings, and a check of synthesized documents against it.

There is no azurerm binary to validate with. The bindings are generated from the provider's own schema, and the jsii
assembly inside the package names for every resource its arguments, their types, which are required, and its attributes.
What the check cannot see: values the provider validates by itself, and block counts beyond "one" or "any number".
"""

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_PACKAGE: Final = "cdktf_cdktf_provider_azurerm"
_META_ARGUMENTS: Final = frozenset(
    {"//", "connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner"}
)
_ARGUMENT_IN_DOCS: Final = re.compile(r"\w+#(\w+)}")
_TYPE_IN_DOCS: Final = re.compile(r"/docs/(resources|data-sources)/\w+ (azurerm_\w+)}")
_REFERENCE: Final = re.compile(r"(?<![\w.])((?:data\.)?azurerm_\w+)\.([\w-]+)((?:\.\w+)?)")
_NAMED: Final = re.compile(r"(?<![\w.])(var|local)\.(\w+)")
_REMOTE_OUTPUT: Final = re.compile(r"(?<![\w.])data\.terraform_remote_state\.([\w-]+)\.outputs\.(\w+)")
_TEMPLATE: Final = re.compile(r"\$\{((?:[^{}\"]|\"(?:\\.|[^\"\\])*\"|\{[^{}]*\})*)\}")
_WHOLE_EXPRESSION: Final = re.compile(r"\$\{.*\}", re.DOTALL)

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Argument:
    """One argument of a resource or of a nested block."""

    type: Mapping[str, Any]
    """The type as jsii writes it: a primitive, a collection, or the fully qualified name of a block."""
    required: bool


@dataclass(frozen=True)
class Schema:
    """A resource, a data source, a nested block or the provider's configuration."""

    arguments: Mapping[str, Argument]
    attributes: frozenset[str]
    """Attributes that an expression may read."""


@cache
def _assembly() -> Mapping[str, Any]:
    # Found without importing the package, which would import over a thousand submodules.
    spec = find_spec(_PACKAGE)
    assert spec is not None, f"{_PACKAGE} is not installed"
    assert spec.submodule_search_locations, f"{_PACKAGE} is not a package"
    (archive,) = Path(spec.submodule_search_locations[0], "_jsii").glob("*.jsii.tgz")
    with tarfile.open(archive, mode="r|gz") as members:
        for member in members:
            if member.name == "package/.jsii" and (content := members.extractfile(member)):
                types: Mapping[str, Any] = json.load(content)["types"]
                return types
    raise AssertionError(f"{archive.name} holds no jsii assembly")


@cache
def _classes() -> Mapping[tuple[str, str], str]:
    """Return the fully qualified class name by (resource or data, Terraform type)."""
    found: dict[tuple[str, str], str] = {}
    for fqn, declared in _assembly().items():
        named = _TYPE_IN_DOCS.search(declared.get("docs", {}).get("summary", ""))
        if declared["kind"] == "class" and named and not fqn.endswith(("OutputReference", "List")):
            found["resource" if named[1] == "resources" else "data", named[2]] = fqn
    return found


def resource_types() -> frozenset[str]:
    """Return every resource type of the bindings."""
    return frozenset(name for kind, name in _classes() if kind == "resource")


@cache
def schema(kind: str, terraform_type: str) -> Schema | None:
    """Return the schema of a resource or data source; None when the provider has none of that name."""
    fqn = _classes().get((kind, terraform_type))
    if fqn is None:
        return None
    arguments = _block(f"{fqn}Config").arguments
    return Schema(arguments, frozenset(arguments) | frozenset(_attributes(fqn, frozenset(arguments))))


@cache
def provider_schema() -> Schema:
    """Return the schema of the provider block."""
    return _block("@cdktf/provider-azurerm.provider.AzurermProviderConfig")


@cache
def _block(fqn: str) -> Schema:
    arguments = {}
    for declared in _assembly()[fqn].get("properties", []):
        name = _ARGUMENT_IN_DOCS.search(declared.get("docs", {}).get("summary", ""))
        key = name[1] if name else _snake(declared["name"])
        arguments[key] = Argument(declared["type"], required=not declared.get("optional", False))
    return Schema(arguments, frozenset(arguments))


def _attributes(fqn: str, arguments: frozenset[str]) -> Iterator[str]:
    for declared in _assembly()[fqn].get("properties", []):
        name = declared["name"]
        if not declared.get("static") and not name.endswith("Input"):
            yield _snake(name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z][a-z])", lambda found: f"_{found[0]}", name).lower()


def problems(document: Document) -> list[str]:
    """Return everything in a cdk.tf.json that azurerm or Terraform would refuse, as far as the schema tells."""
    return [
        *_arguments(document),
        *_dangling(document),
        *(f"cycle: {' -> '.join(cycle)}" for cycle in _cycles(document)),
    ]


def missing_outputs(documents: Mapping[str, Document]) -> list[str]:
    """Outputs that one stack reads from another and the other does not have.

    Args:
        documents: By the name under which `terraform_remote_state` reads them.
    """
    return [
        f"{reader}: data.terraform_remote_state.{other}.outputs.{output} does not exist"
        for reader, document in documents.items()
        for _, expression in _expressions(document)
        for other, output in _REMOTE_OUTPUT.findall(expression)
        if output not in documents.get(other, {}).get("output", {})
    ]


def _arguments(document: Document) -> Iterator[str]:
    for number, provider in enumerate(document.get("provider", {}).get("azurerm", [])):
        yield from _check_block(f"provider.azurerm[{number}]", provider, provider_schema(), frozenset({"alias"}))
    for kind in ("resource", "data"):
        for terraform_type, instances in document.get(kind, {}).items():
            if not terraform_type.startswith("azurerm_"):
                continue
            found = schema(kind, terraform_type)
            for name, body in instances.items():
                address = f"{'data.' if kind == 'data' else ''}{terraform_type}.{name}"
                if found is None:
                    yield f"{address}: azurerm has no {kind} {terraform_type}"
                else:
                    yield from _check_block(address, body, found, _META_ARGUMENTS)


def _check_block(address: str, body: Any, block: Schema, meta: frozenset[str] = frozenset()) -> Iterator[str]:
    if not isinstance(body, Mapping):
        yield f"{address}: expected a block, found {_kind(body)}"
        return
    for name, value in body.items():
        if name in meta:
            continue
        if name not in block.arguments:
            yield f"{address}: unknown argument {name!r}"
        else:
            yield from _check_value(f"{address}.{name}", value, block.arguments[name].type)
    for name, argument in block.arguments.items():
        if argument.required and body.get(name) is None:
            yield f"{address}: required argument {name!r} is missing"


def _check_value(address: str, value: Any, expected: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, str) and _WHOLE_EXPRESSION.fullmatch(value):
        return
    if "union" in expected:
        concrete = [option for option in expected["union"]["types"] if option.get("fqn") != "cdktf.IResolvable"]
        options = [list(_check_value(address, value, option)) for option in concrete]
        yield from min(options, key=len)
    elif "primitive" in expected:
        yield from _check_primitive(address, value, expected["primitive"])
    elif "collection" in expected:
        yield from _check_collection(address, value, expected["collection"])
    else:
        blocks = value if isinstance(value, list) else [value]
        if len(blocks) > 1:
            yield f"{address}: one block is allowed, found {len(blocks)}"
        for block in blocks:
            yield from _check_block(address, block, _block(expected["fqn"]))


def _check_collection(address: str, value: Any, collection: Mapping[str, Any]) -> Iterator[str]:
    element = collection["elementtype"]
    if collection["kind"] == "map":
        if not isinstance(value, Mapping):
            yield f"{address}: expected a map, found {_kind(value)}"
            return
        for key, item in value.items():
            yield from _check_value(f"{address}[{key!r}]", item, element)
        return
    # A nested block that may repeat is written as one object or as a list of them; a list of values only as a list.
    items = [value] if "fqn" in element and isinstance(value, Mapping) else value
    if not isinstance(items, list):
        yield f"{address}: expected a list, found {_kind(value)}"
        return
    for number, item in enumerate(items):
        yield from _check_value(f"{address}[{number}]", item, element)


def _check_primitive(address: str, value: Any, primitive: str) -> Iterator[str]:
    allowed = {"string": (str,), "number": (int, float), "boolean": (bool,)}.get(primitive)
    right = allowed is None or (isinstance(value, allowed) and (primitive == "boolean") == isinstance(value, bool))
    if not right:
        yield f"{address}: expected a {primitive}, found {_kind(value)}"


def _kind(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


def _dangling(document: Document) -> Iterator[str]:
    for address, expression in _expressions(document):
        for head, name, attribute in _REFERENCE.findall(expression):
            kind, terraform_type = ("data", head[5:]) if head.startswith("data.") else ("resource", head)
            if name not in document.get(kind, {}).get(terraform_type, {}):
                yield f"{address}: {head}.{name} is not in the document"
                continue
            found = schema(kind, terraform_type)
            if attribute and found and attribute[1:] not in found.attributes:
                yield f"{address}: {head} has no attribute {attribute[1:]!r}"
        for root, name in _NAMED.findall(expression):
            if name not in document.get("variable" if root == "var" else "locals", {}):
                yield f"{address}: {root}.{name} is not declared"
        for other, _ in _REMOTE_OUTPUT.findall(expression):
            if other not in document.get("data", {}).get("terraform_remote_state", {}):
                yield f"{address}: data.terraform_remote_state.{other} is not in the document"


def _expressions(node: Any, address: str = "") -> Iterator[tuple[str, str]]:
    """Yield place and expression of every template in the document; depends_on holds bare references."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "depends_on":
                yield from ((f"{address}.{key}", reference) for reference in value)
            elif key != "//":
                yield from _expressions(value, f"{address}.{key}" if address else key)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _expressions(value, f"{address}[{number}]")
    elif isinstance(node, str):
        yield from ((address, expression) for expression in _TEMPLATE.findall(node))


def _cycles(document: Document) -> Iterator[list[str]]:
    edges = {
        f"{kind}.{terraform_type}.{name}" if kind == "data" else f"{terraform_type}.{name}": sorted(
            {
                f"{head}.{target}"
                for _, expression in _expressions(body)
                for head, target, _ in _REFERENCE.findall(expression)
            }
        )
        for kind in ("resource", "data")
        for terraform_type, instances in document.get(kind, {}).items()
        for name, body in instances.items()
    }
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> Iterator[list[str]]:
        if node in path:
            yield [*path[path.index(node) :], node]
        elif node not in done:
            for target in edges.get(node, []):
                yield from walk(target, [*path, node])
            done.add(node)

    for node in edges:
        yield from walk(node, [])
