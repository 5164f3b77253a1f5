"""Mutations of the published model configurations, and what holds for every configuration that is read."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from llmcluster.reports.gpu_counts import smallest_fleet
from llmcluster.reports.model_size import DEFAULT_CONCURRENCY, model_size
from planner.errors import InfeasibleError, SpecError
from planner.relax.decide import decide
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.errors import CatalogError
from provider_catalog.models import DATA_FOLDER, INDEX_FILE, load_model
from tests.support.fuzz.documents import base
from tests.support.fuzz.invariants import check_plan
from tests.support.fuzz.leaves import KINDS
from tests.support.fuzz.messages import check_message
from tests.support.fuzz.values import CATALOG, hostile

KeyPath = tuple[str, ...]
MOST_CHANGES: Final = 3
FACTORS: Final = (0, 1 / 64, 1 / 2, 3 / 4, 2, 3, 64, 1e6, -1)


class ConfigCase(NamedTuple):
    """A config.json, the size that its index states, and the keys that were changed."""

    name: str
    config: Any
    total_size: Any
    changed: tuple[KeyPath, ...]


@cache
def published() -> dict[str, dict[str, Any]]:
    """Returns the configurations of the catalog by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DATA_FOLDER.glob("*.json"))}


@cache
def _paths(name: str) -> tuple[KeyPath, ...]:
    return tuple(_walk(published()[name]))


def _walk(value: Mapping[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    for key, inner in value.items():
        yield (*path, key)
        if isinstance(inner, Mapping):
            yield from _walk(inner, (*path, key))


@cache
def _all_keys() -> tuple[str, ...]:
    return tuple(sorted({path[-1] for name in published() for path in _paths(name)}))


@st.composite
def configs(draw: st.DrawFn) -> ConfigCase:
    """Draws published configurations with up to three keys changed, removed, or taken from another model."""
    name = draw(st.sampled_from(sorted(published())))
    config: Any = json.loads(json.dumps(published()[name]))
    changed = []
    for _ in range(draw(st.integers(1, MOST_CHANGES))):
        path = draw(st.sampled_from(_paths(name)) | st.sampled_from(_all_keys()).map(lambda key: (key,)))
        _change(draw, config, path)
        changed.append(path)
    total_size = draw(st.none() | st.none() | st.sampled_from([0, 1, -1, 2, "1", True, 1e9, 10**15, 10**30, [], {}]))
    return ConfigCase(name, config, total_size, tuple(changed))


def _change(draw: st.DrawFn, config: dict[str, Any], path: KeyPath) -> None:
    *outer, key = path
    at: Any = config
    for part in outer:
        if not isinstance(at.get(part), dict):
            return
        at = at[part]
    given = at.get(key)
    way = draw(st.sampled_from(("scale", "scale", "hostile", "remove", "other", "small")))
    if way == "remove":
        at.pop(key, None)
    elif way == "hostile":
        at[key] = draw(hostile())
    elif way == "other":
        other = published()[draw(st.sampled_from(sorted(published())))]
        at[key] = json.loads(json.dumps(other.get(key, given)))
    elif way == "small":
        at[key] = draw(st.integers(0, 130))
    elif isinstance(given, int | float) and not isinstance(given, bool):
        scaled = given * draw(st.sampled_from(FACTORS))
        at[key] = int(scaled) if isinstance(given, int) else scaled
    elif isinstance(given, list):
        at[key] = draw(st.sampled_from([given[:1], given * 2, [], given[::-1]]))


def judge_config(case: ConfigCase, folder: Path) -> bool:
    """Loads a configuration from its file and sizes it; returns whether it was accepted."""
    return _judge(case, folder, _size)


def judge_planned_config(case: ConfigCase, folder: Path) -> bool:
    """Loads a configuration from its file and plans it; returns whether there is a plan."""
    kind = KINDS[len(case.changed) % len(KINDS)]
    return _judge(case, folder, lambda architecture: _plan(architecture, kind, folder))


def _judge(case: ConfigCase, folder: Path, use: Callable[[ModelArchitecture], None]) -> bool:
    path = folder / "config.json"
    path.write_text(json.dumps(case.config, default=str))
    index = folder / INDEX_FILE
    index.unlink(missing_ok=True)
    if case.total_size is not None:
        index.write_text(json.dumps({"metadata": {"total_size": case.total_size}, "weight_map": {}}))
    try:
        architecture = load_model(str(path))
        check_architecture(architecture)
        use(architecture)
    except (CatalogError, SpecError, InfeasibleError) as error:
        # A change may contradict another key, which the message then names.
        keys = ("config key", "metadata.total_size", "the configuration", *(path[-1] for path in case.changed))
        check_message(error, keys if isinstance(error, CatalogError) else ())
        return False
    return True


def check_architecture(architecture: ModelArchitecture) -> None:
    """Asserts that parameters are counted, positive and consistent."""
    total, active = architecture.total_parameters, architecture.active_parameters
    assert 0 < active <= total, f"{active} of {total} parameters are active"
    assert architecture.layer_count > 0
    assert architecture.embedding_parameters >= 0
    assert all(warning.isprintable() for warning in architecture.warnings)
    assert architecture.name.isprintable()


def _size(architecture: ModelArchitecture) -> None:
    size = model_size(architecture, None, "bf16", None, DEFAULT_CONCURRENCY)
    size.to_json()
    smallest_fleet(architecture, size)


def _plan(architecture: ModelArchitecture, kind: str, folder: Path) -> None:
    document = base(kind)
    if kind != "inference":
        document["workload"]["sequence_length"] = 512
    spec = read_spec({**document, "model": "./config.json"}, "spec.yaml")
    plan, _ = decide(spec, architecture, CATALOG)
    check_plan(plan, architecture, folder)
