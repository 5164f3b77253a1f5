"""The number of replicas that keeps a percentile of TTFT."""

from collections.abc import Callable

from planner.engine.candidate import NearMiss
from planner.serving.queueing import TtftModel
from planner.serving.slo import latency
from planner.spec import Slo

MAX_REPLICAS = 1 << 20
"""Replicas beyond which more of them cannot help: each then has no queue left."""


def replicas_within(ttft_model: Callable[[int], TtftModel], slo: Slo, at_least: int) -> int | NearMiss:
    """Return the fewest replicas at which the SLO's percentile of TTFT holds, or the miss.

    More replicas never lengthen a wait, because they share the arrivals. The search doubles the number of replicas
    until the SLO holds and then bisects.

    Args:
        ttft_model: Returns the TTFT of one replica when that many replicas share the load.
        slo: SLO to keep.
        at_least: Replicas that carry the load at the SLO's means.
    """

    def holds(count: int) -> bool:
        return ttft_model(count).at(slo.percentile) * 1e3 <= slo.ttft_ms

    high = max(1, at_least)
    while not holds(high):
        if high >= MAX_REPLICAS:
            alone_ms = ttft_model(high).at(slo.percentile) * 1e3
            return NearMiss(
                f"TTFT {slo.percentile} of a request without any wait is {latency(alone_ms)},"
                f" the SLO is {latency(slo.ttft_ms)}",
                alone_ms / slo.ttft_ms,
                fits_memory=True,
            )
        high *= 2
    low = max(1, at_least, high // 2)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high
