"""The fields of a spec with what they mean and allow, read from the models themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from planner.errors import SpecError
from planner.spec import ClusterSpec
from provider_catalog.suggestions import did_you_mean


@dataclass(frozen=True)
class SpecField:
    """A field of a spec.

    A field that stands in several kinds of workload is there once for each group of kinds that mean the same by it.
    """

    path: str
    """Keys from the top of the file, joined by dots; `[]` stands for each entry of a list."""
    description: str
    allowed: str
    """The values that it takes, in words."""
    default: str | None
    """What holds without it, as JSON; None if it is required."""
    kinds: tuple[str, ...] = ()
    """Kinds of workload that have it; empty outside of `workload`."""


def fields_at(path: str) -> tuple[SpecField, ...]:
    """Returns the field of a path and the fields below it.

    Raises:
        SpecError: there is no such field.
    """
    asked = path.strip().strip(".")
    found = tuple(
        field for field in all_fields() if field.path == asked or field.path.startswith((f"{asked}.", f"{asked}[]."))
    )
    if found:
        return found
    paths = list(dict.fromkeys(field.path for field in all_fields()))
    same_end = [known for known in paths if known.rpartition(".")[2] == asked.rpartition(".")[2]]
    hint = f"did you mean {' or '.join(same_end)}?" if same_end else did_you_mean(asked, paths)
    raise SpecError(f"a spec has no field {path!r}; {hint or 'llmcluster spec reference lists all'}")


@cache
def all_fields() -> tuple[SpecField, ...]:
    """Returns all fields, in the order of the models."""
    schema = ClusterSpec.model_json_schema()
    merged: dict[tuple[str, str, str, str | None], SpecField] = {}
    for field in _fields(schema, schema["$defs"], "", ()):
        key = (field.path, field.description, field.allowed, field.default)
        known = merged.get(key)
        kinds = field.kinds if known is None else tuple(dict.fromkeys((*known.kinds, *field.kinds)))
        merged[key] = SpecField(*key, kinds=kinds)
    return tuple(merged.values())


def _fields(
    schema: Mapping[str, Any], models: Mapping[str, Any], prefix: str, kinds: tuple[str, ...]
) -> Iterator[SpecField]:
    required = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        branches = list(_branches(given, models))
        shapes = [branch for branch in branches if branch.get("properties")]
        default = None if name in required else _json(given.get("default"))
        allowed = " or ".join(dict.fromkeys(_allowed(branch) for branch in branches))
        yield SpecField(path, given.get("description", ""), allowed, default, kinds)
        for shape in shapes:
            kind = shape["properties"].get("kind") if path == "workload" else None
            inner = kinds or tuple(kind.get("enum", [kind.get("const")]) if kind else ())
            yield from _fields(shape, models, f"{path}.", inner)
        for branch in branches:
            for item in _branches(branch.get("items", {}), models):
                if item.get("properties"):
                    yield from _fields(item, models, f"{path}[].", kinds)


def _branches(schema: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields the alternatives of a schema, with references resolved; a null only says that the field may be empty."""
    if reference := schema.get("$ref"):
        yield from _branches(models[reference.rpartition("/")[2]], models)
    elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
        for alternative in alternatives:
            yield from _branches(alternative, models)
    elif schema.get("type") != "null":
        yield schema


def _allowed(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = schema.get("type")
    if kind == "array":
        return "a list"
    if kind == "object":
        return "a mapping"
    if kind == "boolean":
        return "true or false"
    if kind == "string":
        return "a date (YYYY-MM-DD)" if schema.get("format") == "date" else "text"
    words = "a whole number" if kind == "integer" else "a number"
    bounds = [
        f"{sign} {_number(schema[key])}"
        for key, sign in (
            ("exclusiveMinimum", "above"),
            ("minimum", "from"),
            ("exclusiveMaximum", "below"),
            ("maximum", "to"),
        )
        if key in schema
    ]
    return " ".join((words, *bounds))


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _json(value: object) -> str:
    import json

    return json.dumps(value)
