"""Live prices of AWS: list prices need no credentials, and the rest is fetched with boto3."""

from collections.abc import Callable

from provider_catalog.live.aws import commitments, instance_types, price_list, public_prices, spot
from provider_catalog.live.aws.client import missing_credentials
from provider_catalog.live.live_source import Fetched, LiveSource, ReportProgress, Request

Fetch = Callable[[Request, ReportProgress], Fetched]


def _queried_or_public(queried: Fetch, public: Fetch) -> Fetch:
    """Fetch from the Price List API where there are credentials, else from the public files.

    Both hold the same list. The API answers a few rows, and the file of EC2 in one region has hundreds of megabytes.
    """

    def fetch(request: Request, advance: ReportProgress) -> Fetched:
        return (queried if missing_credentials() is None else public)(request, advance)

    return fetch


PUBLIC = f"none (the price list files are public), or {price_list.PERMISSION}"
SOURCES = (
    LiveSource(
        "prices",
        "on-demand prices",
        PUBLIC,
        _queried_or_public(price_list.fetch_on_demand, public_prices.fetch_on_demand),
        options=frozenset({"on-demand"}),
    ),
    LiveSource(
        "services",
        "service prices",
        PUBLIC,
        _queried_or_public(price_list.fetch_services, public_prices.fetch_services),
    ),
    LiveSource(
        "spot",
        "Spot prices",
        spot.PRICE_PERMISSION,
        spot.fetch_prices,
        options=frozenset({"spot"}),
        missing_credentials=missing_credentials,
    ),
    LiveSource(
        "placement-scores",
        "Spot placement scores",
        spot.SCORE_PERMISSION,
        spot.fetch_scores,
        missing_credentials=missing_credentials,
    ),
    LiveSource(
        "savings-plans",
        "Savings Plans rates",
        commitments.RATES_PERMISSION,
        commitments.fetch_savings_plans,
        options=frozenset({"reserved-1y", "reserved-3y"}),
        missing_credentials=missing_credentials,
    ),
    LiveSource(
        "capacity-blocks",
        "Capacity Block offerings",
        commitments.BLOCKS_PERMISSION,
        commitments.fetch_capacity_blocks,
        options=frozenset({"capacity-block"}),
        missing_credentials=missing_credentials,
    ),
    LiveSource(
        "instance-types",
        "hardware facts",
        instance_types.PERMISSION,
        instance_types.check,
        missing_credentials=missing_credentials,
    ),
)
"""The sources in the order in which they run; Spot prices are compared with refreshed on-demand prices."""
