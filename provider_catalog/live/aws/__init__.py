"""Live prices of AWS, by boto3."""

from provider_catalog.live.aws import commitments, instance_types, price_list, spot
from provider_catalog.live.live_source import Source

SOURCES = (
    Source(
        "prices",
        "on-demand prices",
        price_list.PERMISSION,
        price_list.fetch_on_demand,
        options=frozenset({"on-demand"}),
    ),
    Source("services", "service prices", price_list.PERMISSION, price_list.fetch_services),
    Source("spot", "Spot prices", spot.PRICE_PERMISSION, spot.fetch_prices, options=frozenset({"spot"})),
    Source("placement-scores", "Spot placement scores", spot.SCORE_PERMISSION, spot.fetch_scores),
    Source(
        "savings-plans",
        "Savings Plans rates",
        commitments.RATES_PERMISSION,
        commitments.fetch_savings_plans,
        options=frozenset({"reserved-1y", "reserved-3y"}),
    ),
    Source(
        "capacity-blocks",
        "Capacity Block offerings",
        commitments.BLOCKS_PERMISSION,
        commitments.fetch_capacity_blocks,
        options=frozenset({"capacity-block"}),
    ),
    Source("instance-types", "hardware facts", instance_types.PERMISSION, instance_types.check),
)
"""In the order in which they run: Spot prices are held against on-demand."""
