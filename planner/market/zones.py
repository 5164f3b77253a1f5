"""The zone in which nodes of a type stand: the one of the spec, or one that is known to sell the type."""

from typing import get_args

from planner.errors import SpecError
from planner.plan.choice import Choice
from planner.spec import ClusterSpec, OwnReservation
from provider_catalog.catalog import Catalog
from provider_catalog.prices import PurchaseOption


def zone_of(spec: ClusterSpec, catalog: Catalog, provider: str, region: str, instance_type: str) -> str | None:
    """The zone in which nodes of the type would stand in the region; None in a region without zones.

    Without a zone in the spec it is the default of the region, unless the type is known to be sold elsewhere only. A
    workload that tolerates interruptions goes to the zone with the cheapest Spot price, since Spot is a market of its
    own in each zone.
    """
    if (fixed := fixed_zone(spec)) is not None:
        return fixed
    known = catalog.zones(provider, region, instance_type) or ()
    if asked := _asked_of(spec, catalog, provider, region):
        return next((zone for zone in asked if zone in known), asked[0])
    if spec.capacity.interruption == "tolerate" and spec.capacity.block is None:
        spot = catalog.prices.instance(provider, region, instance_type, "spot")
        if spot is not None and spot.zone is not None:
            return spot.zone
    zone = catalog.provider_defaults(provider).default_zones[region]
    # A zone with a price comes first: without one nothing would be on offer.
    sold = catalog.prices.zones(provider, region, instance_type) or known
    return sold[0] if sold and zone not in sold else zone


def fixed_zone(spec: ClusterSpec) -> str | None:
    """The one zone that the spec allows; None where it leaves the choice to the plan."""
    own, block = spec.capacity.reservation, spec.capacity.block
    reserved = own.zone if isinstance(own, OwnReservation) else None
    return reserved or spec.placement.zone or (block.zone if block is not None else None)


def no_known_zone(spec: ClusterSpec, catalog: Catalog, provider: str, region: str, instance_type: str) -> str | None:
    """Why the type is not planned in the region: no zone is known to sell it and the spec names none; else None."""
    if fixed_zone(spec) is not None or _asked_of(spec, catalog, provider, region):
        return None
    if catalog.zones(provider, region, instance_type) != () or _negotiated(catalog, provider, region, instance_type):
        return None
    return f"no zone of {region} is known to sell {instance_type}; name one in placement.zone"


def _negotiated(catalog: Catalog, provider: str, region: str, instance_type: str) -> bool:
    """Whether the user has a price of their own for the type in the region: then it is sold to them there."""
    prices = (catalog.prices.instance(provider, region, instance_type, option) for option in get_args(PurchaseOption))
    return any(price is not None and price.provenance.kind == "negotiated" for price in prices)


def zone_notes(spec: ClusterSpec, catalog: Catalog, choice: Choice) -> list[str]:
    """Notes about the zone of a plan: whether it is known to sell the type, and which zones come next."""
    provider, region, zone, name = choice.provider, choice.region, choice.zone, choice.instance_type
    known, notes = catalog.zones(provider, region, name), []
    if zone is not None and known is not None and zone not in known:
        where = f"the catalog knows it in {', '.join(known)}" if known else f"the catalog knows no zone of {region}"
        notes.append(
            f"{name} is not known to be sold in {zone}: {where}. Terraform asks AWS before it creates anything"
        )
    later = [other for other in _asked_of(spec, catalog, provider, region) if other != zone]
    if later:
        notes.append(
            f"placement.zones: planned in {zone}; Terraform does not go on to another zone by itself. If AWS has no "
            f"capacity there, plan again without it (next: {', '.join(later)}), as docs/aws-operations.md describes"
        )
    return notes


def check_zones(spec: ClusterSpec, catalog: Catalog, places: list[tuple[str, str]]) -> None:
    """Refuses zones of `placement.zones` that are in none of the regions of the plan.

    Raises:
        SpecError: names the zone and what zone ids of the regions look like.
    """
    for index, zone in enumerate(spec.placement.zones):
        defaults = (catalog.provider_defaults(provider).default_zones[region] for provider, region in places)
        examples = [example for example in defaults if example is not None]
        if not any(_same_region(zone, example) for example in examples):
            regions = ", ".join(dict.fromkeys(region for _, region in places))
            raise SpecError(
                f"placement.zones[{index}] is {zone!r}, which is not a zone id of {regions}; ids there look like "
                f"{', '.join(examples)}. Give such an id, or name the region of that zone in placement.regions"
            )


def _asked_of(spec: ClusterSpec, catalog: Catalog, provider: str, region: str) -> tuple[str, ...]:
    example = catalog.provider_defaults(provider).default_zones[region]
    return tuple(zone for zone in spec.placement.zones if example is not None and _same_region(zone, example))


def _same_region(zone: str, other: str) -> bool:
    # use1-az6 and use1-atl2-az1 belong to one region.
    return zone.split("-")[0] == other.split("-")[0] and "-az" in zone
