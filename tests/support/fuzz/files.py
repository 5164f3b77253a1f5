"""Mutations of the other files that are read: locks, price files, demand files and the text of specs."""

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from hypothesis import strategies as st

from planner.errors import SpecError
from planner.launch.launch_files import launch_files, launch_of
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.spec.reader import read_spec
from planner.workspace.demand_file import read_demand
from planner.workspace.lock_rules import violations
from planner.workspace.locks import lock_path, plan_json, read_lock
from planner.workspace.specs import LoadedSpec, load_spec
from provider_catalog.errors import CatalogError
from provider_catalog.models import load_model
from provider_catalog.price_overlay import NegotiatedPrice, read_overlay
from provider_catalog.units import HOURS_PER_YEAR
from tests.support.fuzz.documents import base
from tests.support.fuzz.judge import check_printed
from tests.support.fuzz.leaves import KINDS, Leaf
from tests.support.fuzz.messages import check_message
from tests.support.fuzz.values import CATALOG, hostile, near, valid

PathOfKeys = tuple[Any, ...]
CLUSTERS: Final = Path(__file__).parents[3] / "clusters"


# Locks


@cache
def locked(kind: str) -> tuple[LoadedSpec, Plan]:
    """Returns a small spec with a workload of this kind, and its plan."""
    spec = read_spec(base(kind), "spec.yaml")
    architecture = load_model(str(spec.model))
    return LoadedSpec(spec, architecture, Path("spec.yaml")), make_plan(spec, architecture, CATALOG)


class LockCase(NamedTuple):
    """The text of a lock of the small spec of a kind."""

    kind: str
    text: str


@st.composite
def locks(draw: st.DrawFn) -> LockCase:
    """Draws locks with up to three values changed, removed or added, or with changed characters."""
    kind = draw(st.sampled_from(KINDS))
    text = plan_json(locked(kind)[1])
    if draw(st.integers(0, 4)) == 0:
        return LockCase(kind, _broken_text(draw, text))
    document = json.loads(text)
    places = list(_places(document))
    for _ in range(draw(st.integers(1, 3))):
        _edit(draw, document, draw(st.sampled_from(places)))
    return LockCase(kind, json.dumps(document, default=str, ensure_ascii=draw(st.booleans())))


def _places(value: Any, path: PathOfKeys = ()) -> Iterator[PathOfKeys]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from _places(each, (*path, key))


def _edit(draw: st.DrawFn, document: Any, path: PathOfKeys) -> None:
    at = document
    for key in path[:-1]:
        try:
            at = at[key]
        except (KeyError, IndexError, TypeError):
            return
    try:
        given = at[path[-1]]
    except (KeyError, IndexError, TypeError):
        return
    way = draw(st.sampled_from(("hostile", "scale", "remove", "add", "repeat")))
    if way == "remove" and isinstance(at, dict):
        del at[path[-1]]
    elif way == "add" and isinstance(at, dict):
        at[draw(st.text(max_size=8))] = draw(hostile())
    elif way == "repeat" and isinstance(given, list):
        at[path[-1]] = deepcopy(given) * 2
    elif way == "scale" and isinstance(given, int | float) and not isinstance(given, bool):
        at[path[-1]] = given * draw(st.sampled_from([0, -1, 2, 0.5, 1000, 1e30])) + draw(st.sampled_from([0, 1, -1]))
    else:
        at[path[-1]] = draw(hostile())


def judge_lock(case: LockCase, folder: Path) -> bool:
    """Reads a lock; asserts its message, or that its plan keeps the rules and prints; returns whether it is used."""
    loaded, _ = locked(case.kind)
    spec_path = folder / "spec.yaml"
    lock_path(spec_path).write_text(case.text, encoding="utf-8", errors="surrogatepass")
    try:
        plan = read_lock(spec_path, loaded, CATALOG)
    except SpecError as error:
        check_message(error, ["spec.plan.json", "spec.yaml"])
        return False
    assert plan is not None
    assert plan.spec == loaded.spec
    assert list(violations(plan, CATALOG)) == []
    check_printed(plan)
    for text in launch_files(launch_of(plan, loaded.architecture, CATALOG)).values():
        assert all(line.isprintable() for line in text.replace("\t", " ").split("\n"))
    return True


def _broken_text(draw: st.DrawFn, text: str) -> str:
    """Draws changes of single characters, cuts, and insertions."""
    at = draw(st.integers(0, len(text)))
    way = draw(st.sampled_from(("cut", "insert", "replace", "move", "double")))
    words = st.text(min_size=1, max_size=5) | st.sampled_from(
        ["{", "}", "[", "- ", ": ", "\n", "\t", "&a ", "*a", "!!int ", "|", ">", "# ", "'", '"', "\\", "\x1b[2J",
         "\x00", "\ufeff", "?", "<<: ", "%", "@", "`", "9" * 5000, "[" * 500, "{" * 500, "NaN", "1e999"]
    )  # fmt: skip
    if way == "cut":
        return text[:at]
    if way == "double":
        return text + text
    end = min(len(text), at + draw(st.integers(0, 20)))
    if way == "move":
        return text[:at] + text[end:] + text[at:end]
    return text[:at] + draw(words) + text[at if way == "insert" else end :]


