"""Unknown prices are bounded by the prices of others: in the range and in the choice, never in the total."""

from pathlib import Path
from typing import Any

import pytest
from cdktf import App

from llmcluster.reports.diff_text import markdown
from llmcluster.reports.plan_text import decision, print_plan
from planner.compare.plan_diff import diff_plans
from planner.cost.unpriced import price_bounds
from planner.plan.cost import CostDriver
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.spec import Budget
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.price_layers import PriceLayer
from provider_catalog.price_overlay import read_overlay
from stacks.azure import AzureCluster
from stacks.sidecar import cost_markdown, stack_cost

CATALOG = Catalog.packaged()
TOKYO = 0.31 / 1200 * 730
"""FSx for Lustre at 125 MB/s/TiB in Tokyo, 0.31 USD an hour for 1.2 TiB on 2022-09-03; us-east-1 asks 0.145
a GiB-month. Azure Managed Lustre has no public price; its SKU of the same throughput starts at 16 TiB."""


AZURE = {"placement": {"providers": ["azure"], "regions": ["eastus"]}}


def serve(given: dict[str, Any], catalog: Catalog = CATALOG, most: float | None = None) -> Plan:
    document = {
        "name": "unknown",
        "model": "mistralai/Mistral-7B-v0.1",
        "workload": {"kind": "inference", "request_rate_per_s": 18, "prompt_tokens": 1024, "output_tokens": 256},
        **given,
    }
    within = None if most is None else Budget(usd_per_month=most)
    return plan(read_spec(document, "spec"), load_model("mistralai/Mistral-7B-v0.1", None), catalog, within)


def unknown_of(decided: Plan) -> CostDriver:
    assert decided.cost.range is not None
    [driver] = [driver for driver in decided.cost.range.drivers if driver.name == "unknown prices"]
    return driver


def test_an_unknown_price_widens_the_range_and_stays_out_of_the_total() -> None:
    cost = (decided := serve(AZURE)).cost
    assert [item.name for item in cost.items if item.usd_per_hour is None] == list(cost.unknown)
    driver = unknown_of(decided)
    assert driver.low_usd == 0
    assert driver.high_usd == pytest.approx(16384 * TOKYO, rel=1e-3)
    assert cost.range is not None
    assert cost.range.expected_usd == cost.usd_per_month
    assert cost.range.high_usd >= cost.range.expected_usd + driver.high_usd
    assert f"{16384 * 0.145:,.0f} to" in driver.assumption
    assert "at prices of PERSISTENT_2-125 on aws" in driver.assumption


def test_a_gap_in_a_price_list_makes_no_cloud_cheap(tmp_path: Path) -> None:
    # Without its file system Azure's one H100 is the cheapest; at any price that is asked for one it is not.
    overlay = tmp_path / "negotiated.yaml"
    overlay.write_text(
        "source: agreement\nas_of: 2026-11-01\nprices:\n"
        "  - {provider: azure, region: eastus, sku: AMLFS-Durable-Premium-125, unit_price_usd: 0.001}\n"
    )
    given = {"placement": {"instance_types": ["p5.4xlarge", "Standard_NC40ads_H100_v5"]}}
    known = serve(given, CATALOG.under(read_overlay(overlay, CATALOG)))
    gap = serve(given)
    assert known.choice.provider == "azure"
    assert gap.choice.provider == "aws"
    [other] = [each for each in gap.alternatives if each.provider == "azure"]
    assert other.usd_per_hour is not None
    assert gap.cost.usd_per_hour is not None
    assert other.usd_per_hour < gap.cost.usd_per_hour
    assert "counting unpriced items at the highest known rate" in other.reason


def test_a_budget_that_only_holds_without_the_unknown_is_said() -> None:
    within = serve(AZURE, most=6000)
    assert within.cost.usd_per_month is not None
    assert within.cost.usd_per_month < 6000
    assert any("holds only without the unpriced items" in note for note in within.notes)
    assert not any("holds only without" in note for note in serve(AZURE, most=60_000).notes)


