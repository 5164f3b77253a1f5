"""Prices from the Azure Retail Prices API, which needs no sign-in.

The fields are documented in Microsoft Learn, Azure Retail Prices overview (api-version 2023-01-01-preview).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from provider_catalog.data_files import fact, read_yaml
from provider_catalog.errors import LiveError
from provider_catalog.facts import Fact
from provider_catalog.live.azure.http import get_pages
from provider_catalog.live.live_source import NO_SPOT_MARKET_SHARE, Fetched, ReportProgress, Request, by_region
from provider_catalog.prices import PurchaseOption
from provider_catalog.units import HOURS_PER_YEAR

PERMISSION: Final = "none (the price list is public)"
SOURCE: Final = "Azure Retail Prices API"

_VERSION: Final = "2023-01-01-preview"
_TERMS: Final[dict[str, tuple[PurchaseOption, int]]] = {
    "1 Year": ("reserved-1y", HOURS_PER_YEAR),
    "3 Years": ("reserved-3y", 3 * HOURS_PER_YEAR),
}
"""Purchase option and hours by term. A reservation's price is for the whole term, although its unit is "1 Hour"."""
_GLOBAL: Final = ("Global", "")
"""Region names of meters that have one price for all regions."""

url = "https://prices.azure.com/api/retail/prices"
"""Address of the price list; tests replace it by that of a local server."""


class RetailMeter(Fact):
    """The place of a service price in the price list."""

    sku: str
    service: str
    product: str = ".*"
    """Regular expression for productName."""
    meter: str
    """Regular expression for meterName."""
    units: dict[str, float] = Field(min_length=1)
    """Divisor of the meter's price by its unitOfMeasure; a meter in another unit has another price."""
    everywhere: bool = False
    """Whether the meter has one price for all regions."""


