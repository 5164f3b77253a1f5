"""Turns parsed YAML into a ClusterSpec, and errors of pydantic into messages that users can act on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from planner.errors import SpecError
from planner.spec import ClusterSpec
from planner.spec.text import allowed_text
from provider_catalog.suggestions import did_you_mean
from provider_catalog.text import kind_of, one_line, shortened

SHOWN_ERRORS = 8
"""Number of wrong fields that one error message lists."""
SHOWN_KEY = 80
"""Characters of a key that a message shows."""


def read_spec(document: object, where: str) -> ClusterSpec:
    """Returns the ClusterSpec of a parsed document.

    Args:
        document: The parsed YAML.
        where: Name of the file for error messages.

    Raises:
        SpecError: the document is no valid spec. The message lists the wrong fields, each with the given and the
            allowed value, and suggests the correct spelling of a misspelt key.
    """
    if document is None:
        raise SpecError(f"{where}: the file is empty; a spec needs name, model and workload")
    if not isinstance(document, Mapping):
        raise SpecError(f"{where}: expected a mapping with name, model and workload, found {kind_of(document)}")
    try:
        return ClusterSpec.model_validate(document)
    except ValidationError as error:
        lines = list(dict.fromkeys(_message(detail) for detail in error.errors(include_url=False)))
        shown = lines[:SHOWN_ERRORS]
        if len(lines) > len(shown):
            shown.append(f"and {len(lines) - len(shown)} more")
        raise SpecError(f"{where}: " + f"\n{where}: ".join(shown)) from None


def _message(detail: ErrorDetails) -> str:
    path = [part for part in detail["loc"] if part not in _BRANCHES]
    # A key of a mapping is text of the user, so it may contain any character.
    field = one_line(".".join(str(part)[:SHOWN_KEY] for part in path))
    if detail["type"] == "extra_forbidden":
        siblings = sorted(_fields_at(path[:-1]))
        hint = did_you_mean(str(path[-1]), siblings)
        return f"{field}: no such key; {hint}allowed here: {', '.join(siblings)}"
    if detail["type"] == "missing":
        return f"{field}: missing; this field is required"
    if detail["type"] == "union_tag_invalid":
        return f"{field}.kind: unknown kind {shortened(detail['ctx']['tag'])}; allowed: inference, training, finetuning"
    if detail["type"] == "union_tag_not_found":
        return f"{field}.kind: missing; allowed: inference, training, finetuning"
    message = one_line(detail["msg"].removeprefix("Value error, "))
    if detail["type"] == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        if words := allowed_text(pattern):
            message = f"allowed: {words}"
        elif meaning := _description(path):
            message = f"{meaning}; the pattern is {pattern}"
    # A rule about several fields names them itself; showing the whole mapping would hide them.
    several = detail["type"] == "value_error" and isinstance(detail["input"], Mapping)
    given = "" if several else f"; given: {shortened(detail['input'])}"
    return f"{field}: {message}{given}" if field else message


_BRANCHES = frozenset(
    {"inference", "training", "finetuning", "str", "constrained-str", "NominalModel", "constant", "[key]"}
) | {
    "literal['constant','business-hours']",
    "tuple[constrained-float, ...]",
    "tuple[constrained-str, ...]",
    "literal['any']",
    "literal['attention','attention-and-mlp']",
}
"""Parts of error locations of pydantic that name a branch of a union, not a key of the file."""


def _fields_at(path: Sequence[int | str]) -> set[str]:
    """Returns the keys that are allowed at a path, over all branches of a union."""
    return {name for model in _models_at(path) for name in model.model_fields}


def _models_at(path: Sequence[int | str]) -> set[type[BaseModel]]:
    models: set[type[BaseModel]] = {ClusterSpec}
    for part in path:
        models = {
            found
            for model in models
            if part in model.model_fields
            for found in _models_in(model.model_fields[str(part)].annotation)
        }
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