@pytest.mark.parametrize(
    ("provider", "sku", "where"),
    [
        ("aws", "encryption_key_month", "in other regions"),  # us-east-1 alone has one
        ("azure", "log_gb", "in other regions"),
        ("azure", "flow_log_gb", "on other clouds"),
        ("azure", "AMLFS-Durable-Premium-40", "of PERSISTENT_2-125 on aws"),  # the next faster one that keeps data
        ("azure", "AMLFS-Durable-Premium-500", "of PERSISTENT_2-500 on aws"),
        ("aws", "lustre_metadata_iops_month", "in other regions"),
        ("own", "", None),
    ],
)
def test_bounds_come_from_the_nearest_thing_that_has_a_price(provider: str, sku: str, where: str | None) -> None:
    bounds = price_bounds(CATALOG, provider, sku)
    assert (bounds and bounds.where) == where
    if bounds is not None:
        assert 0 <= bounds.least_usd <= bounds.most_usd


METADATA = {
    "placement": {"providers": ["aws"], "regions": ["us-west-2"]},
    "storage": {"shared_tib": 2, "lustre": {"metadata_iops": 12000}},
}
"""Spec fields that ask for 12,000 metadata IOPS; a file system of 2,400 GiB includes 3,000."""


def test_metadata_operations_are_bounded_by_the_price_of_another_region() -> None:
    driver = unknown_of(serve(METADATA))
    assert "metadata IOPS beyond the included ones at prices in other regions (0.055 to 0.055 USD)" in driver.assumption
    assert driver.high_usd >= 9000 * 0.055


def test_an_unknown_price_without_a_bound_is_named_in_the_range() -> None:
    gaps = tuple(
        price.model_copy(update={"unit_price_usd": None})
        for price in CATALOG.service_prices
        if price.sku == "lustre_metadata_iops_month"
    )
    catalog = CATALOG.under(PriceLayer(Path("gaps"), "", (), gaps, names_every_zone=False))
    assert price_bounds(catalog, "aws", "lustre_metadata_iops_month") is None
    before, after = unknown_of(serve(METADATA)), unknown_of(serve(METADATA, catalog))
    assert before.high_usd - after.high_usd == pytest.approx(9000 * 0.055)
    assert "since no comparable item has a price: metadata IOPS beyond the included ones" in after.assumption


# Every total that leaves something out says so in its own line.


def line_with(text: str, start: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line


def test_the_totals_of_a_plan_say_in_their_line_what_they_leave_out(capsys: pytest.CaptureFixture[str]) -> None:
    decided = serve(AZURE)
    assert len(decided.cost.unknown) == 1
    print_plan(decided)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"without 1 unpriced item ({decided.cost.unknown[0]})" in printed
    assert decision(decided).endswith("USD/h, without 1 unpriced item")
    priced = serve({"placement": {"providers": ["aws"], "regions": ["us-east-1"]}})
    assert not priced.cost.unknown
    assert "unpriced" not in decision(priced)


def test_the_totals_of_cost_md_say_in_their_line_what_they_leave_out() -> None:
    decided = serve(AZURE)
    for built in AzureCluster().build(App(), decided, CATALOG):
        cost = stack_cost(decided, built)
        text = cost_markdown(cost)
        remark = ", without 1 unpriced item" if built.role == "storage" else ""
        assert line_with(text, "| **Total").startswith(f"| **Total{remark}** |")
        assert "hours, without 1 unpriced item." in line_with(text, "The whole cluster costs")


def test_the_totals_of_a_diff_say_in_their_line_what_they_leave_out() -> None:
    text = markdown(diff_plans(serve(AZURE), serve({**AZURE, "storage": {"checkpoints_tib": 5}})))
    assert "USD per month without unpriced items" in text.splitlines()[0]
    assert line_with(text, "| month").startswith("| month without unpriced items |")
