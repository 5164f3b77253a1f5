"""From a failure to work again, and the nodes that stand by."""

from functools import lru_cache
from math import ceil, exp, sqrt
from typing import Final, NamedTuple


class RestartTerm(NamedTuple):
    """Seconds of one part of a restart, with their range."""

    low_s: float
    expected_s: float
    high_s: float


RESTART_TERMS: Final = {
    # A hang shows when heartbeats stop: 300 s are the default of NVIDIA's resiliency extension once training runs
    # (rank_heartbeat_timeout of Megatron Bridge). An error that is raised shows at once, NCCL times out after 600 s.
    "detect": RestartTerm(30, 300, 1800),
    # The faulty node is taken out and another one joins. Estimate: a spare node or a placement of the scheduler.
    "replace": RestartTerm(60, 180, 900),
    # Containers, libraries, process groups. Estimate; MegaScale (arXiv 2402.15627, section 4) brought the groups of
    # more than 10,000 GPUs from a quarter of an hour to less than 30 s.
    "launch": RestartTerm(60, 120, 900),
    # First steps: compilation, autotuning, caches of the loader. Estimate.
    "warm_up": RestartTerm(20, 60, 300),
}
"""What a restart takes beside reading the checkpoint. Together 11 minutes, which is the median time between automatic
retries on 504 B200 (arXiv 2605.09370, abstract)."""
RESTART_S: Final = sum(term.expected_s for term in RESTART_TERMS.values())
SERVING_RESTART_S: Final = 900.0
"""Of a serving replica on Spot: another node, the weights, the first answer. Estimate, 5 to 30 minutes."""

NODE_LOSS_CAUSES: Final = ("gpu", "gpu_memory", "network", "host", "storage")
"""Interruptions after which a node does not come back by itself."""
REPAIR_HOURS: Final = {"cloud": 4.0, "own": 72.0}
"""Until a node that was taken out is replaced or repaired. Estimates: 1 to 24 hours where the provider moves the
instance to another host, one to seven days where a part is ordered."""
SPARE_RISK: Final = 0.01
"""Chance that more nodes are out at once than stand by. Our own choice."""


@lru_cache(maxsize=1024)
def spare_nodes(nodes_lost_per_hour: float, repair_hours: float) -> int:
    """Fewest spare nodes with P(more than that are under repair) <= 1 %, the number under repair being Poisson."""
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
