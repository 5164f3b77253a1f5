"""Rates at which providers reclaim Spot nodes."""

from typing import Final

from provider_catalog.units import HOURS_PER_MONTH

SPOT_RECLAIMS_PER_NODE_HOUR: Final = 0.20 / HOURS_PER_MONTH
"""Reclaims per Spot node and hour. The highest bracket of AWS Spot Instance Advisor starts at 20 % of instances
reclaimed per month and includes GPU types. Estimate; Azure publishes eviction rates of 0-20 %."""
SPOT_RECLAIMS_RANGE: Final = (0.05 / HOURS_PER_MONTH, 0.50 / HOURS_PER_MONTH)
"""Range of the rate: from the advisor's lowest bracket (5 %) to capacity that is rarely available."""
