"""How often Spot nodes are reclaimed."""

from typing import Final

SPOT_RECLAIMS_PER_NODE_HOUR: Final = 0.20 / 730
"""AWS Spot Instance Advisor's highest bracket starts at 20 % of instances reclaimed in a month, and GPU types sit in
it. Estimate; Azure publishes the like as eviction rates of 0-20 %."""
SPOT_RECLAIMS_RANGE: Final = (0.05 / 730, 0.50 / 730)
"""From the advisor's lowest bracket (5 %) to where a capacity is rarely to be had."""
