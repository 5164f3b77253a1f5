"""The report of `llmcluster catalog show`: everything that the catalog knows about one item."""

from pathlib import Path
from typing import Any

from llmcluster.reports.terminal import terminal
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Provenance
from provider_catalog.hardware import InstanceType
from provider_catalog.live.price_store import read_scores
from provider_catalog.price_layers import live_folder
from provider_catalog.suggestions import did_you_mean


def details(catalog: Catalog, sku: str) -> dict[str, Any]:
    """Returns facts, environment and prices of an instance type, GPU, shared file system or service.

    Raises:
        CatalogError: nothing has that name; the message suggests similar names.
    """
    types = [kind for (_, name), kind in catalog.instance_types.items() if name == sku]
    facts = [kind.model_dump() | _topology(catalog, kind) for kind in types]
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
    folder = live_folder()
    scores = [
        score.model_dump(exclude={"instance_type"})
        for provider in (catalog.providers if folder is not None else ())
        for score in read_scores(folder or Path(), provider)
        if score.instance_type == sku
    ]
    if not (facts or instances or services):
        raise CatalogError(_unknown(catalog, sku, [system.sku for system in systems]))
    environment = [entry.model_dump() for kind in types for entry in catalog.collectives(kind)]
    return {
        "sku": sku,
        "facts": facts,
        "environment": environment,
        "prices": instances + services,
        "spot_placement_scores": scores,
    }


def _topology(catalog: Catalog, instance_type: InstanceType) -> dict[str, Any]:
    """Returns the connections between GPUs and between nodes, with their sources."""
    node, network = catalog.topology(instance_type), catalog.fabric_wiring(instance_type)
    wiring = catalog.node_wiring(instance_type)
    return {
        "nvlink_domain_gpus": node.nvlink_domain_gpus,
        "rails": node.rails,
        "gpus_per_pcie_switch": node.gpus_per_pcie_switch,
        "gpus_per_numa_node": node.gpus_per_numa_node,
        "wiring_source": wiring.source if wiring else "no published source",
        "paths": node.paths,
        "network": network.note if network else "",
        "network_source": network.source if network else "",
    }


def print_details(found: dict[str, Any]) -> None:
    """Prints facts, environment variables of the collectives, and prices, with their sources."""
    console = terminal()
    for entry in found["facts"]:
        for field, value in entry.items():
            console.print(f"{field:<28} {value}", highlight=False, markup=False, soft_wrap=True)
        console.print()
    for entry in found["environment"]:
        given = "left at its default" if entry["value"] is None else f"= {entry['value']}"
        text = f"{entry['variable']} {given}: {entry['reason']} [{entry['source']}]"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if found["environment"]:
        console.print()
    for price in found["prices"]:
        where = f"{price['provider']} {price['region']}" + (f" {price['zone']}" if price.get("zone") else "")
        amount = price.get("usd_per_hour", price.get("unit_price_usd"))
        unit = price.get("option") or price["unit"]
        money = "unknown" if amount is None else f"{amount:g} USD"
        origin = Provenance.model_validate(price["provenance"])
        text = f"{where}, {unit}: {money}  [{origin.kind}, {origin.as_of}] {origin.source}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if found["spot_placement_scores"]:
        console.print(_scores_text(found["spot_placement_scores"]), highlight=False, markup=False, soft_wrap=True)


def _scores_text(scores: list[dict[str, Any]]) -> str:
    best = sorted(scores, key=lambda score: (-score["score"], score["zone"]))
    zones = ", ".join(f"{score['zone']} {score['score']}" for score in best)
    return f"Spot placement scores (1 to 10) for {best[0]['target_nodes']} nodes on {best[0]['as_of']}: {zones}"


def _unknown(catalog: Catalog, sku: str, systems: list[str]) -> str:
    names = {name for _, name in catalog.instance_types} | set(catalog.gpus) | set(systems)
    names |= {price.sku for price in catalog.service_prices}
    hint = did_you_mean(sku, names, at_most=3) or "`llmcluster catalog list` shows the known names"
    return f"unknown sku {sku!r}; {hint.strip()}"
