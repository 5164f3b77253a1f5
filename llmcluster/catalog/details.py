"""`catalog show`: all that is known of one thing."""

import difflib
from typing import Any

from rich.console import Console

from provider_catalog.catalog import Catalog
from provider_catalog.facts import CatalogError, Provenance


def details(catalog: Catalog, sku: str) -> dict[str, Any]:
    """Facts and prices of an instance type, GPU, shared file system or service.

    Raises:
        CatalogError: nothing is called so; the message names the nearest.
    """
    facts = [kind.model_dump() for (_, name), kind in catalog.instance_types.items() if name == sku]
    facts += [gpu.model_dump() for gpu in catalog.gpus.values() if sku in (gpu.name, *gpu.aliases)]
    systems = [system for group in catalog.shared_file_systems.values() for system in group]
    facts += [system.model_dump() for system in systems if system.sku == sku]
    instances = [
        {
            "provider": price.provider,
            "region": price.region,
            "zone": price.zone,
            "option": price.option,
            "usd_per_hour": price.usd_per_hour,
            "provenance": price.provenance.model_dump(),
        }
        for price in catalog.instance_prices
        if price.instance_type == sku
    ]
    services = [
        {
            "provider": price.provider,
            "region": price.region,
            "unit": price.unit,
            "unit_price_usd": price.unit_price_usd,
            "provenance": price.provenance.model_dump(),
        }
        for price in catalog.service_prices
        if price.sku == sku
    ]
    if not (facts or instances or services):
        raise CatalogError(_unknown(catalog, sku, [system.sku for system in systems]))
    return {"sku": sku, "facts": facts, "prices": instances + services}


def print_details(found: dict[str, Any]) -> None:
    """Print facts, then prices with their sources."""
    console = Console()
    for entry in found["facts"]:
        for field, value in entry.items():
            console.print(f"{field:<28} {value}", highlight=False, markup=False, soft_wrap=True)
        console.print()
    for price in found["prices"]:
        where = f"{price['provider']} {price['region']}" + (f" {price['zone']}" if price.get("zone") else "")
        amount = price.get("usd_per_hour", price.get("unit_price_usd"))
        unit = price.get("option") or price["unit"]
        money = "unknown" if amount is None else f"{amount:g} USD"
        origin = Provenance.model_validate(price["provenance"])
        text = f"{where}, {unit}: {money}  [{origin.kind}, {origin.as_of}] {origin.source}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def _unknown(catalog: Catalog, sku: str, systems: list[str]) -> str:
    names = {name for _, name in catalog.instance_types} | set(catalog.gpus) | set(systems)
    names |= {price.sku for price in catalog.service_prices}
    nearest = difflib.get_close_matches(sku, sorted(names), n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(nearest)}" if nearest else "`llmcluster catalog list` shows what there is"
    return f"unknown sku {sku!r}; {hint}"
