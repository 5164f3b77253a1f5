"""From parsed YAML to a ClusterSpec, and from pydantic's errors to messages a user can act on."""

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
SHOWN_KEY = 80
"""Characters of a key."""


def read_spec(document: object, where: str) -> ClusterSpec:
    """ClusterSpec of a parsed document.

    Args:
        document: What the YAML holds.
        where: Name of the file, for messages.

    Raises:
        SpecError: every wrong field with what was given and what is allowed, a misspelt key with the nearest one.
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
    # A key of a mapping is what the user wrote: it may hold anything.
    field = one_line(".".join(str(part)[:SHOWN_KEY] for part in path))
    if detail["type"] == "extra_forbidden":
        siblings = sorted(_fields_at(path[:-1]))
        hint = did_you_mean(str(path[-1]), siblings)
        return f"{field}: no such key; {hint}allowed here: {', '.join(siblings)}"
    if detail["type"] == "missing":
        return f"{field}: missing; it has no default"
    if detail["type"] == "union_tag_invalid":
        return f"{field}.kind: no such kind {shortened(detail['ctx']['tag'])}; allowed: inference, training, finetuning"
    if detail["type"] == "union_tag_not_found":
        return f"{field}.kind: missing; allowed: inference, training, finetuning"
    message = one_line(detail["msg"].removeprefix("Value error, "))
    if detail["type"] == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        if words := allowed_text(pattern):
            message = f"allowed: {words}"
        elif meaning := _description(path):
            message = f"{meaning}; the pattern is {pattern}"
    # A rule about several fields names them itself; all that was given beside them would bury them.
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
    "keyword",
    "existing",
    "literal['attention','attention-and-mlp']",
}
"""Parts of pydantic's locations that name a branch of a union, not a key of the file."""


def _fields_at(path: Sequence[int | str]) -> set[str]:
    """Keys that the models allow at a path, of all branches of a union together."""
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
    """What the model says of the field at a path; None where it says nothing."""
    if not path:
        return None
    fields = (model.model_fields.get(str(path[-1])) for model in _models_at(path[:-1]))
    return next((field.description for field in fields if field is not None and field.description), None)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
