"""Share of a data sheet's figure that real kernels reach. Estimates, each with its range."""

MEMORY_BANDWIDTH_EFFICIENCY = 0.80
"""Of the memory bandwidth, by streaming kernels. Estimate, 0.75 to 0.9."""
