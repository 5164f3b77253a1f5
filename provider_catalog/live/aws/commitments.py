"""Savings Plans rates and Capacity Block offerings: hourly prices of commitments on AWS."""

from typing import Any, Final

from provider_catalog.errors import LiveError
from provider_catalog.live.aws.client import PRICING_REGION, as_live_error, by_enabled_region, client, pages
from provider_catalog.live.aws.price_list import is_instance_in_use
from provider_catalog.live.aws.spot import LINUX, zone_ids_by_name
from provider_catalog.live.live_source import Fetched, ReportProgress, Request
from provider_catalog.prices import PurchaseOption
from provider_catalog.units import HOURS_PER_YEAR

RATES_PERMISSION: Final = "savingsplans:DescribeSavingsPlansOfferingRates"
BLOCKS_PERMISSION: Final = "ec2:DescribeCapacityBlockOfferings"

_TERM_BY_S: Final[dict[int, PurchaseOption]] = {
    HOURS_PER_YEAR * 3600: "reserved-1y",
    3 * HOURS_PER_YEAR * 3600: "reserved-3y",
}
_PLAN_TYPES: Final = ("EC2Instance", "Compute")
"""Plan types in order of preference. A plan bound to family and region suits a fixed cluster and never costs more."""
BLOCK_HOURS: Final = 24 * 7


def fetch_savings_plans(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch rates for one and three years without upfront payment, of EC2 Instance plans or else of Compute plans.

    Raises:
        LiveError: the rates cannot be fetched.
    """
    savings = client("savingsplans", PRICING_REGION, request.limits)
    provenance = request.provenance(
        f"{RATES_PERMISSION.partition(':')[2]}, no upfront, EC2 Instance plan or else Compute"
    )
    fetched = Fetched(answered=set(request.regions))
    names = request.instance_types
    for done, name in enumerate(names, start=1):
        rates: dict[tuple[str, PurchaseOption, str], float] = {}
        for entry in _rates(savings, name, request.regions):
            with as_live_error(RATES_PERMISSION, RATES_PERMISSION):
                offering = entry["savingsPlanOffering"]
                properties = {item["name"]: item["value"] for item in entry["properties"]}
                term = _TERM_BY_S.get(offering["durationSeconds"])
                # The list has separate entries for running instances and for unused reservations.
                running = is_instance_in_use(entry["usageType"])
                if term is not None and running and entry["unit"] == "Hrs" and offering["currency"] == "USD":
                    rates[properties["region"], term, offering["planType"]] = float(entry["rate"])
        for region, term in sorted({key[:2] for key in rates}):
            rate = next(rates[region, term, plan] for plan in _PLAN_TYPES if (region, term, plan) in rates)
            if region in request.regions and rate > 0:
                fetched.instances.append(request.instance_price((region, None), name, term, rate, provenance))
        advance(done, len(names))
    if not fetched.instances:
        raise LiveError(f"{RATES_PERMISSION}: no rate for any instance type; the old prices stay")
    return fetched


def fetch_capacity_blocks(request: Request, advance: ReportProgress) -> Fetched:
    """Fetch the price of the cheapest block of a week in each zone, in USD per hour of one instance.

    Raises:
        LiveError: no region answered.
    """
    names = [
        name
        for name in request.instance_types
        if "capacity-block" in request.catalog.instance_type(request.provider, name).purchase_options
    ]
    provenance = request.provenance(
        f"EC2 {BLOCKS_PERMISSION.partition(':')[2]}, cheapest block of {BLOCK_HOURS} h for one instance, without OS fee"
    )

    def ask(region: str, fetched: Fetched) -> None:
        ec2 = client("ec2", region, request.limits)
        zone_ids = zone_ids_by_name(ec2)
        for name in names:
            cheapest: dict[str, float] = {}
            for block in pages(
                ec2, "describe_capacity_block_offerings", "CapacityBlockOfferings", BLOCKS_PERMISSION,
                InstanceType=name, InstanceCount=1, CapacityDurationHours=BLOCK_HOURS,
            ):  # fmt: skip
                zone = zone_ids.get(block["AvailabilityZone"])
                hours = block["InstanceCount"] * block["CapacityBlockDurationHours"]
                if zone is not None and block["CurrencyCode"] == "USD" and hours > 0:
                    usd_per_hour = float(block["UpfrontFee"]) / hours
                    cheapest[zone] = min(usd_per_hour, cheapest.get(zone, usd_per_hour))
            for zone, usd_per_hour in cheapest.items():
                fetched.instances.append(
                    request.instance_price((region, zone), name, "capacity-block", usd_per_hour, provenance)
                )

    return by_enabled_region(request, advance, ask)


def _rates(savings: Any, instance_type: str, regions: tuple[str, ...]) -> Any:
    """Fetch all pages of rates; boto3 has no paginator for this operation."""
    token: str | None = None
    while True:
        with as_live_error(RATES_PERMISSION, RATES_PERMISSION):
            page = savings.describe_savings_plans_offering_rates(
                savingsPlanPaymentOptions=["No Upfront"],
                savingsPlanTypes=list(_PLAN_TYPES),
                products=["EC2"],
                filters=[
                    {"name": "instanceType", "values": [instance_type]},
                    {"name": "region", "values": list(regions)},
                    {"name": "productDescription", "values": [LINUX[0]]},
                    {"name": "tenancy", "values": ["shared"]},
                ],
                **({"nextToken": token} if token else {}),
            )
            yield from page["searchResults"]
        before, token = token, page.get("nextToken")
        if not token:
            return
        if token == before:
            raise LiveError(f"{RATES_PERMISSION}: the same page came twice; the list does not end")
