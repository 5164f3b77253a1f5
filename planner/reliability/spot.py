"""How often Spot nodes are reclaimed."""

from typing import Final

SPOT_RECLAIMS_PER_NODE_HOUR: Final = 0.20 / 730
"""AWS Spot Instance Advisor's highest bracket starts at 20 % of instances reclaimed in a month, and GPU types sit in
it. Estimate, 0.05 to 0.5 a month; Azure publishes the like as eviction rates of 0-20 %."""
