"""Relations between the plans of two specs: asking for more never costs less, and more freedom never costs more."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from planner.cost.unpriced import unpriced_upper_bound_usd_per_hour
from planner.errors import InfeasibleError, SpecError
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.price_layers import PriceLayer
from tests.support.fuzz.documents import base
from tests.support.fuzz.judge import model_of
from tests.support.fuzz.leaves import SERVING, with_value
from tests.support.fuzz.values import CATALOG

ROUNDING: Final = 1e-6
MODELS: Final = (
    "Qwen/Qwen2.5-7B", "meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-R1", "meta-llama/Meta-Llama-3.1-70B",
    "openai/gpt-oss-20b", "Qwen/Qwen3-30B-A3B",
)  # fmt: skip
Change = Callable[[Mapping[str, Any]], dict[str, Any] | None]


class Relation(NamedTuple):
    """A change of a spec after which no plan costs less; None where the change does not apply."""

    name: str
    kinds: tuple[str, ...]
    harder: Change


class RelationCase(NamedTuple):
    """A spec and the relation that is checked on it."""

    relation: Relation
    document: dict[str, Any]


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = document
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _times(path: tuple[str, ...], factor: float, default: float | None = None, least: float = 0) -> Change:
    def change(document: Mapping[str, Any]) -> dict[str, Any] | None:
        given = _at(document, path)
        given = default if given is None else given
        if given is None:
            return None
        value = given * factor
        value = round(value) if isinstance(given, int) and factor >= 1 else value
        return with_value(document, path, value) if value >= least else None

    return change


def _set(path: tuple[str, ...], value: Any, unless: Any = None) -> Change:
    return lambda document: None if _at(document, path) in (value, unless) else with_value(document, path, value)


def _one_more(path: tuple[str, ...], default: int) -> Change:
    return lambda document: with_value(document, path, (_at(document, path) or default) + 1)


def _at_a_rate(change: Change) -> Change:
    """Applies a change only to an arrival rate: a fixed number of users sends fewer requests if each takes longer."""
    return lambda document: None if _at(document, ("workload", "concurrency")) else change(document)


def _only_aws(document: Mapping[str, Any]) -> dict[str, Any] | None:
    given = _at(document, ("placement", "providers"))
    return with_value(document, ("placement", "providers"), ["aws"]) if given is None else None


TRAINING: Final = ("training", "finetuning")
RELATIONS: Final = (
    Relation("more requests", (SERVING,), _times(("workload", "request_rate_per_s"), 1.5)),
    Relation("more users", (SERVING,), _times(("workload", "concurrency"), 2)),
    Relation("one more output token", (SERVING,), _at_a_rate(_one_more(("workload", "output_tokens"), 256))),
    Relation("longer outputs", (SERVING,), _at_a_rate(_times(("workload", "output_tokens"), 2, 256))),
    Relation("longer prompts", (SERVING,), _times(("workload", "prompt_tokens"), 2, 1024)),
    Relation("tighter TTFT", (SERVING,), _times(("workload", "slo", "ttft_ms"), 0.7, 2000)),
    Relation("tighter TPOT", (SERVING,), _times(("workload", "slo", "tpot_ms"), 0.7, 100)),
    Relation("a spare replica", (SERVING,), _one_more(("workload", "spare_replicas"), 0)),
    Relation("fewer cached tokens", (SERVING,), _set(("workload", "prefix_cache_hit_rate"), 0.0)),
    Relation("only aggregated", (SERVING,), _set(("workload", "fleet"), "aggregated", "disaggregated")),
    Relation("only disaggregated", (SERVING,), _set(("workload", "fleet"), "disaggregated", None)),
    Relation("more tokens", TRAINING, _times(("workload", "tokens"), 1.5)),
    Relation("shorter deadline", TRAINING, _times(("workload", "deadline_days"), 0.6, 30)),
    Relation("no interruption", (SERVING, *TRAINING), _set(("capacity", "interruption"), "never", None)),
    Relation("fewer nodes", (SERVING, *TRAINING), _times(("placement", "max_nodes"), 0.5, 64, 1)),
    Relation("only AWS", (SERVING, *TRAINING), _only_aws),
    Relation("more memory kept free", (SERVING, *TRAINING), _set(("headroom", "memory_fraction"), 0.7)),
    Relation("more compute kept free", (SERVING, *TRAINING), _set(("headroom", "compute_fraction"), 0.5)),
)


@st.composite
def relations(draw: st.DrawFn) -> RelationCase:
    """Draws feasible specs and a relation for each."""
    relation = draw(st.sampled_from(RELATIONS))
    kind = draw(st.sampled_from(relation.kinds))
    document = base(kind)
    document["model"] = draw(st.sampled_from(MODELS))
    document = _placed(draw, _loaded(draw, document, kind, relation))
    if kind == SERVING and relation.name != "no interruption":
        # At most half of a fleet is on Spot, so a fleet of two replicas may cost less than a single one.
        document["capacity"]["interruption"] = "never"
    return RelationCase(relation, document)


def _loaded(draw: st.DrawFn, document: dict[str, Any], kind: str, relation: Relation) -> dict[str, Any]:
    workload = dict(document["workload"])
    if kind == SERVING:
        users = relation.name == "more users" or (relation.name != "more requests" and draw(st.booleans()))
        if users:
            workload["concurrency"] = draw(st.sampled_from([1, 4, 30, 200, 1500]))
        else:
            workload["request_rate_per_s"] = draw(st.sampled_from([0.01, 0.5, 3.0, 20.0, 150.0]))
        workload["prompt_tokens"] = draw(st.sampled_from([1, 64, 1000, 5000]))
        workload["output_tokens"] = draw(st.sampled_from([1, 2, 3, 16, 200, 1000]))
        workload["slo"] = {
            "ttft_ms": draw(st.sampled_from([400, 2000, 10_000])),
            "tpot_ms": draw(st.sampled_from([15, 50, 200])),
            "percentile": draw(st.sampled_from(["mean", "mean", "p95"])),
        }
        workload["fleet"] = draw(st.sampled_from(["aggregated", "aggregated", "disaggregated", "auto"]))
        workload["chunked_prefill"] = draw(st.sampled_from([True, True, False]))
        workload["prefix_cache_hit_rate"] = draw(st.sampled_from([0.0, 0.5]))
    else:
        workload["tokens"] = draw(st.sampled_from([1e8, 3e9, 1e11]))
        workload["sequence_length"] = draw(st.sampled_from([2048, 4096]))
        workload["deadline_days"] = draw(st.sampled_from([3, 20, 90]))
        if draw(st.integers(0, 2)) == 0:
            workload["every_days"] = max(workload["deadline_days"], draw(st.sampled_from([3, 7, 30, 100])))
        if kind == "finetuning":
            workload["method"] = draw(st.sampled_from(["full", "lora", "qlora"]))
    return {**document, "workload": workload}


def _placed(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    capacity = {
        "interruption": draw(st.sampled_from(["never", "tolerate"])),
        "demand": draw(st.sampled_from(["constant", "business-hours"])),
        "commitment": draw(st.sampled_from(["none", "1-year"])),
    }
    placement: dict[str, Any] = {"max_nodes": draw(st.sampled_from([2, 16, 64, 1024]))}
    if draw(st.booleans()):
        placement["providers"] = draw(st.sampled_from([["aws"], ["azure"]]))
    return {**document, "capacity": capacity, "placement": placement}


def judge_relation(case: RelationCase, folder: Path) -> bool:
    """Plans both specs and asserts that the harder one costs at least as much; returns whether both are feasible."""
    easy = planned(case.document, folder)
    changed = case.relation.harder(case.document)
    if easy is None or changed is None:
        harder = None if changed is None else planned(changed, folder)
        assert harder is None, f"{case.relation.name}: feasible only after it; {_words(harder)}"
        return False
    harder = planned(changed, folder)
    if harder is not None:
        assert search_usd(harder) >= search_usd(easy) * (1 - ROUNDING), (
            f"{case.relation.name}: {_words(easy)} becomes {_words(harder)}"
        )
    return harder is not None


def judge_restriction(case: RelationCase, folder: Path) -> bool:
    """Asserts that the search over the chosen type alone, and over cheaper prices of it, finds the same or better."""
    free = planned(case.document, folder)
    if free is None:
        return False
    kind = free.choice.instance_type
    alone = planned(with_value(case.document, ("placement", "instance_types"), [kind]), folder)
    assert alone is not None, f"{_words(free)} is infeasible among {kind} alone"
    gap = search_usd(alone) / search_usd(free) - 1
    assert abs(gap) <= ROUNDING, f"{_words(free)} becomes {_words(alone)} among {kind} alone ({gap:+.2%})"
    bill = free.updates.usd_per_update if free.updates else free.cost.usd_per_run
    field, usd = ("usd_per_month", free.cost.usd_per_month) if bill is None else ("usd_per_run", bill)
    if usd:
        within = planned(with_value(case.document, ("budget", field), usd * 1.0001), folder)
        assert within is not None, f"{_words(free)} is infeasible within its own bill, budget.{field}: {usd}"
        assert search_usd(within) <= search_usd(free) * (1 + 1e-3), f"{_words(free)} becomes {_words(within)}"
    cheaper = planned(case.document, folder, _cheaper(kind))
    assert cheaper is not None
    assert search_usd(cheaper) <= search_usd(free) * (1 + ROUNDING), (
        f"{_words(free)} becomes {_words(cheaper)} where {kind} is 10 % cheaper"
    )
    return True


def _cheaper(instance_type: str) -> Catalog:
    prices = tuple(
        price.model_copy(update={"usd_per_hour": price.usd_per_hour * 0.9})
        for price in CATALOG.instance_prices
        if price.instance_type == instance_type and price.usd_per_hour is not None
    )
    return CATALOG.under(PriceLayer(Path("cheaper.yaml"), "0", prices, (), names_every_zone=True))


def planned(document: Mapping[str, Any], folder: Path, catalog: Catalog = CATALOG) -> Plan | None:
    """Returns the plan of a document; None if it is wrong or infeasible."""
    try:
        spec: ClusterSpec = read_spec(document, "spec.yaml")
        return make_plan(spec, model_of(spec, folder), catalog)
    except (SpecError, CatalogError, InfeasibleError):
        return None


def search_usd(plan: Plan) -> float:
    """Returns the cost that the search minimises: unpriced items count at their upper bound."""
    hourly = plan.cost.usd_per_hour
    if hourly is None:
        return inf
    usd = plan.cost.usd_per_run if plan.cost.usd_per_run is not None else hourly
    if plan.updates is not None and plan.updates.usd_per_update is not None:
        usd = plan.updates.usd_per_update
    unknown = unpriced_upper_bound_usd_per_hour(plan.cost, CATALOG, plan.choice.provider)
    return usd * (1 + unknown / hourly if hourly else 1.0)


def _words(plan: Plan | None) -> str:
    if plan is None:
        return "infeasible"
    choice = plan.choice
    layout = replace(choice.layout)
    return f"{choice.nodes} x {choice.instance_type} {layout.short_name} at {search_usd(plan):,.4f} USD"
