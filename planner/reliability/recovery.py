"""Restart times after a failure, and the number of spare nodes."""

from functools import lru_cache
from math import ceil, exp, sqrt
from typing import Final, NamedTuple


class RestartTerm(NamedTuple):
    """Seconds of one part of a restart, with the range."""

    low_s: float
    expected_s: float
    high_s: float


RESTART_TERMS: Final = {
    # A hang is detected when heartbeats stop: the default of NVIDIA's resiliency extension is 300 s during training
    # (rank_heartbeat_timeout of Megatron Bridge). A raised error is detected at once; NCCL times out after 600 s.
    "detect": RestartTerm(30, 300, 1800),
    # A spare node, or one that the scheduler places, replaces the faulty node. Estimate.
    "replace": RestartTerm(60, 180, 900),
    # Containers and libraries start, and process groups are formed. Estimate. MegaScale (arXiv 2402.15627, section 4)
    # reduced the latter from a quarter of an hour to less than 30 s on more than 10,000 GPUs.
    "launch": RestartTerm(60, 120, 900),
    # The first steps compile, autotune and fill the loader's caches. Estimate.
    "warm_up": RestartTerm(20, 60, 300),
}
"""Parts of a restart without reading the checkpoint. Their sum is 11 minutes, the median time between automatic retries
on 504 B200 (arXiv 2605.09370, abstract)."""
RESTART_S: Final = sum(term.expected_s for term in RESTART_TERMS.values())
SERVING_RESTART_S: Final = 900.0
"""Seconds until a lost serving replica on Spot is replaced: a new node starts, loads the weights and answers. Estimate,
5 to 30 minutes."""

NODE_LOSS_CAUSES: Final = ("gpu", "gpu_memory", "network", "host", "storage")
"""Causes of interruptions after which a node does not return by itself."""
REPAIR_HOURS: Final = {"cloud": 4.0, "on_prem": 72.0}
"""Hours until a failed node is replaced or repaired. Estimates: 1 to 24 hours where the provider moves the instance to
another host, one to seven days where a part is ordered."""
SPARE_RISK: Final = 0.01
"""Accepted probability that more nodes are out of service at once than there are spares. Our own choice."""


@lru_cache(maxsize=1024)
def spare_nodes(nodes_lost_per_hour: float, repair_hours: float) -> int:
    """Return the fewest spare nodes with P(more nodes under repair) <= 1 %, for a Poisson number under repair."""
    mean = nodes_lost_per_hour * repair_hours
    if mean > 500:
        return ceil(mean + 2.33 * sqrt(mean))
    spare, term = 0, exp(-mean)
    beyond = 1 - term
    while beyond > SPARE_RISK:
        spare += 1
        term *= mean / spare
        beyond -= term
    return spare
