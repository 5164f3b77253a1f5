"""Data-parallel degrees that a search tries, and what they cost a step."""

from collections.abc import Callable
from typing import NamedTuple

from planner.sizing.legal_layouts import divisors


class Degree(NamedTuple):
    """A number of replicas to try."""

    data: int
    micro_batches: int
    gpus: int
    pacing: float
    """Time of the slowest of those GPUs over that of a mean one."""


class MemoizedTimes(NamedTuple):
    """Seconds of a step that replicas and optimizer take, asked for when needed."""

    known: dict[int, float]
    """By number of replicas."""
    ask: Callable[[Degree], float]


def whole_node_replicas(
    batch_sequences: int, gpus_per_node: int, max_gpus: int
) -> Callable[[int, int], list[tuple[int, int]]]:
    """Data-parallel degrees that divide the batch into whole micro-batches and fill whole nodes."""
    known: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def replicas(per_replica: int, micro_batch: int) -> list[tuple[int, int]]:
        key = (per_replica, micro_batch)
        if key not in known:
            micro_batches, rest = divmod(batch_sequences, micro_batch)
            known[key] = [
                (data, micro_batches // data)
                for data in (divisors(micro_batches) if rest == 0 else ())
                if data * per_replica <= max_gpus and data * per_replica % gpus_per_node == 0
            ]
        return known[key]

    return replicas
