"""Data-parallel degrees that the layout search tries, and their share of the step time."""

from collections.abc import Callable
from typing import NamedTuple

from planner.sizing.legal_layouts import divisors


class DataParallelDegree(NamedTuple):
    """A number of replicas to try."""

    data: int
    micro_batches: int
    """Micro-batches of each replica in a step."""
    gpus: int
    """GPUs of all replicas."""
    straggler_factor: float
    """Time of the slowest of those GPUs over that of a mean one."""


class MemoizedTimes(NamedTuple):
    """Memoised seconds of a step in data-parallel communication and optimizer."""

    known: dict[int, float]
    """Seconds by number of replicas."""
    ask: Callable[[DataParallelDegree], float]
    """Computes the seconds of a degree that is not in `known`."""


def whole_node_replicas(
    batch_sequences: int, gpus_per_node: int, max_gpus: int
) -> Callable[[int, int], list[tuple[int, int]]]:
    """Return a function that lists the data-parallel degrees which divide the batch evenly and fill whole nodes.

    The function takes the GPUs of a replica and the micro-batch size; it returns pairs of data-parallel degree and
    micro-batches of each replica.
    """
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
