"""The packaged prices hold what published price files say, every region of them can be planned, and gaps are named."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.errors import InfeasibleError, SpecError
from planner.market.machines import machines
from planner.search.optimizer import plan
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.prices import InstancePrice, PurchaseOption

CATALOG = Catalog.packaged()
MODEL = "mistralai/Mistral-7B-v0.1"
FILES = Path("tests/data/market")
NEWER_BY_ZONE = "commit 00148f2af3672e2229b4f7bf8157d5a3f36e3c35"
"""Version of the file behind aws_regions.csv that lists p6-b300 and so is not older than 2025-11. It has the P families
by zone, and its zones and Spot prices replace those of the older version."""
WITHOUT_KNOWN_SIZES = {
    "australiacentral",  # T4 only
    "australiacentral2",
    "eastasia",  # V100 and A10 only
    "francesouth",  # one A100 size without InfiniBand
    "israelcentral",
    "qatarcentral",
}
"""Azure regions that sell no size of this catalog."""


def rows(name: str) -> Iterator[dict[str, str]]:
    with (FILES / name).open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def found(provider: str, row: dict[str, str], option: PurchaseOption, zone: str | None = None) -> InstancePrice | None:
    return CATALOG.prices.instance(provider, row.get("region", "us-east-1"), row["instance_type"], option, zone)


def test_every_azure_price_is_that_of_the_generated_list() -> None:
    listed = list(rows("azure_on_demand.csv"))
    assert len(listed) == 237
    for row in listed:
        price = found("azure", row, "on-demand")
        assert price is not None, row
        assert price.usd_per_hour == float(row["usd_per_hour"]), row
        assert price.provenance.as_of == "2026-06-18", row
    priced = {
        (p.region, p.instance_type) for p in CATALOG.instance_prices if (p.provider, p.option) == ("azure", "on-demand")
    }
    assert priced == {(row["region"], row["instance_type"]) for row in listed}


def test_every_on_demand_price_of_us_east_1_is_that_of_the_newest_official_list() -> None:
    for row in rows("aws_us_east_1.csv"):
        price = found("aws", row, "on-demand")
        assert price is not None, row
        assert price.usd_per_hour == float(row["usd_per_hour"]), row
        assert (price.provenance.as_of, "karpenter-provider-aws" in price.provenance.source) == ("2026-07-20", True)


def test_every_on_demand_price_of_the_other_regions_is_that_of_the_file_in_each_of_its_zones() -> None:
    listed = [row for row in rows("aws_regions.csv") if row["on_demand_usd_per_hour"]]
    assert len({row["region"] for row in listed}) == 18
    for row in listed:
        zones = CATALOG.prices.zones("aws", row["region"], row["instance_type"])
        price = found("aws", row, "on-demand")
        assert price is not None, row
        assert price.usd_per_hour == pytest.approx(float(row["on_demand_usd_per_hour"]), abs=5e-6), row
        if set(zones) != set(row["zones"].split()):
            assert row["instance_type"].startswith("p"), row
            assert NEWER_BY_ZONE in price.provenance.source, row


def test_every_spot_price_of_aws_is_that_of_the_file_or_the_difference_is_explained() -> None:
    explained: dict[str, int] = {}
    for row in rows("aws_regions.csv"):
        if not row["spot_usd_per_hour"]:
            continue
        price = found("aws", row, "spot", row["spot_zone"])
        if price is not None and price.usd_per_hour == pytest.approx(float(row["spot_usd_per_hour"]), abs=5e-5):
            continue
        reason = why_spot_differs(row, price)
        assert reason, (row, price)
        explained[reason] = explained.get(reason, 0) + 1
    assert set(explained) == {"newer, by zone", "no on-demand price: Capacity Blocks only", "a floor in ap-southeast-3"}


def why_spot_differs(row: dict[str, str], price: InstancePrice | None) -> str | None:
    if not row["on_demand_usd_per_hour"]:
        return "no on-demand price: Capacity Blocks only" if price is None else None
    if row["region"] == "ap-southeast-3" and price is None:
        return "a floor in ap-southeast-3"
    listed = found("aws", row, "on-demand")
    newer = row["instance_type"].startswith("p") and listed is not None
    by_zone = newer and (price is None or NEWER_BY_ZONE in price.provenance.source)
    return "newer, by zone" if by_zone else None


def test_every_spot_price_of_azure_is_that_of_the_file_unless_a_newer_one_is_known() -> None:
    newer = []
    for row in rows("azure_spot.csv"):
        price = found("azure", row, "spot")
        assert price is not None, row
        if price.usd_per_hour != float(row["usd_per_hour"]):
            newer.append((row["region"], row["instance_type"], price.provenance.as_of))
    assert newer == [
        ("eastus", "Standard_NC24ads_A100_v4", "2026-09-06"),
        ("eastus", "Standard_ND96asr_v4", "2026-09-06"),
    ]


def test_a_price_of_a_published_list_cites_no_private_collection() -> None:
    for price in CATALOG.instance_prices:
        if price.option == "on-demand":
            assert re.search(r"github\.com/(aws|Azure|skypilot-org)/", price.provenance.source), price


def small_service(provider: str | None, region: str, **fields: dict[str, object]) -> ClusterSpec:
    placement = {"providers": [provider] if provider else [], "regions": [region]}
    document = {"name": "anywhere", "model": MODEL, "workload": {"kind": "inference"}, "placement": placement}
    return read_spec({**document, **fields}, "spec")


def places() -> list[tuple[str, str]]:
    azure = [("azure", row["region"]) for row in rows("azure_regions.csv")]
    return [*sorted({("aws", row["region"]) for row in rows("aws_regions.csv")}), *azure]


@pytest.mark.parametrize(("provider", "region"), places())
def test_every_region_has_a_zone_and_machines_to_buy(provider: str, region: str) -> None:
    spec = small_service(provider, region)
    sold = [machine for machine in machines(spec, CATALOG) if machine.unavailable_reason is None]
    assert bool(sold) is (region not in WITHOUT_KNOWN_SIZES)
    if provider == "aws":
        assert all(machine.zone is not None for machine in sold)


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "region"), places())
def test_every_region_can_be_planned_and_every_unknown_item_is_named_in_the_range(provider: str, region: str) -> None:
    spec = small_service(provider, region)
    if region in WITHOUT_KNOWN_SIZES:
        with pytest.raises(InfeasibleError):
            plan(spec, load_model(MODEL), CATALOG)
        return
    decided = plan(spec, load_model(MODEL), CATALOG)
    assert decided.choice.region == region
    assert decided.cost.usd_per_month
    unpriced = [item.name for item in decided.cost.items if item.unit_price_usd is None]
    assert unpriced == list(decided.cost.unknown)
    if unpriced:
        assert decided.cost.range is not None
        [driver] = [driver for driver in decided.cost.range.drivers if driver.name == "unknown prices"]
        assert all(name in driver.assumption for name in unpriced)


@pytest.mark.parametrize(
    ("region", "provider", "message"),
    [
        ("us-eas-1", "aws", r"did you mean 'us-east-1' \(aws\)\? known: aws has ap-northeast-1"),
        ("westeurop", None, r"did you mean 'westeurope' \(azure\)\?"),
        ("westeurope", "aws", "a region of azure, which placement.providers leaves out"),
        ("eu-west-1b", "aws", r"which is a zone; name its region, eu-west-1 \(aws\)"),
        ("WestEurope", "azure", r"did you mean 'westeurope' \(azure\)\?"),
        ("mars", "azure", "known: azure has australiacentral.* and 38 more"),
    ],
)
def test_an_unknown_region_gets_the_nearest_and_its_cloud(region: str, provider: str | None, message: str) -> None:
    spec = small_service(provider, region)
    with pytest.raises(SpecError, match=message):
        list(machines(spec, CATALOG))


def test_spot_is_planned_in_the_zone_where_it_is_cheapest() -> None:
    only: dict[str, object] = {"providers": ["aws"], "regions": ["us-east-1"], "instance_types": ["p5.48xlarge"]}
    spec = small_service("aws", "us-east-1", capacity={"interruption": "tolerate"}, placement=only)
    [machine] = machines(spec, CATALOG)
    by_zone = {
        price.zone: price.usd_per_hour
        for price in CATALOG.instance_prices
        if (price.region, price.instance_type, price.option) == ("us-east-1", "p5.48xlarge", "spot")
    }
    assert len(by_zone) > 1
    assert machine.zone == min(by_zone, key=lambda zone: by_zone[zone])
