"""Turns parsed YAML into a ClusterSpec, and errors of pydantic into messages that users can act on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from planner.errors import SpecError
from planner.spec import ClusterSpec
from planner.spec.amounts import written_out
from planner.spec.remedies import SYNONYMS, remedy_for
from planner.spec.text import allowed_text
from provider_catalog.rules import rule_of_error
from provider_catalog.suggestions import did_you_mean
from provider_catalog.text import kind_of, one_line, shortened

SHOWN_ERRORS = 8
"""Number of wrong fields that one error message lists."""
SHOWN_KEY = 80
"""Characters of a key that a message shows."""


Locate = Callable[[Sequence[int | str]], str]
"""Returns the place of a key path in the file, such as ":3:5"; empty where it is unknown."""


def read_spec(document: object, where: str, locate: Locate = lambda path: "") -> ClusterSpec:
    """ClusterSpec of a parsed document.

    Args:
        document: What the YAML holds.
        where: Name of the file, for messages.
        locate: Finds line and column of a key path.

    Raises:
        SpecError: the document is no valid spec. The message lists the wrong fields, each with the given and the
            allowed value, and suggests the correct spelling of a misspelt key.
    """
    if document is None:
        raise SpecError(f"{where}: the file is empty; a spec needs name, model and workload")
    if not isinstance(document, Mapping):
        raise SpecError(f"{where}: expected a mapping with name, model and workload, found {kind_of(document)}")
    try:
        return ClusterSpec.model_validate(written_out(document, ClusterSpec))
    except ValidationError as error:
        lines = []
        for path, details in _by_field(error.errors(include_url=False)).items():
            lines.append(f"{where}{locate(path)}: {_message(path, details, document)}")
        lines = list(dict.fromkeys(lines))
        shown = lines[:SHOWN_ERRORS]
        if len(lines) > len(shown):
            shown.append(f"{where}: and {len(lines) - len(shown)} more")
        raise SpecError("\n".join(shown)) from None


Path = tuple[int | str, ...]


def _by_field(details: Sequence[ErrorDetails]) -> dict[Path, list[ErrorDetails]]:
    """Errors by the field of the file; the branches of a union are alternatives for one field."""
    found: dict[Path, list[ErrorDetails]] = {}
    for detail in details:
        path = tuple(part for part in detail["loc"] if not _is_branch(part))
        found.setdefault(path, []).append(detail)
    # Of a union, what is said of the whole value is left out where a branch says more of a part of it.
    inner = {path[:length] for path in found for length in range(len(path)) if len(found[path]) == 1}
    return {path: details for path, details in found.items() if path not in inner or not _all_about_type(details)}


def _all_about_type(details: Sequence[ErrorDetails]) -> bool:
    return bool(details[0]["loc"]) and all(detail["type"] in _WHOLE_TYPES for detail in details)


_WHOLE_TYPES: Final = frozenset({"string_type", "literal_error", "tuple_type", "model_type"})


def _is_branch(part: int | str) -> bool:
    """Whether a part of pydantic's location names a branch of a union, not a key of the file."""
    return isinstance(part, str) and (
        part in _BRANCHES or part.startswith(("literal[", "tuple[", "constrained-", "function-"))
    )


_BRANCHES: Final = frozenset(
    {"inference", "training", "finetuning", "str", "NominalModel", "constant", "[key]", "keyword", "existing"}
)


def _message(path: Path, details: Sequence[ErrorDetails], document: Mapping[Any, Any]) -> str:
    # A key of a mapping is what the user wrote: it may hold anything.
    field = one_line(".".join(str(part)[:SHOWN_KEY] for part in path))
    detail = details[0]
    if detail["type"] == "extra_forbidden":
        return f"{field}: no such key; {_unknown_key(path, document)}"
    if detail["type"] == "missing":
        return f"{field}: missing; this field is required"
    if detail["type"] == "union_tag_invalid":
        return f"{field}.kind: unknown kind {shortened(detail['ctx']['tag'])}; allowed: inference, training, finetuning"
    if detail["type"] == "union_tag_not_found":
        return f"{field}.kind: missing; allowed: inference, training, finetuning"
    message = " or ".join(dict.fromkeys(_rule(path, each) for each in details))
    # A rule about several fields names them itself; all that was given beside them would bury them.
    several = detail["type"] == "value_error" and isinstance(detail["input"], Mapping)
    given = "" if several else f"; given: {shortened(detail['input'])}"
    remedy = remedy_for(str(path[-1]) if path else "", detail["input"], _fields_at(path, document))
    return f"{field}: {message}{given}{remedy}" if field else message


def _rule(path: Path, detail: ErrorDetails) -> str:
    """Returns the allowed values in words of this project."""
    if detail["type"] == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        if words := allowed_text(pattern):
            return f"allowed: {words}"
        if meaning := _description(path):
            return f"{meaning}; the pattern is {pattern}"
        return f"allowed: text of the pattern {pattern}"
    return rule_of_error(detail)


def _unknown_key(path: Path, document: Mapping[Any, Any]) -> str:
    """Returns the section that the key belongs to or the most similar key, and the keys of this kind of workload."""
    key = str(path[-1])
    siblings = sorted(_fields_at(path[:-1], document))
    near = SYNONYMS.get(key)
    hint = f"did you mean {near!r}? " if near in siblings else did_you_mean(key, siblings)
    homes = _homes(key, document)
    if homes and near not in siblings:
        hint = f"it belongs under {homes[0]}; "
    return f"{hint}allowed here: {', '.join(siblings)}"


def _homes(key: str, document: Mapping[Any, Any]) -> list[str]:
    """Sections of the spec that have a key of this name, as paths."""

    def walk(path: Path, depth: int) -> Iterator[str]:
        for name in sorted(_fields_at(path, document)):
            if name == key and path:
                yield ".".join(map(str, path))
            if depth:
                yield from walk((*path, name), depth - 1)

    return list(walk((), 2))


def _fields_at(path: Sequence[int | str], document: Mapping[Any, Any] | None = None) -> set[str]:
    """Keys that the models allow at a path; under `workload` those of the kind that the document names."""
    return {name for model in _models_at(path, document) for name in model.model_fields}


def _models_at(path: Sequence[int | str], document: Mapping[Any, Any] | None = None) -> set[type[BaseModel]]:
    models: set[type[BaseModel]] = {ClusterSpec}
    workload = None if document is None else document.get("workload")
    kind = workload.get("kind") if isinstance(workload, Mapping) else None
    for part in path:
        models = {
            found
            for model in models
            if part in model.model_fields
            for found in _models_in(model.model_fields[str(part)].annotation)
        }
        kinds = {
            model: get_args(model.model_fields["kind"].annotation) for model in models if "kind" in model.model_fields
        }
        chosen = {model for model, names in kinds.items() if kind in names}
        models = chosen or models
    return models


def _description(path: Sequence[int | str]) -> str | None:
    """Returns the description of the field at a path; None if there is none."""
    if not path:
        return None
    fields = (model.model_fields.get(str(path[-1])) for model in _models_at(path[:-1]))
    return next((field.description for field in fields if field is not None and field.description), None)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
