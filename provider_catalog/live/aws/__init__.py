"""Live prices of AWS, fetched with boto3."""

from provider_catalog.live.aws import commitments, instance_types, price_list, spot
from provider_catalog.live.live_source import LiveSource

SOURCES = (
    LiveSource(
        "prices",
        "on-demand prices",
        price_list.PERMISSION,
        price_list.fetch_on_demand,
        options=frozenset({"on-demand"}),
    ),
    LiveSource("services", "service prices", price_list.PERMISSION, price_list.fetch_services),
    LiveSource("spot", "Spot prices", spot.PRICE_PERMISSION, spot.fetch_prices, options=frozenset({"spot"})),
    LiveSource("placement-scores", "Spot placement scores", spot.SCORE_PERMISSION, spot.fetch_scores),
    LiveSource(
        "savings-plans",
        "Savings Plans rates",
        commitments.RATES_PERMISSION,
        commitments.fetch_savings_plans,
        options=frozenset({"reserved-1y", "reserved-3y"}),
    ),
    LiveSource(
        "capacity-blocks",
        "Capacity Block offerings",
        commitments.BLOCKS_PERMISSION,
        commitments.fetch_capacity_blocks,
        options=frozenset({"capacity-block"}),
    ),
    LiveSource("instance-types", "hardware facts", instance_types.PERMISSION, instance_types.check),
)
"""The sources in the order in which they run; Spot prices are compared with refreshed on-demand prices."""
