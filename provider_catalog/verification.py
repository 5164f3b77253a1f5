"""Checks of the catalog's data: every file can be read, every row has a source, and prices are plausible."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise, product
from typing import Final, Literal

from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.prices import InstancePrice

AS_OF: Final = re.compile(r"20\d\d(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
STALE_YEARS: Final = 2
"""Age in years from which a price gets a warning, even where no newer price was found."""
REGIONAL_SPREAD: Final = 3.0
"""Largest plausible ratio between the prices of a type in two regions; a larger ratio is probably a misplaced digit."""


@dataclass(frozen=True)
class Finding:
    """An error in the data, or a warning that someone should look at it."""

    level: Literal["error", "warning"]
    where: str
    message: str


def verify(catalog: Catalog, today: date) -> tuple[Finding, ...]:
    """All findings, errors first; a file that cannot be read is one error, and the other files are still checked."""
    found: list[Finding] = []
    for check in (_hardware, _storage, _defaults, _instance_prices, _service_prices):
        try:
            found += check(catalog, today)
        except CatalogError as error:
            finding = Finding("error", str(catalog.folder), str(error))
            # Several checks read prices; a broken row is reported once.
            if finding not in found:
                found.append(finding)
    return tuple(sorted(found, key=lambda finding: (finding.level, finding.where, finding.message)))


def _hardware(catalog: Catalog, today: date) -> Iterator[Finding]:
    gpus_file = str(catalog.folder / "gpus.yaml")
    for gpu in catalog.gpus.values():
        yield from _sourced(gpu.source, gpu.as_of, f"{gpus_file}, {gpu.name}", today)
        ladder = [gpu.peak_tflops[p] for p in ("fp32", "bf16", "fp8", "nvfp4") if p in gpu.peak_tflops]
        if any(wide >= narrow for wide, narrow in pairwise(ladder)):
            yield Finding("error", f"{gpus_file}, {gpu.name}", "a narrower format is no faster than a wider one")
    for (provider, name), instance_type in catalog.instance_types.items():
        where = f"{catalog.folder / provider / 'instances.csv'}, {name}"
        yield from _sourced(instance_type.source, instance_type.as_of, where, today)
        marketed_mib = catalog.gpu(instance_type.gpu).memory_gb * 1e9 / 2**20
        # A GPU sold with 80 "GB" reports 81,920 MiB, which is 80 GiB.
        if not 0.85 * marketed_mib <= instance_type.gpu_memory_mib <= 1.08 * marketed_mib:
            yield Finding(
                "error",
                where,
                f"gpu_memory_mib {instance_type.gpu_memory_mib} is not the memory of {instance_type.gpu}",
            )


def _storage(catalog: Catalog, today: date) -> Iterator[Finding]:
    for provider, systems in catalog.shared_file_systems.items():
        for system in systems:
            where = f"{catalog.folder / provider / 'shared_file_systems.yaml'}, {system.sku}"
            yield from _sourced(system.source, system.as_of, where, today)


def _defaults(catalog: Catalog, today: date) -> Iterator[Finding]:
    for provider in catalog.providers:
        defaults = catalog.provider_defaults(provider)
        where = str(catalog.folder / provider / "defaults.yaml")
        yield from _sourced(defaults.source, defaults.as_of, where, today)
        if defaults.default_region not in defaults.default_zones:
            yield Finding("error", where, f"default_region {defaults.default_region} has no zone in default_zones")
        catalog.shared_file_system(provider, defaults.shared_file_system)


def _instance_prices(catalog: Catalog, today: date) -> Iterator[Finding]:
    cheapest: dict[tuple[str, str, str], dict[str, InstancePrice]] = {}
    for price in catalog.instance_prices:
        where = _where(price)
        yield from _sourced(price.provenance.source, price.provenance.as_of, where, today)
        if (price.provider, price.instance_type) not in catalog.instance_types:
            yield Finding("error", where, f"no instances.csv has {price.instance_type}")
        options = cheapest.setdefault((price.provider, price.region, price.instance_type), {})
        if price.option not in options or price.usd_per_hour < options[price.option].usd_per_hour:
            options[price.option] = price
    for options in cheapest.values():
        for dear, cheap in (("on-demand", "spot"), ("on-demand", "reserved-1y"), ("reserved-1y", "reserved-3y")):
            if dear in options and cheap in options and options[cheap].usd_per_hour > options[dear].usd_per_hour:
                low, high = options[dear].usd_per_hour, options[cheap].usd_per_hour
                yield Finding(
                    "warning", _where(options[cheap]), f"{high:g} USD an hour is more than the {dear} price of {low:g}"
                )
    yield from _out_of_proportion([price for price in catalog.instance_prices if price.option == "on-demand"])
    yield from _aged(
        ((price.provider, "instance prices", price.provenance.as_of) for price in catalog.instance_prices), today
    )


def _out_of_proportion(prices: Iterable[InstancePrice]) -> Iterator[Finding]:
    """Find prices that are implausibly far above the price of the same type in the cheapest region."""
    lowest: dict[tuple[str, str], InstancePrice] = {}
    for price in sorted(prices, key=lambda price: price.usd_per_hour):
        low = lowest.setdefault((price.provider, price.instance_type), price)
        times = price.usd_per_hour / low.usd_per_hour
        if times > REGIONAL_SPREAD:
            yield Finding(
                "warning",
                _where(price),
                f"{price.usd_per_hour:g} USD an hour is {times:.1f} times the price in {low.region}",
            )


def _service_prices(catalog: Catalog, today: date) -> Iterator[Finding]:
    for price in catalog.service_prices:
        where = f"{catalog.folder / price.provider / 'service_prices.csv'}, {price.sku} in {price.region}"
        yield from _sourced(price.provenance.source, price.provenance.as_of, where, today)
    known = (price for price in catalog.service_prices if price.unit_price_usd is not None)
    yield from _aged(((price.provider, "service prices", price.provenance.as_of) for price in known), today)
    for provider, systems in catalog.shared_file_systems.items():
        # Generations have separate price lists: the older PERSISTENT_1-200 costs more than PERSISTENT_2-250.
        generations = sorted({system.deployment_type for system in systems if system.persistent})
        regions = sorted({price.region for price in catalog.service_prices if price.provider == provider})
        for region, generation in product(regions, generations):
            tiers = [
                (system.throughput_mb_per_s_per_tib, listed.unit_price_usd)
                for system in systems
                if system.deployment_type == generation
                and (listed := catalog.prices.service(provider, region, system.sku)) is not None
                and listed.unit_price_usd is not None
            ]
            if any(slow[1] >= fast[1] for slow, fast in pairwise(sorted(tiers))):
                where = f"{catalog.folder / provider / 'service_prices.csv'}, {region}, {generation}"
                yield Finding("error", where, "a faster file system costs no more than a slower one")


def _where(price: InstancePrice) -> str:
    place = price.region + (f" {price.zone}" if price.zone else "")
    return f"{price.provider} {price.instance_type}, {price.option} in {place}"


def _sourced(source: str, as_of: str, where: str, today: date) -> Iterator[Finding]:
    if not source.strip():
        yield Finding("error", where, "the source is empty; name the page, document or commit")
    if not AS_OF.fullmatch(as_of):
        yield Finding("error", where, f"as_of {as_of!r} is not an ISO date, month or year")
    elif as_of > today.isoformat():
        yield Finding("error", where, f"as_of {as_of} lies in the future")


def _aged(prices: Iterable[tuple[str, str, str]], today: date) -> Iterator[Finding]:
    """Report old prices, with one finding for all prices of a cloud that have the same date."""
    for (provider, what, as_of), number in Counter(prices).items():
        if AS_OF.fullmatch(as_of) and int(as_of[:4]) <= today.year - STALE_YEARS:
            yield Finding("warning", f"{provider} {what}", f"{number} prices date from {as_of}; look for newer ones")
