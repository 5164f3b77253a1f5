"""Advice on buying: the cheapest single changes, and why tolerance of interruptions buys no Spot node."""

import csv
from pathlib import Path
from typing import Any

import pytest

from planner.plan.plan import Plan
from planner.relax.cheaper import CheaperPlan, cheaper_plans
from planner.relax.cheaper_regions import BEST_REGIONS, regions_to_try
from planner.search.optimizer import plan
from planner.search.spot_advice import NO_SPOT
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.price_layers import PriceLayer

CATALOG = Catalog.packaged()
MODEL = "mistralai/Mistral-7B-v0.1"
ARCHITECTURE = load_model(MODEL)
H100_AZURE = "Standard_ND96isr_H100_v5"


def decided(catalog: Catalog = CATALOG, **fields: Any) -> Plan:
    document = {"name": "advice", "model": MODEL, "workload": {"kind": "inference"}, **fields}
    return plan(read_spec(document, "spec"), ARCHITECTURE, catalog)


def advice(made: Plan) -> tuple[CheaperPlan, ...]:
    return cheaper_plans(made, ARCHITECTURE, CATALOG)


def no_spot(made: Plan) -> str:
    [note] = [note for note in made.notes if note.startswith(NO_SPOT)]
    return note


def only(provider: str, region: str, instance_type: str) -> dict[str, Any]:
    return {"providers": [provider], "regions": [region], "instance_types": [instance_type]}


def test_the_region_proposed_is_the_cheapest_of_the_published_list() -> None:
    with Path("tests/data/market/azure_on_demand.csv").open(encoding="utf-8", newline="") as lines:
        listed = {
            r["region"]: float(r["usd_per_hour"]) for r in csv.DictReader(lines) if r["instance_type"] == H100_AZURE
        }
    made = decided(placement=only("azure", "southafricawest", H100_AZURE))
    lowest = min(listed.values())
    tried = regions_to_try(made, CATALOG, 3, 0.01)
    assert len(tried) == BEST_REGIONS
    assert {listed[region] for region in tried} == {lowest}
    [proposal] = [each for each in advice(made) if each.field == "placement.regions"][:1]
    assert proposal.value == f"[{proposal.plan.choice.region}]"
    assert listed[proposal.plan.choice.region] == lowest
    assert proposal.usd < made.cost.usd_per_month  # type: ignore[operator]


def test_a_region_counts_by_the_type_that_is_cheapest_there() -> None:
    made = decided(placement={"providers": ["aws"], "regions": ["ap-northeast-1"]})
    tried = regions_to_try(made, CATALOG, 3, 0.01)
    fleets = {made.choice.instance_type: made.choice.nodes}
    for other in made.alternatives[:3]:
        fleets.setdefault(other.instance_type, other.nodes)

    def bill(region: str) -> float:
        known = [(n, CATALOG.prices.instance("aws", region, t, "on-demand")) for t, n in fleets.items()]
        return min((n * price.usd_per_hour for n, price in known if price is not None), default=float("inf"))

    regions = [region for region in CATALOG.regions("aws") if region != "ap-northeast-1"]
    assert tried
    assert bill(tried[0]) == min(map(bill, regions))


def test_the_cheapest_region_of_the_spec_gets_no_advice_to_move() -> None:
    made = decided(placement=only("aws", "us-east-1", "p5.48xlarge"))
    assert regions_to_try(made, CATALOG, 3, 0.01) == ()


def quickstart() -> Plan:
    workload = {
        "kind": "inference",
        "request_rate_per_s": 1,
        "prompt_tokens": 1024,
        "output_tokens": 256,
        "slo": {"ttft_ms": 1000, "tpot_ms": 50},
    }
    return decided(workload=workload, placement={"providers": ["aws"], "regions": ["us-east-1"]})


def test_terms_and_formats_are_compared_and_the_largest_savings_come_first() -> None:
    made = quickstart()
    found = advice(made)
    assert len(found) == 3
    assert [each.saving for each in found] == sorted((each.saving for each in found), reverse=True)
    assert all(each.usd < made.cost.usd_per_month for each in found)  # type: ignore[operator]
    assert len({each.field for each in found}) == 3  # the best change of each field before a second one


