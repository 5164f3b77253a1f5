"""The fields of a spec as leaves, found by walking the pydantic models."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from planner.spec import ClusterSpec, InferenceWorkload, TrainingWorkload

Path = tuple[str, ...]

SERVING: Final = "inference"
KINDS: Final = (SERVING, "training", "finetuning")


class Leaf(NamedTuple):
    """A field that is no section: its path, its type, its constraints and its default."""

    path: Path
    annotation: Any
    constraints: tuple[Any, ...]
    default: Any


def leaves(kind: str) -> tuple[Leaf, ...]:
    """Returns the leaves of a spec with a workload of this kind."""
    workload = InferenceWorkload if kind == SERVING else TrainingWorkload
    return tuple(leaf for leaf in _of_model(ClusterSpec, (), workload) if leaf.path[-1] != "kind")


def _of_model(model: type[BaseModel], path: Path, workload: type[BaseModel]) -> Iterator[Leaf]:
    for name, field in model.model_fields.items():
        section = workload if (model, name) == (ClusterSpec, "workload") else _section(field.annotation)
        if section is None:
            yield Leaf((*path, name), field.annotation, tuple(field.metadata), _default(field))
        else:
            yield from _of_model(section, (*path, name), workload)


def _section(annotation: Any) -> type[BaseModel] | None:
    """Returns the model of a section; None for values, lists and mappings. An optional section is one too."""
    found = [each for each in alternatives(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
    others = [each for each in alternatives(annotation) if each is not type(None)]
    return found[0] if len(found) == 1 and len(others) == 1 else None


def alternatives(annotation: Any) -> list[Any]:
    """Returns the branches of a union; annotated branches keep their constraints."""
    if get_origin(annotation) in (Union, UnionType):
        return [branch for part in get_args(annotation) for branch in alternatives(part)]
    if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) in (Union, UnionType):
        return alternatives(get_args(annotation)[0])
    return [annotation]


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() or field.default_factory is not None else field.default


def with_value(document: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Returns a document with a value at a path; sections on the way are created."""
    first, *rest = path
    if not rest:
        return {**document, first: value}
    inner = document.get(first)
    return {**document, first: with_value(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)}
