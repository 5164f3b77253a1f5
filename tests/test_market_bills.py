"""Bills of ten clusters in seven regions of two clouds, recomputed from the raw rows of the price files."""

import csv
from pathlib import Path
from typing import Any

import pytest

from planner.plan.cost import CostItem
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.models import load_model

CATALOG = Catalog.packaged()
MODEL = "meta-llama/Meta-Llama-3.1-8B"
HOURS_PER_MONTH = 730
TRAINING = {
    "kind": "training",
    "tokens": 1e10,
    "sequence_length": 4096,
    "global_batch_tokens": 4194304,
    "deadline_days": 60,
}
SERVING = {"kind": "inference"}
CLUSTERS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("aws", "us-east-1", "p5.48xlarge", {"workload": TRAINING}),
    ("aws", "us-east-1", "g6e.12xlarge", {"capacity": {"commitment": "1-year"}}),
    ("aws", "us-east-1", "g6.12xlarge", {"orchestrator": "kubernetes"}),
    ("aws", "eu-central-1", "g6e.4xlarge", {}),
    ("aws", "eu-west-3", "g6.12xlarge", {}),
    ("aws", "us-west-2", "p4d.24xlarge", {"workload": TRAINING, "capacity": {"interruption": "tolerate"}}),
    ("azure", "eastus", "Standard_ND96isr_H100_v5", {"workload": TRAINING}),
    ("azure", "westeurope", "Standard_NC40ads_H100_v5", {}),
    ("azure", "swedencentral", "Standard_ND96isr_MI300X_v5", {}),
    ("azure", "westus", "Standard_NC24ads_A100_v4", {"capacity": {"interruption": "tolerate"}}),
]


def raw(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def service_usd(provider: str, region: str, sku: str) -> float | None:
    rows = [row for row in raw(PACKAGED_DATA / provider / "service_prices.csv") if row["sku"] == sku]
    by_region = {row["region"]: row["unit_price_usd"] for row in rows}
    found = by_region.get(region, by_region.get("*", ""))
    return float(found) if found else None


def compute_usd(provider: str, region: str, zone: str | None, name: str, option: str) -> float:
    rows = [
        row
        for row in raw(PACKAGED_DATA / provider / "instance_prices.csv")
        if (row["region"], row["instance_type"], row["option"]) == (region, name, option)
        and (not row["zone"] or zone in row["zone"].split("|"))
    ]
    [row] = rows
    return float(row["usd_per_hour"])


def option_of(item: CostItem, reserved_option: str) -> str:
    kind = item.role.removeprefix("compute_")
    return {"reserved": reserved_option, "spot": "spot", "on_demand": "on-demand"}[kind]


@pytest.mark.parametrize(("provider", "region", "name", "fields"), CLUSTERS)
def test_a_bill_is_the_sum_of_its_raw_rows(provider: str, region: str, name: str, fields: dict[str, Any]) -> None:
    where = {"providers": [provider], "regions": [region], "instance_types": [name]}
    document = {"name": "billed", "model": MODEL, "workload": SERVING, "placement": where, **fields}
    made = plan(read_spec(document, "spec"), load_model(MODEL), CATALOG)
    total = 0.0
    for item in made.cost.items:
        if item.role.startswith("compute"):
            option = option_of(item, made.cost.usage.reserved_option)
            usd: float | None = compute_usd(provider, region, made.choice.zone, name, option)
        else:
            usd = service_usd(provider, region, item.sku)
        assert item.unit_price_usd == usd, item
        assert (usd is None) == (item.name in made.cost.unknown)
        if usd is not None:
            hours = HOURS_PER_MONTH if item.unit.endswith("-month") else 1
            assert item.usd_per_hour == pytest.approx(item.quantity * usd / hours)
            assert item.provenance.source and item.provenance.as_of
            total += item.quantity * usd / hours
    assert made.cost.usd_per_hour == pytest.approx(total)
    assert made.cost.usd_per_month == pytest.approx(total * HOURS_PER_MONTH)
