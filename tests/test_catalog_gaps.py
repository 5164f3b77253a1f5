"""`llmcluster catalog gaps` and `regions`: what stays unknown is named with its bound, region by region."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from provider_catalog.catalog import Catalog
from provider_catalog.price_gaps import SERVICE, price_gaps

CATALOG = Catalog.packaged()


@pytest.fixture(autouse=True)
def packaged_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCLUSTER_PRICES", "none")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["catalog", *arguments])


def test_every_unknown_service_of_every_region_is_a_gap_and_no_known_one_is() -> None:
    gaps = {(gap.provider, gap.region, gap.name) for gap in price_gaps(CATALOG) if gap.subject == SERVICE}
    for provider in CATALOG.providers:
        skus = {price.sku for price in CATALOG.service_prices if price.provider == provider}
        for region in CATALOG.regions(provider):
            for sku in skus:
                price = CATALOG.prices.service(provider, region, sku)
                unknown = price is None or price.unit_price_usd is None
                assert ((provider, region, sku) in gaps) is unknown, (region, sku)


def test_an_option_that_a_sold_type_lacks_is_a_gap() -> None:
    gaps = {(gap.region, gap.name, gap.subject) for gap in price_gaps(CATALOG) if gap.provider == "aws"}
    assert ("us-east-1", "p4d.24xlarge", "reserved-3y") in gaps  # no source has it
    assert ("us-east-1", "p4d.24xlarge", "on-demand") not in gaps
    assert not any(name == "p6-b300.48xlarge" and region == "eu-west-1" for region, name, _ in gaps)  # not sold there


def test_gaps_carry_the_bound_that_a_bill_uses() -> None:
    rows = json.loads(run("gaps", "--provider", "azure", "--region", "westeurope", "--json").stdout)
    by_name = {row["name"]: row for row in rows}
    lustre = by_name["AMLFS-Durable-Premium-125"]
    assert (lustre["least_usd"], lustre["bound"]) == (0.145, "of PERSISTENT_2-125 on aws")
    blob = by_name["object_storage_gb_month"]
    assert (blob["least_usd"], blob["most_usd"], blob["bound"]) == (0.0184, 0.0208, "in other regions")
    assert "nat_gateway_hour" not in by_name  # one price for all regions


def test_the_report_counts_what_it_lists() -> None:
    rows = json.loads(run("gaps", "--json").stdout)
    printed = run("gaps").stdout
    for provider in CATALOG.providers:
        services = [row for row in rows if row["provider"] == provider and row["subject"] == SERVICE]
        assert f"{provider}: {len(services):,} unknown service prices" in printed


def test_every_region_is_listed_with_its_zone_and_counts() -> None:
    rows = json.loads(run("regions", "--json").stdout)
    by_region = {(row["provider"], row["region"]): row for row in rows}
    assert len(rows) == 18 + 50
    assert by_region["aws", "us-east-1"]["zone"] == "use1-az6"
    assert by_region["azure", "westus"]["zone"] is None  # a region without availability zones
    assert by_region["azure", "eastasia"]["on_demand"] == 0  # sells no size of the catalog
    for row in rows:
        known = [
            price
            for price in CATALOG.service_prices
            if (price.provider, price.region) == (row["provider"], row["region"]) and price.unit_price_usd is not None
        ]
        assert row["known_services"] == len(known), row
    assert "westus" in run("regions", "--provider", "azure").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gaps", "--region", "westeurop"], "did you mean 'westeurope' (azure)?"),
        (["gaps", "--provider", "aws", "--region", "westeurope"], "a region of azure, not of aws"),
        (["list", "--region", "eu-west-1c"], "which is a zone; name its region, eu-west-1 (aws)"),
        (["regions", "--provider", "gcp"], "known: aws, azure"),
    ],
)
def test_a_wrong_name_is_refused(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