# The text of specs


@st.composite
def spec_texts(draw: st.DrawFn) -> bytes:
    """Draws the text of an example with changed characters, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60))
    examples = sorted(CLUSTERS.glob("*.yaml"))
    text = draw(st.sampled_from(examples)).read_text(encoding="utf-8")
    return _broken_text(draw, text).encode("utf-8", errors="surrogatepass")


def judge_text(content: bytes, folder: Path) -> bool:
    """Loads a spec file; asserts the message if it is refused; returns whether it was accepted."""
    path = folder / "text.yaml"
    path.write_bytes(content)
    try:
        load_spec(path)
    except (SpecError, CatalogError) as error:
        check_message(error, ["text.yaml", "capacity.demand"])
        return False
    return True


# Price files


@st.composite
def overlays(draw: st.DrawFn) -> str:
    """Draws price files: rows of the fields of a negotiated price, of which at most one is wrong."""
    rows = draw(st.lists(_price_row(), min_size=0, max_size=4))
    document: Any = {"source": "contract", "as_of": "2026-11-01", "prices": rows}
    way = draw(st.sampled_from(("none", "none", "field", "field", "field", "key", "top", "whole")))
    if way == "field" and rows:
        name = draw(st.sampled_from(sorted(NegotiatedPrice.model_fields)))
        field = NegotiatedPrice.model_fields[name]
        leaf = Leaf((name,), field.annotation, tuple(field.metadata), None)
        rows[0] = {**rows[0], name: draw(near(leaf) | hostile())}
    elif way == "key" and rows:
        rows[-1] = {**rows[-1], draw(st.text(max_size=8)): draw(hostile())}
    elif way == "top":
        document[draw(st.sampled_from(["source", "as_of", "prices", "x"]))] = draw(hostile())
    elif way == "whole":
        document = draw(hostile())
    return _dumped(document)


@st.composite
def _price_row(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        price = draw(st.sampled_from(CATALOG.instance_prices))
        usd = draw(valid(_leaf("usd_per_hour")))
        return {
            "provider": price.provider, "region": price.region, "instance_type": price.instance_type,
            "option": price.option, "usd_per_hour": usd,
        }  # fmt: skip
    service = draw(st.sampled_from(CATALOG.service_prices))
    usd = draw(valid(_leaf("unit_price_usd")))
    return {"provider": service.provider, "region": service.region, "sku": service.sku, "unit_price_usd": usd}


def _leaf(name: str) -> Leaf:
    field = NegotiatedPrice.model_fields[name]
    return Leaf((name,), float, tuple(field.metadata), None)


def _dumped(document: Any) -> str:
    try:
        return yaml.safe_dump(document, allow_unicode=False)
    except (yaml.YAMLError, ValueError):
        return repr(document)


def judge_overlay(text: str, folder: Path) -> bool:
    """Reads a price file; asserts the message if it is refused, or that the catalog takes it."""
    path = folder / "prices.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        layer = read_overlay(path, CATALOG, folder)
    except CatalogError as error:
        check_message(error, ["prices.yaml"])
        return False
    catalog = CATALOG.under(layer)
    assert catalog.prices_as_of
    for price in layer.instances:
        assert catalog.prices.instance(price.provider, price.region, price.instance_type, price.option) is not None
    return True


# Demand files


@st.composite
def demand_files(draw: st.DrawFn) -> bytes:
    """Draws CSV files of a year of hours, with some cells, lines or bytes changed."""
    level = draw(st.sampled_from(["1", "0", "0.5", "1e3", "7"]))
    rows = [f"{hour},{level}" for hour in range(HOURS_PER_YEAR)]
    lines = ["hour,demand", *rows]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.sampled_from([0, 1, 2, 4000, len(lines) - 1]))
        cell = draw(st.text(max_size=6) | hostile().map(str) | st.integers(-1, 9000).map(str))
        way = draw(st.sampled_from(("line", "hour", "demand", "remove", "repeat")))
        hour, _, demand = lines[at].partition(",")
        if way == "remove":
            del lines[at]
        else:
            new = {"line": cell, "hour": f"{cell},{demand}", "demand": f"{hour},{cell}", "repeat": lines[at]}[way]
            lines[at : at + (way != "repeat")] = [new]
    ending = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    content = (draw(st.sampled_from(["", "\ufeff"])) + ending.join(lines)).encode("utf-8", errors="surrogatepass")
    return content if draw(st.integers(0, 9)) else draw(st.binary(max_size=40)) + content


def judge_demand(content: bytes, folder: Path) -> bool:
    """Reads a demand file; asserts its message, or that the fractions are those of a year."""
    path = folder / "demand.csv"
    path.write_bytes(content)
    try:
        demand = read_demand(path, folder)
    except SpecError as error:
        check_message(error, ["capacity.demand"])
        return False
    assert len(demand) == HOURS_PER_YEAR
    assert max(demand) == 1.0
    assert min(demand) >= 0
    return True
