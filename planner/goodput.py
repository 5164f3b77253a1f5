"""Share of time that advances the work when nodes are lost now and then."""

from math import sqrt

INTERRUPTIONS_PER_GPU_HOUR = 419 / (16384 * 54 * 24)
"""419 unexpected interruptions of 16,384 GPUs in 54 days (Llama 3, arXiv 2407.21783, Table 5)."""
SPOT_INTERRUPTIONS_PER_NODE_HOUR = 0.20 / 730
"""AWS Spot Instance Advisor's highest bracket starts at 20 % of instances reclaimed in a month, and GPU types sit in
it. Estimate, 0.05 to 0.5 a month; Azure publishes the like as eviction rates of 0-20 %."""
CHECKPOINT_S = 60.0
"""Time that a checkpoint stops training. Estimate, 10 to 300 s."""
RESTART_S = 900.0
"""From the loss of a node to work again: replacement, load, first step. Estimate, 5 to 30 minutes."""


def goodput(interruptions_per_hour: float) -> float:
    """Useful share of time at a rate of interruptions that stop all of the work.

    With checkpoint time d, interval t and mean time between failures M the loss is d/t + t/(2M) + R/M, least at
    t = sqrt(2·d·M), where it is sqrt(2·d/M) + R/M (Young 1974; Daly 2006, first-order optimum).
    """
    if interruptions_per_hour <= 0:
        return 1.0
    mtbf_s = 3600 / interruptions_per_hour
    return max(0.01, 1 - sqrt(2 * CHECKPOINT_S / mtbf_s) - RESTART_S / mtbf_s)


def optimal_interval_s(interruptions_per_hour: float) -> float:
    """Work between two checkpoints that loses least, sqrt(2·d·M) (Young 1974, the first-order optimum)."""
    return sqrt(2 * CHECKPOINT_S * 3600 / interruptions_per_hour)


def training_goodput(gpus: int, spot_nodes: int = 0) -> float:
    """Goodput of a training gang: any failed GPU or reclaimed node stops all of it."""
    return goodput(gpus * INTERRUPTIONS_PER_GPU_HOUR + spot_nodes * SPOT_INTERRUPTIONS_PER_NODE_HOUR)
