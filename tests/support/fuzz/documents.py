"""Strategies for spec documents: valid, near-valid and hostile, each with the fields that it changes."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st
from pydantic import BaseModel

from planner.spec import ClusterSpec, InferenceWorkload, TrainingWorkload
from tests.support.fuzz.leaves import KINDS, SERVING, Leaf, Path, alternatives, leaves, with_value
from tests.support.fuzz.values import hostile, near, valid
from tests.support.spec_fields import SMALLEST

MOST_CHANGES: Final = 5
OF_OTHER_FILES: Final = {("prices",)}
"""Fields that name a file, which a document alone cannot have; `tests.support.fuzz.files` fuzzes these files."""
PLANNED: Final = {"workload", "precision", "placement", "capacity", "headroom", "pin", "budget", "model"}
"""Sections that change the plan; the others change the bill or the stacks."""


class SpecCase(NamedTuple):
    """A document of a spec, and the paths of the fields that were changed from a valid one."""

    document: dict[Any, Any]
    changed: tuple[Path, ...]


def base(kind: str) -> dict[str, Any]:
    """Returns a small valid document with a workload of this kind."""
    workload: dict[str, Any] = {"kind": kind} if kind == SERVING else {"kind": kind, "tokens": 1e9}
    return {"name": "example", "model": "Qwen/Qwen2.5-7B", "workload": workload}


@st.composite
def valid_specs(draw: st.DrawFn, most: int = MOST_CHANGES) -> SpecCase:
    """Draws documents of which every changed field is valid by itself."""
    kind = draw(st.sampled_from(KINDS))
    document, changed = base(kind), []
    for _ in range(draw(st.integers(0, most))):
        leaf = draw(_chosen(kind))
        document = with_value(document, leaf.path, draw(_valid_value(kind, leaf.path)))
        changed.append(leaf.path)
    return SpecCase(completed(document), tuple(changed))


@st.composite
def near_specs(draw: st.DrawFn) -> SpecCase:
    """Draws valid documents with one field at a bound, beside it or in another notation."""
    kind = draw(st.sampled_from(KINDS))
    leaf = draw(_chosen(kind))
    document = with_value(draw(_around(kind)), leaf.path, draw(_near_value(kind, leaf.path)))
    return SpecCase(completed(document), (leaf.path,))


@st.composite
def hostile_specs(draw: st.DrawFn) -> SpecCase:
    """Draws valid documents in which a field, a section, a key or the whole is replaced by anything."""
    kind = draw(st.sampled_from(KINDS))
    document, leaf, anything = draw(_around(kind)), draw(_chosen(kind)), draw(hostile())
    way = draw(st.sampled_from(("field", "field", "field", "section", "key", "whole")))
    if way == "whole":
        return SpecCase(anything, ((),))
    if way == "key":
        name = draw(st.text(max_size=12) | st.sampled_from(["__proto__", "[/]", "\x1b[2J", "\ud800", 1, None, True]))
        path: tuple[Any, ...] = (*leaf.path[:-1], name)
        return SpecCase(completed(with_value(document, path, anything)), (path,))
    path = leaf.path[:1] if way == "section" else leaf.path
    return SpecCase(completed(with_value(document, path, anything)), (path,))


def completed(document: Mapping[Any, Any]) -> dict[Any, Any]:
    """Returns a document in which every section that it has also has its required fields."""
    return _completed(document, ClusterSpec)


def _completed(document: Mapping[Any, Any], model: type[BaseModel]) -> dict[Any, Any]:
    rest = SMALLEST.get(model.__name__, {})
    if model is TrainingWorkload:
        # Another amount of data excludes tokens, and the kind is given.
        rest = {} if document.get("dataset") is not None else {"tokens": rest["tokens"]}
    found = {**rest, **document}
    if model is TrainingWorkload and found.get("dataset") is not None:
        found.pop("tokens", None)
    for name, value in found.items():
        if name not in model.model_fields or not isinstance(value, Mapping):
            continue
        inner = _model_of(model, name, value)
        if inner is not None:
            found[name] = _completed(value, inner)
    return found


def _model_of(model: type[BaseModel], name: str, value: Mapping[Any, Any]) -> type[BaseModel] | None:
    if (model, name) == (ClusterSpec, "workload"):
        return InferenceWorkload if value.get("kind") == SERVING else TrainingWorkload
    branches = alternatives(model.model_fields[name].annotation)
    return next((each for each in branches if isinstance(each, type) and issubclass(each, BaseModel)), None)


@cache
def _leaves(kind: str) -> dict[Path, Leaf]:
    return {leaf.path: leaf for leaf in leaves(kind) if leaf.path not in OF_OTHER_FILES}


def _chosen(kind: str) -> st.SearchStrategy[Leaf]:
    planned = [leaf for leaf in _leaves(kind).values() if leaf.path[0] in PLANNED]
    return st.sampled_from(planned) | st.sampled_from(list(_leaves(kind).values()))


@cache
def _valid_value(kind: str, path: Path) -> st.SearchStrategy[Any]:
    return valid(_leaves(kind)[path])


@cache
def _near_value(kind: str, path: Path) -> st.SearchStrategy[Any]:
    return near(_leaves(kind)[path])


@cache
def _around(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.just(base(kind))
