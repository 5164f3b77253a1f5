"""Rates at which providers reclaim Spot nodes."""

from typing import Final

SPOT_RECLAIMS_PER_NODE_HOUR: Final = 0.20 / 730
"""Reclaims per Spot node and hour. The highest bracket of AWS Spot Instance Advisor starts at 20 % of instances
reclaimed per month and includes GPU types. Estimate; Azure publishes eviction rates of 0-20 %."""
SPOT_RECLAIMS_RANGE: Final = (0.05 / 730, 0.50 / 730)
"""Range of the rate: from the advisor's lowest bracket (5 %) to capacity that is rarely available."""
