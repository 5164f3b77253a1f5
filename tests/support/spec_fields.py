"""Finds every place in a spec that accepts text by walking the models, so that new fields are included."""

from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from planner.spec import ClusterSpec

SMALLEST: dict[str, dict[str, Any]] = {
    "ClusterSpec": {"name": "example", "model": "Qwen/Qwen2.5-7B", "workload": {"kind": "inference"}},
    "InferenceWorkload": {"kind": "inference"},
    "TrainingWorkload": {"kind": "finetuning", "tokens": 1e9},
    "NominalModel": {"parameters": "7B"},
    "CapacityBlock": {"start": "2026-12-10", "days": 7},
    "DataRepository": {"bucket": "s3://example-data"},
    "PinnedGpu": {"name": "X1", "memory_gib": 96, "bandwidth_tb_per_s": 4, "bf16_tflops": 148},
    "PinnedNode": {"gpu": "H800", "gpus": 8, "nic_gbit_per_s": 3200},
    "Dataset": {"examples": 1000, "tokens_per_example": 512},
}
"""Required fields of each model, which a spec needs beside the tested field. Other models have no required fields."""
GOOD_KEY, GOOD_VALUE = "storage.aws_s3_bucket.checkpoints", "example"


class Place(NamedTuple):
    """A place that accepts text: the path of its field, and a function that returns a spec with a given text there."""

    path: str
    plant: Callable[[str], dict[str, Any]]
    free: bool
    """Whether the field accepts free text rather than one of a few words."""


def text_places() -> list[Place]:
    """Returns all places, including those in unions, lists and mappings."""
    return list(_of_model(ClusterSpec, ""))


def _of_model(model: type[BaseModel], path: str) -> Iterator[Place]:
    rest = SMALLEST.get(model.__name__, {})
    missing = {name for name, field in model.model_fields.items() if field.is_required()} - set(rest)
    assert not missing, f"{model.__name__} needs {missing}: add it to SMALLEST, so that its fields are tested"
    for name, field in model.model_fields.items():
        for place in _of_type(field, f"{path}.{name}".lstrip(".")):
            yield Place(place.path, _within(rest, name, place.plant), place.free)


def _within(rest: Mapping[str, Any], name: str, plant: Callable[[str], Any]) -> Callable[[str], dict[str, Any]]:
    return lambda text: {**rest, name: plant(text)}


def _of_type(annotation: Any, path: str) -> Iterator[Place]:
    if isinstance(annotation, FieldInfo):
        annotation = annotation.annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is str:
        yield Place(path, lambda text: text, free=True)  # type: ignore[arg-type, return-value]
    elif origin is Literal:
        if any(isinstance(value, str) for value in arguments):
            yield Place(path, lambda text: text, free=False)  # type: ignore[arg-type, return-value]
    elif origin is Annotated:
        yield from _of_type(arguments[0], path)
    elif origin in (Union, UnionType):
        for each in arguments:
            yield from _of_type(each, path)
    elif origin in (tuple, list, frozenset, set):
        for place in _of_type(arguments[0], path):
            yield Place(place.path, _listed(place.plant), place.free)
    elif origin in (dict, Mapping):
        for place in _of_type(arguments[0], path):
            yield Place(place.path, _as_key(place.plant), place.free)
        for place in _of_type(arguments[1], path):
            yield Place(place.path, _as_value(place.plant), place.free)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _of_model(annotation, path)
    else:
        assert annotation in (int, float, bool, type(None)) or annotation.__name__ == "date", (
            f"{path}: this walk does not support {annotation}; add it, so that its text is tested"
        )


def _listed(plant: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: [plant(text)]


def _as_key(plant: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: {plant(text): GOOD_VALUE}


def _as_value(plant: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: {GOOD_KEY: plant(text)}
