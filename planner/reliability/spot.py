"""How often Spot nodes are reclaimed."""

from typing import Final

from provider_catalog.units import HOURS_PER_MONTH

SPOT_RECLAIMS_PER_NODE_HOUR: Final = 0.20 / HOURS_PER_MONTH
"""AWS Spot Instance Advisor's highest bracket starts at 20 % of instances reclaimed in a month, and GPU types sit in
it. Estimate; Azure publishes the like as eviction rates of 0-20 %."""
SPOT_RECLAIMS_RANGE: Final = (0.05 / HOURS_PER_MONTH, 0.50 / HOURS_PER_MONTH)
"""From the advisor's lowest bracket (5 %) to where a capacity is rarely to be had."""