def fetch_instances(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the Linux pay-as-you-go, Spot and commitment prices of every size of the catalog.

    A commitment is a reservation, bound to size and region; without a reservation it is a savings plan for compute.

    Raises:
        LiveError: no region answered.
    """
    provenance, planned = request.provenance(SOURCE), request.provenance(f"{SOURCE}, savings plan for compute")

    def ask(region: str, fetched: Fetched) -> None:
        found: dict[tuple[str, PurchaseOption], tuple[str, float]] = {}
        plans: dict[tuple[str, PurchaseOption], tuple[str, float]] = {}
        names = " or ".join(f"armSkuName eq '{name}'" for name in request.instance_types)
        where = f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and ({names})"
        for item in _items(request, where):
            offer = _offer(item, request.today)
            if offer is not None:
                option, usd_per_hour = offer
                name, since = item["armSkuName"], item["effectiveStartDate"]
                _keep_newest(found, (name, option), (since, usd_per_hour))
                for term, rate in _savings_plans(item) if option == "on-demand" else ():
                    _keep_newest(plans, (name, term), (since, rate))
        for (name, option), (_, usd_per_hour) in found.items():
            on_demand = found.get((name, "on-demand"))
            if option == "spot" and on_demand is not None and usd_per_hour >= NO_SPOT_MARKET_SHARE * on_demand[1]:
                continue
            fetched.instances.append(request.instance_price((region, None), name, option, usd_per_hour, provenance))
        for (name, option), (_, usd_per_hour) in plans.items():
            if (name, option) not in found:
                fetched.instances.append(request.instance_price((region, None), name, option, usd_per_hour, planned))

    fetched = by_region(request, advance, ask)
    if not fetched.instances:
        raise LiveError(f"{SOURCE}: no price for any size; the old prices stay")
    return fetched


def fetch_services(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the prices of the services that the catalog bills.

    Raises:
        LiveError: no region answered.
    """
    provenance = request.provenance(SOURCE)
    billed = {price.sku for price in request.catalog.service_prices if price.provider == request.provider}
    meters = [meter for meter in service_meters() if meter.sku in billed]
    services = sorted({meter.service for meter in meters})

    def ask(region: str, fetched: Fetched) -> None:
        items: dict[str, list[Any]] = {}
        for service in services:
            somewhere = " or ".join(f"armRegionName eq '{name}'" for name in (region, _GLOBAL[0]))
            where = f"serviceName eq '{service}' and ({somewhere}) and priceType eq 'Consumption'"
            items[service] = list(_items(request, where))
        for meter in meters:
            amounts = _unit_prices(meter, region, items[meter.service], request.today)
            if len(amounts) == 1:
                fetched.services.append(request.service_price(region, meter.sku, amounts.pop(), provenance))
            else:
                what = f"{len(amounts)} prices" if amounts else "no price"
                fetched.notes.append(
                    f"{meter.sku} in {region}: {what} under meter {meter.meter!r}; the old price stays"
                )

    return by_region(request, advance, ask)


@cache
def service_meters() -> tuple[RetailMeter, ...]:
    """The meters of services.yaml."""
    path = Path(__file__).with_name("services.yaml")
    return tuple(
        fact(RetailMeter, row, f"{path}, entry {number}") for number, row in enumerate(read_yaml(path), start=1)
    )


def _items(request: Request, where: str) -> Iterator[Any]:
    """The items in US dollars of every page.

    Raises:
        LiveError: a page cannot be fetched, or an item lacks a documented field.
    """
    fields = {"api-version": _VERSION, "currencyCode": "USD", "$filter": where}
    needed = ("currencyCode", "type", "armRegionName", "productName", "meterName", "retailPrice", "unitOfMeasure")
    for page in get_pages(url, fields, request.limits):
        for item in page["Items"]:
            missing = [name for name in (*needed, "effectiveStartDate") if name not in item]
            if missing:
                raise LiveError(f"{SOURCE}: an item has no {missing[0]}; the interface may have changed")
            if item["currencyCode"] == "USD":
                yield item


def _offer(item: Any, today: date) -> tuple[PurchaseOption, float] | None:
    """The purchase option and hourly price in USD of an item that is in force.

    Returns:
        None for Windows, Low Priority, Dev/Test and cloud services, and for prices that are not in force.
    """
    product = item["productName"].replace(" ", "").lower()
    price = float(item["retailPrice"])
    if "windows" in product or "cloudservices" in product or not _in_force(item, today):
        return None
    if price <= 0 or item["unitOfMeasure"] != "1 Hour":
        return None
    if item["type"] == "Reservation":
        term = _TERMS.get(item.get("reservationTerm", ""))
        return None if term is None else (term[0], price / term[1])
    if item["type"] != "Consumption" or item["meterName"].endswith("Low Priority"):
        return None
    return ("spot" if item["meterName"].endswith("Spot") else "on-demand"), price


def _savings_plans(item: Any) -> Iterator[tuple[PurchaseOption, float]]:
    """The purchase option and hourly price in USD of each savings plan of a pay-as-you-go item.

    Only the preview version of the API lists savings plans.
    """
    for plan in item.get("savingsPlan") or ():
        if plan["term"] in _TERMS and float(plan["retailPrice"]) > 0:
            yield _TERMS[plan["term"]][0], float(plan["retailPrice"])


def _keep_newest(
    found: dict[tuple[str, PurchaseOption], tuple[str, float]],
    key: tuple[str, PurchaseOption],
    price: tuple[str, float],
) -> None:
    if key not in found or found[key][0] < price[0]:
        found[key] = price


def _unit_prices(meter: RetailMeter, region: str, items: Iterable[Any], today: date) -> set[float]:
    """The distinct prices of the first tier with costs."""
    tiers: dict[str, list[tuple[float, float]]] = {}
    for item in items:
        at_home = item["armRegionName"] in (_GLOBAL if meter.everywhere else (region,))
        fits = re.fullmatch(meter.product, item["productName"]) and re.fullmatch(meter.meter, item["meterName"])
        if at_home and fits and item["type"] == "Consumption" and _in_force(item, today):
            divisor = meter.units.get(item["unitOfMeasure"])
            if divisor is not None and float(item["retailPrice"]) > 0:
                amount = round(float(item["retailPrice"]) / divisor, 9)
                tiers.setdefault(item.get("meterId", item["meterName"]), []).append(
                    (float(item.get("tierMinimumUnits", 0)), amount)
                )
    return {min(found)[1] for found in tiers.values()}


def _in_force(item: Any, today: date) -> bool:
    """Whether the price is in force today; the API also lists announced and ended prices."""
    begun, ended = str(item["effectiveStartDate"])[:10], str(item.get("effectiveEndDate", "9999"))[:10]
    return begun <= today.isoformat() <= ended
