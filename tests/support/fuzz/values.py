"""Strategies for the value of a field: valid, near-valid and hostile, from its type and its constraints."""

from collections.abc import Iterator
from datetime import date
from math import inf, nan
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from provider_catalog.catalog import Catalog
from tests.support.fuzz.leaves import Leaf, alternatives

CATALOG: Final = Catalog.load()
LARGEST_INT: Final = 10**9
SMALLEST_FLOAT, LARGEST_FLOAT = 1e-6, 1e12
FACTOR: Final = 30
"""Most valid numbers are within this factor of the default, where plans are feasible."""

MODELS: Final = (
    "Qwen/Qwen2.5-7B", "meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-R1", "meta-llama/Meta-Llama-3.1-70B",
    "mistralai/Mixtral-8x7B-v0.1", "openai/gpt-oss-20b", "Qwen/Qwen3-30B-A3B", "openai-community/gpt2-xl",
    "65B", "lite",
)  # fmt: skip

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "model": MODELS,
    "providers": CATALOG.providers,
    "regions": tuple(region for provider in CATALOG.providers for region in CATALOG.regions(provider)),
    "instance_types": tuple(name for _, name in CATALOG.instance_types),
    "instance_type": tuple(name for _, name in CATALOG.instance_types),
    "zone": ("1", "2", "use1-az6", "usw2-az1"),
    "gpu": tuple(CATALOG.gpus),
    "shared_sku": tuple(sku.sku for systems in CATALOG.shared_file_systems.values() for sku in systems),
    "parameters": ("7B", "65B", "1.5B", "405B"),
    "metadata_iops": (),
}
"""Names that mean something, by the last part of a path. Other texts follow the pattern of their field."""

HOSTILE_TEXTS: Final = (
    "", " ", "\x1b[2J\x1b]0;x\x07", "[/]", "[bold]x",
    "[link=https://x]", "a\nb", "a\r", "\t", "\x00", "\u202eabc", "\ud800",
    "${file(1)}", "%{for}", "$(id)", "`id`", "../../x", "/dev/zero", "/proc/self/environ", "x.csv", "./x.json",
    "__proto__", "<<EOT", "' OR 1=1", "<img src=x>", "|", "@everyone", "a" * 5000, "\uff19", "1e999", "-1", "nan", "1T",
    "true", "null", "9999-12-31", "0001-01-01", "2026-13-01",
)  # fmt: skip
HOSTILE: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**400), 0.0, -0.0, 5e-324, 1e-300, 1e308,
    inf, -inf, nan, [], {}, [[]], [None], {"a": 1}, {None: None}, {1: 2}, [1, "a", None], date.max, date.min, b"\xff",
    *HOSTILE_TEXTS,
)  # fmt: skip


def hostile() -> st.SearchStrategy[Any]:
    """Returns values that no field expects, whatever its type."""
    nested = st.integers(1, 60).map(_nested)
    return st.sampled_from(HOSTILE) | nested | st.text(max_size=20) | st.floats() | st.integers()


def _nested(depth: int) -> Any:
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def valid(leaf: Leaf) -> st.SearchStrategy[Any]:
    """Returns values that the field accepts, most of them near its default; rules about several fields may refuse."""
    return _of_type(leaf.annotation, leaf.constraints, leaf.path[-1], leaf.default)


def near(leaf: Leaf) -> st.SearchStrategy[Any]:
    """Returns values that the field just refuses or barely accepts: bounds, neighbours, other notations and types."""
    options: list[st.SearchStrategy[Any]] = [st.sampled_from([None, True, "", [], {}, 0, -1, "1", "1k", 1.5])]
    for annotation, constraints in _typed(leaf.annotation, leaf.constraints):
        if annotation in (int, float):
            options.append(st.sampled_from(list(_edges(annotation, constraints))))
        if get_origin(annotation) is Literal:
            words = [str(word) for word in get_args(annotation)]
            options.append(st.sampled_from(words).map(str.upper) | st.sampled_from(words).map(lambda word: word + " "))
        if annotation is str:
            options.append(_text(leaf.path[-1], constraints).map(lambda text: text + "\n"))
            options.append(_text(leaf.path[-1], constraints).map(lambda text: [text]))
        if get_origin(annotation) is tuple:
            options.append(_of_type(get_args(annotation)[0], (), leaf.path[-1], None))
    return st.one_of(options)


