"""Messages about regions that the catalog does not hold: they name the nearest region and its cloud."""

import re
from collections.abc import Sequence
from typing import Final

from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.suggestions import nearest_names

MOST_SHOWN: Final = 12
"""Regions of a cloud that a message lists; `llmcluster catalog regions` lists all of them."""
_ZONE_NAME: Final = re.compile(r"([a-z]+(?:-[a-z]+)+-\d)[a-z]")
"""Name of an AWS zone, such as us-east-1a: the region and a letter."""


def require_region(region: str, catalog: Catalog, provider: str | None = None) -> None:
    """Refuses a region that the cloud, or any cloud, does not have.

    Raises:
        CatalogError: the region is unknown; the message names the nearest one and its cloud.
    """
    providers = [name for name in catalog.providers if provider in (None, name)]
    if any(region in catalog.regions(name) for name in providers):
        return
    owners = [name for name in catalog.providers if region in catalog.regions(name)]
    if owners:
        raise CatalogError(f"--region is {region!r}, a region of {owners[0]}, not of {provider}; change one of the two")
    raise CatalogError(unknown_region("--region", region, catalog, providers))


def unknown_region(field: str, region: str, catalog: Catalog, providers: Sequence[str]) -> str:
    """Returns the message for a region that none of `providers` has.

    Args:
        field: Field of the spec.
        region: Region that the spec names.
        catalog: Catalog with the regions of every cloud.
        providers: Clouds that the spec allows.
    """
    owner = {name: p for p in reversed(catalog.providers) for name in catalog.provider_defaults(p).default_zones}
    if region in owner:
        return (
            f"{field} is {region!r}, a region of {owner[region]}, which placement.providers leaves out; add"
            f" {owner[region]} to placement.providers, or name a region of theirs"
        )
    zone = _ZONE_NAME.fullmatch(region)
    if zone is not None and zone[1] in owner:
        return (
            f"{field} is {region!r}, which is a zone; name its region, {zone[1]} ({owner[zone[1]]}), and give a zone id"
            " in placement.zone if it matters"
        )
    nearest = _nearest(region, list(owner))
    hint = f"did you mean {nearest!r} ({owner[nearest]})? " if nearest else ""
    known = "; ".join(_listed(provider, catalog) for provider in providers)
    return f"{field} is {region!r}, which the catalog does not hold; {hint}known: {known}"


def _nearest(region: str, known: Sequence[str]) -> str | None:
    """Returns the region most like the given one; display names such as "West Europe" count without spaces."""
    plain = re.sub(r"[^a-z0-9-]", "", region.lower())
    named = [plain] if plain in known else nearest_names(plain, known)
    return named[0] if named else None


def _listed(provider: str, catalog: Catalog) -> str:
    names = sorted(catalog.provider_defaults(provider).default_zones)
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"{provider} has {', '.join(names[:MOST_SHOWN])}{more}"
