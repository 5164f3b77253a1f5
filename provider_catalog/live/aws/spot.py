"""Spot prices by zone, and Spot placement scores, from EC2."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

from provider_catalog.errors import LiveError
from provider_catalog.live.aws.client import PRICING_REGION, by_enabled_region, client, pages
from provider_catalog.live.live_source import (
    NO_SPOT_MARKET_SHARE,
    Fetched,
    PlacementScore,
    ReportProgress,
    Request,
    documented_shape,
)

PRICE_PERMISSION: Final = "ec2:DescribeSpotPriceHistory"
SCORE_PERMISSION: Final = "ec2:GetSpotPlacementScores"
LINUX: Final = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")
SCORED_REGIONS: Final = 10
"""Largest number of regions in one request (model of the EC2 API, GetSpotPlacementScoresRequest.RegionNames)."""
SCORED_TYPES: Final = 3
"""Least number of instance types in one request. With one or two types, or with variants of one, the score is always
low (EC2 API reference, GetSpotPlacementScores, InstanceType.N)."""
SCORED_NODES: Final = 8
"""Number of nodes in a request for a score. AWS limits the number of different requests in 24 hours, so there is one
request for each family, and it never changes (EC2 user guide, Spot placement score, limitations)."""


def fetch_prices(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the current Spot price by zone id of every instance type that is sold on Spot.

    Raises:
        LiveError: no region answered.
    """
    provenance = request.provenance(f"EC2 {PRICE_PERMISSION.partition(':')[2]}, price in force")
    names = [name for name in request.instance_types if "spot" in _options(request, name)]
    now = datetime.now(UTC)

    def ask(region: str, fetched: Fetched) -> None:
        ec2 = client("ec2", region, request.limits)
        zone_ids = zone_ids_by_name(ec2)
        newest: dict[tuple[str, str], tuple[datetime, float]] = {}
        # The history starts one minute ago, and its first entry is the price that was in force then.
        for entry in pages(
            ec2,
            "describe_spot_price_history",
            "SpotPriceHistory",
            PRICE_PERMISSION,
            InstanceTypes=names,
            ProductDescriptions=list(LINUX),
            StartTime=now - timedelta(minutes=1),
        ):
            # `zone_ids` lacks Local Zones, which the catalog leaves out.
            zone = zone_ids.get(entry["AvailabilityZone"])
            key, value = (zone or "", entry["InstanceType"]), (entry["Timestamp"], float(entry["SpotPrice"]))
            if zone is not None and (key not in newest or newest[key][0] < value[0]):
                newest[key] = value
        for (zone_id, name), (_, usd_per_hour) in newest.items():
            on_demand = request.catalog.prices.instance(request.provider, region, name, "on-demand")
            if usd_per_hour > 0 and (on_demand is None or usd_per_hour < NO_SPOT_MARKET_SHARE * on_demand.usd_per_hour):
                fetched.instances.append(
                    request.instance_price((region, zone_id), name, "spot", usd_per_hour, provenance)
                )

    return by_enabled_region(request, advance, ask)


def fetch_scores(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch placement scores by zone for each family with enough instance types.

    Raises:
        LiveError: the scores cannot be fetched.
    """
    families: dict[str, list[str]] = {}
    for name in request.instance_types:
        if "spot" in _options(request, name):
            families.setdefault(name.partition(".")[0], []).append(name)
    ec2 = client("ec2", PRICING_REGION, request.limits)
    fetched = Fetched(answered=set(request.regions))
    scored = [names for names in families.values() if len(names) >= SCORED_TYPES]
    small = [family for family, names in families.items() if len(names) < SCORED_TYPES]
    if small:
        fetched.notes.append(
            f"{', '.join(small)}: no score was requested, because AWS always scores fewer than {SCORED_TYPES} instance "
            "types low"
        )
    starts = range(0, len(request.regions), SCORED_REGIONS)
    places = [list(request.regions[start : start + SCORED_REGIONS]) for start in starts]
    for done, (names, regions) in enumerate(product(scored, places), start=1):
        for score in pages(
            ec2,
            "get_spot_placement_scores",
            "SpotPlacementScores",
            SCORE_PERMISSION,
            InstanceTypes=names,
            TargetCapacity=SCORED_NODES,
            TargetCapacityUnitType="units",
            SingleAvailabilityZone=True,
            RegionNames=regions,
        ):
            with documented_shape(SCORE_PERMISSION):
                fetched.scores += [
                    PlacementScore(
                        provider=request.provider,
                        region=score["Region"],
                        zone=score["AvailabilityZoneId"],
                        instance_type=name,
                        target_nodes=SCORED_NODES,
                        score=score["Score"],
                        as_of=request.today.isoformat(),
                    )
                    for name in names
                ]
        advance(done, len(scored) * len(places))
    if not fetched.scores:
        raise LiveError(f"{SCORE_PERMISSION}: no score for any family; the old scores stay")
    return fetched


def zone_ids_by_name(ec2: Any) -> dict[str, str]:
    """Map zone names to zone ids, as `us-east-1a` to `use1-az6`; names differ between accounts, and ids do not."""
    zones = pages(
        ec2, "describe_availability_zones", "AvailabilityZones", "ec2:DescribeAvailabilityZones",
        Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}],
    )  # fmt: skip
    return {zone["ZoneName"]: zone["ZoneId"] for zone in zones}


def _options(request: Request, name: str) -> tuple[str, ...]:
    return request.catalog.instance_type(request.provider, name).purchase_options