def test_an_eight_bit_kv_cache_is_a_change_of_its_own() -> None:
    workload = {"kind": "inference", "request_rate_per_s": 1.1, "slo": {"ttft_ms": 2000, "tpot_ms": 100}}
    fields = {"name": "advice", "model": "meta-llama/Llama-3.1-8B", "workload": workload}
    document = {**fields, "placement": {"providers": ["aws"], "regions": ["us-east-1"]}}
    architecture = load_model("meta-llama/Llama-3.1-8B")
    made = plan(read_spec(document, "spec"), architecture, CATALOG)
    assert made.choice.kv_cache == "bf16"
    changed = {each.field: each.plan for each in cheaper_plans(made, architecture, CATALOG)}["precision.kv_cache"]
    assert (changed.choice.kv_cache, changed.choice.weights) == ("fp8", made.choice.weights)


def test_a_longer_term_is_proposed_to_who_has_a_shorter_one() -> None:
    placement = only("aws", "us-east-1", "p5.48xlarge")
    made = decided(placement=placement, capacity={"commitment": "1-year"})
    terms = {each.value for each in advice(made) if each.field == "capacity.commitment"}
    assert terms == {"3-year"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"placement": only("aws", "us-east-1", "p5.48xlarge")},
            "at most 50% of the replicas may be on Spot, so that a reclaim leaves the service up, and this fleet has 1",
        ),
        (
            {"placement": only("azure", "westeurope", H100_AZURE)},
            f"no Spot price of {H100_AZURE} is known in westeurope (1); known in eastus",
        ),
        (
            {"placement": only("aws", "us-east-1", "p5.48xlarge") | {"zone": "use1-az1"}},
            "p5.48xlarge has no Spot market in us-east-1 (use1-az1); it has one in use1-az",
        ),
        (
            {
                "workload": {"kind": "inference", "request_rate_per_s": 60},
                "placement": only("aws", "us-east-1", "g6e.xlarge") | {"zone": "use1-az6"},
                "capacity": {"commitment": "3-year"},
            },
            "g6e.xlarge has no Spot market in us-east-1 (use1-az6)",
        ),
    ],
)
def test_tolerance_that_buys_nothing_says_why(fields: dict[str, Any], reason: str) -> None:
    capacity = {"interruption": "tolerate", **fields.get("capacity", {})}
    assert reason in no_spot(decided(**{**fields, "capacity": capacity}))


def at_spot_price(usd_per_hour: float) -> Catalog:
    """The catalog with one Spot price of p5.48xlarge in us-east-1."""
    spot = CATALOG.prices.instance("aws", "us-east-1", "p5.48xlarge", "spot")
    assert spot is not None
    price = spot.model_copy(update={"usd_per_hour": usd_per_hour})
    return CATALOG.under(PriceLayer(Path("spot"), "", (price,), (), names_every_zone=True))


def test_spot_that_costs_as_much_as_on_demand_says_its_price() -> None:
    fields: dict[str, Any] = {
        "workload": {"kind": "inference", "request_rate_per_s": 400},
        "placement": only("aws", "us-east-1", "p5.48xlarge"),
        "capacity": {"interruption": "tolerate"},
    }
    made = decided(at_spot_price(55.04), **fields)
    assert made.choice.nodes > 1
    assert "a replica on Spot costs 55." in no_spot(made)
    assert "and on-demand 55.04" in no_spot(made)
    cheap = decided(at_spot_price(20.0), **fields)
    assert cheap.choice.purchase.spot_nodes
    assert not any(note.startswith(NO_SPOT) for note in cheap.notes)


def test_reserved_nodes_that_cost_less_than_spot_are_named() -> None:
    made = decided(
        at_spot_price(30.0),
        workload={"kind": "inference", "request_rate_per_s": 400},
        placement=only("aws", "us-east-1", "p5.48xlarge"),
        capacity={"interruption": "tolerate", "commitment": "3-year"},
    )
    assert "reserved replicas at 23.78 USD an hour are busy often enough" in no_spot(made)


def training(catalog: Catalog, days: float) -> Plan:
    workload = {
        "kind": "training",
        "tokens": 2e11,
        "sequence_length": 2048,
        "global_batch_tokens": 4194304,
        "deadline_days": days,
    }
    placement = only("aws", "us-east-1", "p5.48xlarge")
    return decided(catalog, workload=workload, placement=placement, capacity={"interruption": "tolerate"})


def test_a_run_says_what_reclaims_cost_it() -> None:
    assert training(at_spot_price(20.0), 60).choice.purchase.spot_nodes
    dear = no_spot(training(at_spot_price(55.03), 60))
    assert "one reclaimed node stops the whole run" in dear
    assert "on-demand 55.04" in dear


def test_tolerance_without_an_effect_is_not_spoken_of_where_it_is_not_asked_for() -> None:
    made = decided(placement=only("aws", "us-east-1", "p5.48xlarge"))
    assert not any(note.startswith(NO_SPOT) for note in made.notes)
