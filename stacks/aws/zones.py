"""The zone of a plan, as AWS names it."""

import re
from typing import Final

from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.spec import ClusterSpec, OwnReservation
from provider_catalog.catalog import Catalog

ZONE_ID: Final = re.compile(r"[a-z]+\d+(-[a-z]+\d+)?-az\d+")
"""`use1-az6`, and with a Local Zone in the middle (AWS Regions and Availability Zones guide, "AZ IDs")."""


def zone_id(plan: Plan, catalog: Catalog) -> str:
    """The zone id of the plan.

    Raises:
        SpecError: none is known, or it is not a zone id of the region.
    """
    region = plan.choice.region
    zone = plan.choice.zone or catalog.provider_defaults("aws").default_zones.get(region)
    if zone is None:
        raise SpecError(
            f"placement.zone: none given, and no default is known for region {region}; give a zone id such as use1-az6 "
            "(aws ec2 describe-availability-zones prints them as ZoneId)"
        )
    field = zone_field(plan.spec, zone)
    if not ZONE_ID.fullmatch(zone):
        raise SpecError(
            f"{field}: {zone!r} is not an AWS zone id; ids look like use1-az6. Names such as us-east-1a are not "
            "accepted, because they mean different places in different accounts"
        )
    known = catalog.provider_defaults("aws").default_zones.get(region)
    if known is not None and zone.split("-")[0] != known.split("-")[0]:
        raise SpecError(
            f"{field}: {zone} is not a zone of region {region}, whose zone ids look like {known}; give one of "
            "these, or put the region of that zone into placement.regions"
        )
    return zone


def zone_field(spec: ClusterSpec, zone: str) -> str:
    """The field of the spec that decides the zone."""
    own, block = spec.capacity.reservation, spec.capacity.block
    if isinstance(own, OwnReservation) and own.zone == zone:
        return "capacity.reservation.zone"
    if block is not None and block.zone == zone:
        return "capacity.block.zone"
    return "placement.zones" if zone in spec.placement.zones else "placement.zone"