def _typed(annotation: Any, constraints: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    for branch in alternatives(annotation):
        if get_origin(branch) is Annotated:
            inner, *more = get_args(branch)
            yield from _typed(inner, (*constraints, *_flat(more)))
        else:
            yield branch, constraints


def _flat(constraints: list[Any]) -> Iterator[Any]:
    for constraint in constraints:
        yield from constraint.metadata if isinstance(constraint, FieldInfo) else (constraint,)


def _of_type(annotation: Any, constraints: tuple[Any, ...], name: str, default: Any) -> st.SearchStrategy[Any]:
    strategies: list[st.SearchStrategy[Any]] = []
    for kind, bounds in _typed(annotation, constraints):
        if kind is type(None):
            strategies.append(st.none())
        elif kind is bool:
            strategies.append(st.booleans())
        elif kind in (int, float):
            strategies.append(_number(kind, bounds, default))
        elif kind is str:
            strategies.append(_text(name, bounds))
        elif kind is date:
            strategies.append(st.dates(date(2026, 12, 1), date(2027, 3, 1)))
        elif get_origin(kind) is Literal:
            strategies.append(st.sampled_from(get_args(kind)))
        elif get_origin(kind) is tuple:
            strategies.append(_list(kind, bounds, name))
        elif get_origin(kind) is dict:
            keys, inner = get_args(kind)
            strategies.append(
                st.dictionaries(_of_type(keys, (), name, None), _of_type(inner, (), name, None), max_size=2)
            )
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            strategies.append(_section(kind))
        else:
            raise AssertionError(f"{name}: no strategy for {kind}; add one, so that the field is fuzzed")
    return st.one_of(strategies)


def _section(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    needed: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        strategy = _of_type(field.annotation, tuple(field.metadata), name, None)
        (needed if field.is_required() else optional)[name] = strategy
    return st.fixed_dictionaries(needed, optional=optional)


def _list(kind: Any, constraints: tuple[Any, ...], name: str) -> st.SearchStrategy[list[Any]]:
    inner = _of_type(get_args(kind)[0], (), name, None)
    if name == "demand":
        return st.lists(inner, min_size=24, max_size=24)
    least = max((bound.min_length for bound in constraints if hasattr(bound, "min_length")), default=0)
    return st.lists(inner, min_size=least, max_size=max(least, 3), unique_by=repr)


def _text(name: str, constraints: tuple[Any, ...]) -> st.SearchStrategy[str]:
    pattern = next((found for each in constraints if (found := getattr(each, "pattern", None))), None)
    longest = min((each.max_length for each in constraints if getattr(each, "max_length", None)), default=200)
    if WORDS.get(name):
        return st.sampled_from(WORDS[name])
    if pattern is None:
        return st.text(max_size=20)
    # fullmatch of Python's $ takes a trailing line feed, which pydantic's does not.
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: "\n" not in text and len(text) <= longest)


def _limits(kind: type, constraints: tuple[Any, ...]) -> tuple[float, float]:
    low, high = (-inf, LARGEST_FLOAT) if kind is float else (-inf, LARGEST_INT)
    step = 1 if kind is int else 0
    for each in constraints:
        if (bound := getattr(each, "ge", None)) is not None:
            low = max(low, bound)
        if (bound := getattr(each, "gt", None)) is not None:
            low = max(low, bound + (step or max(abs(bound) * 1e-9, SMALLEST_FLOAT)))
        if (bound := getattr(each, "le", None)) is not None:
            high = min(high, bound)
        if (bound := getattr(each, "lt", None)) is not None:
            high = min(high, bound - (step or max(abs(bound) * 1e-9, SMALLEST_FLOAT)))
    return (0 if low == -inf else low), high


def _number(kind: type, constraints: tuple[Any, ...], default: Any) -> st.SearchStrategy[Any]:
    low, high = _limits(kind, constraints)
    whole = _spread(kind, low, high)
    if isinstance(default, int | float) and not isinstance(default, bool) and default > 0:
        close = _spread(kind, max(low, default / FACTOR), min(high, default * FACTOR))
        return st.integers(0, 9).flatmap(lambda roll: whole if roll == 0 else close)
    return whole


def _spread(kind: type, low: float, high: float) -> st.SearchStrategy[Any]:
    """Returns numbers of equal probability in each order of magnitude."""
    if high <= 0 or high <= low:
        return st.just(kind(low))
    least = max(low, SMALLEST_FLOAT if kind is float else 1)
    if high / least < 4:
        return st.integers(int(low), int(high)) if kind is int else st.floats(low, high)
    powers = st.integers(0, 1000).map(lambda step: least * (high / least) ** (step / 1000))
    rounded = powers.map(lambda value: min(max(_digits(kind, value), low), high))
    return rounded | st.just(kind(low)) if low < least else rounded


def _digits(kind: type, value: float) -> Any:
    return round(value) if kind is int else float(f"{value:.3g}")


def _edges(kind: type, constraints: tuple[Any, ...]) -> Iterator[Any]:
    yield from (0, 1, -1, 2, 10**12, 1e15, "4k", "1e3", float("nan"))
    for each in constraints:
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            bound = getattr(each, name, None)
            if bound is not None:
                yield from (bound, bound + 1, bound - 1, bound * 10)
                if kind is float and bound:
                    yield from (bound * (1 + 1e-12), bound * (1 - 1e-12))
