"""Short forms that a spec may use: 1T for a number, and one value for a list with one entry."""

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

SUFFIXES: Final = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_AMOUNT: Final = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([kKMBGT])")


def amount(text: str) -> float | None:
    """Returns the number that a text with a suffix stands for, such as 1e12 for 1T; None for any other text."""
    found = _AMOUNT.fullmatch(text.strip())
    return None if found is None else float(found[1].replace("_", "")) * SUFFIXES[found[2]]


def written_out(document: Mapping[Any, Any], model: type[BaseModel]) -> dict[Any, Any]:
    """Returns a document with amounts as numbers and single values as lists, where the model asks for them."""
    return {
        key: _value(value, model.model_fields[key].annotation) if key in model.model_fields else value
        for key, value in document.items()
    }


def _value(value: Any, annotation: Any) -> Any:
    kinds = tuple(_kinds(annotation))
    if isinstance(value, Mapping):
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for found in _of_kind(models, value.get("kind")):
            value = written_out(value, found)
        return value
    if not isinstance(value, str):
        return value
    if int in kinds or float in kinds:
        number = amount(value)
        if number is None:
            return value
        return int(number) if float not in kinds and number.is_integer() else number
    texts = {choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)}
    takes_text = str in kinds
    if value not in texts and not takes_text and any(get_origin(kind) is tuple for kind in kinds):
        return [value]
    return value


def _of_kind(models: list[type[BaseModel]], kind: object) -> list[type[BaseModel]]:
    """Models of a union that the key `kind` chooses; all of them where they have no kind."""
    return [
        model
        for model in models
        if "kind" not in model.model_fields or kind in get_args(model.model_fields["kind"].annotation)
    ]


def _kinds(annotation: Any) -> list[Any]:
    """Types of an annotation, unions and annotated types taken apart."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    return [annotation]
