"""On-demand and service prices from AWS's public price list files, without credentials."""

import re
from collections.abc import Iterable
from typing import Final

from provider_catalog.errors import LiveError
from provider_catalog.live.aws.bulk import PriceListFile, PriceRow, matches
from provider_catalog.live.aws.price_list import (
    LINUX,
    PriceListMeter,
    is_instance_in_use,
    service_meters,
    usage_pattern,
)
from provider_catalog.live.live_source import Fetched, ReportProgress, Request, by_region

SOURCE: Final = "AWS price list file"
EC2: Final = "AmazonEC2"


def fetch_on_demand(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the Linux on-demand prices of every instance type of the catalog from the file of EC2 in each region.

    Raises:
        LiveError: no region answered, or no file prices any type.
    """
    names = frozenset(request.instance_types)

    def ask(region: str, fetched: Fetched) -> None:
        file = PriceListFile(EC2, region, request.limits)
        found = linux_rates(file.rows(), names)
        provenance = request.provenance(f"{SOURCE}, {EC2} in {region}, published {file.publication_date}")
        for name, usd_per_hour in _decided(found, region, fetched).items():
            fetched.instances.append(
                request.instance_price((region, None), name, "on-demand", usd_per_hour, provenance)
            )

    fetched = by_region(request, advance, ask)
    if not fetched.instances:
        raise LiveError(f"{SOURCE}: no on-demand price for any instance type; the old prices stay")
    return fetched


def fetch_services(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the prices of services and of machines without GPUs from the file of each service in each region.

    Raises:
        LiveError: no region answered.
    """
    billed = {price.sku for price in request.catalog.service_prices if price.provider == request.provider}
    machines = frozenset(sku for sku in billed if "." in sku)
    meters = [meter for meter in service_meters() if meter.sku in billed]
    services = sorted({EC2, *(meter.service_code for meter in meters)})

    def ask(region: str, fetched: Fetched) -> None:
        for service in services:
            mine = [meter for meter in meters if meter.service_code == service]
            _ask_service(request, PriceListFile(service, region, request.limits), mine, machines, fetched)

    return by_region(request, advance, ask)


def linux_rates(rows: Iterable[PriceRow], names: frozenset[str]) -> dict[str, set[float]]:
    """The distinct hourly prices in USD of each type with Linux on shared hosts; prices of 0 are none."""
    found: dict[str, set[float]] = {}
    for row in rows:
        name = row.attributes.get("instancetype", "")
        if name in names and _is_linux(row):
            found.setdefault(name, set()).add(row.usd)
    return {name: amounts - {0.0} for name, amounts in found.items()}


def _is_linux(row: PriceRow) -> bool:
    in_use = is_instance_in_use(row.attributes["usagetype"])
    return row.unit == "Hrs" and in_use and matches(row.attributes, LINUX)


def _ask_service(
    request: Request,
    file: PriceListFile,
    meters: list[PriceListMeter],
    machines: frozenset[str],
    fetched: Fetched,
) -> None:
    """Read one file for all its meters; a file that fails is reported and leaves its prices as they were."""
    patterns = [(meter, usage_pattern(meter)) for meter in meters]
    tiers: dict[tuple[str, str], list[tuple[float, float]]] = {}
    boxes: dict[str, set[float]] = {}
    try:
        for row in file.rows():
            if file.service_code == EC2 and row.attributes.get("instancetype") in machines and _is_linux(row):
                boxes.setdefault(row.attributes["instancetype"], set()).add(row.usd)
            for meter, pattern in patterns:
                if _is_metered(row, meter, pattern):
                    tiers.setdefault((meter.sku, row.attributes.get("sku", "")), []).append((row.begin, row.usd))
    except LiveError as error:
        if not fetched.services:
            raise
        fetched.failures.append(str(error))
        return
    provenance = request.provenance(
        f"{SOURCE}, {file.service_code} in {file.region}, published {file.publication_date}"
    )
    found: dict[str, set[float]] = {meter.sku: set() for meter in meters}
    for (sku, _), listed in tiers.items():
        found[sku].add(min(listed)[1])
    found |= {name: amounts - {0.0} for name, amounts in boxes.items()}
    for sku, amounts in found.items():
        if len(amounts) == 1:
            fetched.services.append(request.service_price(file.region, sku, amounts.pop(), provenance))
        else:
            what = f"{len(amounts)} prices ({_listed(amounts)})" if amounts else "no price"
            where = f"{sku} in {file.region}: {what} in the file of {file.service_code}"
            fetched.notes.append(f"{where}; the old price stays")


def _is_metered(row: PriceRow, meter: PriceListMeter, pattern: re.Pattern[str]) -> bool:
    return (
        row.unit in meter.units
        and row.usd > 0
        and pattern.fullmatch(row.attributes["usagetype"]) is not None
        and matches(row.attributes, meter.filters)
    )


def _decided(found: dict[str, set[float]], region: str, fetched: Fetched) -> dict[str, float]:
    """The price of each type. Of two prices the higher one counts, with a note; a price of 0 is reported."""
    decided = {}
    for name, amounts in sorted(found.items()):
        if not amounts:
            fetched.notes.append(f"{name} in {region}: only a price of 0 is listed; the old price stays")
            continue
        if len(amounts) > 1:
            fetched.notes.append(f"{name} in {region}: {_listed(amounts)} USD an hour are listed; the highest is used")
        decided[name] = max(amounts)
    return decided


def _listed(amounts: set[float]) -> str:
    return ", ".join(f"{usd:g}" for usd in sorted(amounts))
