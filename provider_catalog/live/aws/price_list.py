"""On-demand and service prices from the AWS Price List API (GetProducts)."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from provider_catalog.data_files import fact, read_yaml
from provider_catalog.errors import LiveError
from provider_catalog.facts import Fact
from provider_catalog.live.aws.client import PRICING_REGION, client, pages
from provider_catalog.live.live_source import MAX_UNANSWERED, Fetched, ReportProgress, Request, documented_shape

PERMISSION: Final = "pricing:GetProducts"
SOURCE: Final = "AWS Price List API, GetProducts"

LINUX: Final = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
"""Filters that leave one product for each type and region: Linux without licences, on shared hosts, in use."""


class PriceListMeter(Fact):
    """The place of a service price in the Price List."""

    sku: str
    service_code: str
    filters: dict[str, str] = Field(default_factory=dict)
    usage_type: str
    """Regular expression for the usage type after the region's prefix (`USE2-`)."""
    units: tuple[str, ...]
    """Accepted units; a product in another unit has another price."""


def fetch_on_demand(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the Linux on-demand prices of every instance type of the catalog, by region.

    Raises:
        LiveError: the Price List did not answer, or knows none of the types.
    """
    pricing = client("pricing", PRICING_REGION, request.limits)
    provenance = request.provenance(SOURCE)
    fetched = Fetched(answered=set(request.regions))
    names = request.instance_types
    for done, name in enumerate(names, start=1):
        for region, usd_per_hour in _on_demand(request, pricing, name, fetched).items():
            fetched.instances.append(
                request.instance_price((region, None), name, "on-demand", usd_per_hour, provenance)
            )
        advance(done, len(names))
    if not fetched.instances:
        raise LiveError(f"{PERMISSION}: no on-demand price for any instance type; the old prices stay")
    return fetched


def fetch_services(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the prices of services and of machines without GPUs, for every SKU that the catalog bills.

    A failed look-up is reported, and the old price stays. Two failed look-ups in a row end the source.

    Raises:
        LiveError: the Price List did not answer.
    """
    pricing = client("pricing", PRICING_REGION, request.limits)
    fetched = Fetched(answered=set(request.regions))
    billed = {price.sku for price in request.catalog.service_prices if price.provider == request.provider}
    machines = sorted(sku for sku in billed if "." in sku)
    meters = [meter for meter in service_meters() if meter.sku in billed]
    look_ups = [
        *(partial(_machine_prices, request, pricing, name, fetched) for name in machines),
        *(
            partial(_meter_price, request, pricing, meter, region, fetched)
            for meter in meters
            for region in request.regions
        ),
    ]
    in_a_row = 0
    for done, look_up in enumerate(look_ups, start=1):
        try:
            look_up()
            in_a_row = 0
        except LiveError as error:
            in_a_row += 1
            if not fetched.services:
                raise
            rest = f"; {len(look_ups) - done} look-ups were not made" if in_a_row == MAX_UNANSWERED else ""
            fetched.failures.append(f"{error}{rest}")
        if in_a_row == MAX_UNANSWERED:
            break
        advance(done, len(look_ups))
    return fetched


def _machine_prices(request: Request, pricing: Any, name: str, fetched: Fetched) -> None:
    provenance = request.provenance(SOURCE)
    for region, usd_per_hour in _on_demand(request, pricing, name, fetched).items():
        fetched.services.append(request.service_price(region, name, usd_per_hour, provenance))


def _meter_price(request: Request, pricing: Any, meter: PriceListMeter, region: str, fetched: Fetched) -> None:
    with documented_shape(PERMISSION):
        found = _unit_prices(pricing, meter, region)
    if len(found) == 1:
        provenance = request.provenance(SOURCE)
        fetched.services.append(request.service_price(region, meter.sku, found.pop(), provenance))
    else:
        what = f"{len(found)} prices" if found else "no price"
        fetched.notes.append(
            f"{meter.sku} in {region}: {what} under usage type {meter.usage_type}; the old price stays"
        )


@cache
def service_meters() -> tuple[PriceListMeter, ...]:
    """The meters of services.yaml."""
    path = Path(__file__).with_name("services.yaml")
    return tuple(
        fact(PriceListMeter, row, f"{path}, entry {number}") for number, row in enumerate(read_yaml(path), start=1)
    )


def _on_demand(request: Request, pricing: Any, instance_type: str, fetched: Fetched) -> dict[str, float]:
    """The hourly price in USD of a type in each requested region; an entry without costs is not an on-demand price."""
    found: dict[str, set[float]] = {}
    with documented_shape(PERMISSION):
        for region, usd in _linux_rates(pricing, instance_type):
            if region in request.regions:
                found.setdefault(region, set()).add(usd)
    for region, amounts in found.items():
        if len(amounts) > 1:
            listed = ", ".join(f"{usd:g}" for usd in sorted(amounts))
            fetched.notes.append(f"{instance_type} in {region}: {listed} USD an hour are listed; the highest is used")
    return {region: max(amounts) for region, amounts in found.items()}


def _linux_rates(pricing: Any, instance_type: str) -> Iterator[tuple[str, float]]:
    for product in _products(pricing, "AmazonEC2", {**LINUX, "instanceType": instance_type}):
        attributes = product["product"]["attributes"]
        if not is_instance_in_use(attributes.get("usagetype", "")):
            continue
        for _, unit, usd in _dimensions(product):
            if unit == "Hrs" and usd > 0:
                yield attributes["regionCode"], usd


def is_instance_in_use(usage_type: str) -> bool:
    """Whether a usage type, such as `USE2-BoxUsage:p6-b200.48xlarge`, is that of running instances."""
    return usage_type.partition(":")[0].rpartition("-")[2] == "BoxUsage"


def usage_pattern(meter: PriceListMeter) -> re.Pattern[str]:
    """The usage types of a meter, with the prefix of any region."""
    return re.compile(rf"(?:[A-Za-z0-9]+(?:-[a-z]+-\d)?-)?(?:{meter.usage_type})")


def _unit_prices(pricing: Any, meter: PriceListMeter, region: str) -> set[float]:
    """The distinct prices of the first tier with costs."""
    pattern = usage_pattern(meter)
    found: set[float] = set()
    for product in _products(pricing, meter.service_code, {**meter.filters, "regionCode": region}):
        if not pattern.fullmatch(product["product"]["attributes"].get("usagetype", "")):
            continue
        tiers = sorted((begin, usd) for begin, unit, usd in _dimensions(product) if unit in meter.units and usd > 0)
        if tiers:
            found.add(tiers[0][1])
    return found


def _products(pricing: Any, service_code: str, match: Mapping[str, str]) -> Iterator[Any]:
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in match.items()]
    listed = pages(pricing, "get_products", "PriceList", PERMISSION, ServiceCode=service_code, Filters=filters)
    for entry in listed:
        with documented_shape(PERMISSION):
            yield json.loads(entry)


def _dimensions(product: Any) -> Iterator[tuple[float, str, float]]:
    """The start of each tier, its unit, and its price in USD."""
    for term in product["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if "USD" in dimension["pricePerUnit"]:
                yield float(dimension["beginRange"] or 0), dimension["unit"], float(dimension["pricePerUnit"]["USD"])
