"""Memoised memory checks of the layout search."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol

from planner.training.closest_layouts import ClosestLayouts
from planner.training.data_parallel_degrees import DataParallelDegree
from planner.training.layer_time import Split
from planner.training.replica_layout import ReplicaLayout
from planner.vocabulary import ZeroStage

UNLIMITED: Final = 1 << 30
NOTHING_KNOWN: Final = (0, UNLIMITED)
"""(most replicas known not to fit, fewest replicas known to fit) of a layout that was never checked."""


class MemoryModel(Protocol):
    """Computes the memory of complete layouts."""

    def memory_ratio(self, replica: ReplicaLayout, data: int, zero_stage: ZeroStage, micro_batches: int) -> float:
        """Return the memory of the fullest GPU over its usable memory."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """Tells which layouts fit on one kind of node.

    Attributes:
        memory_model: Computes the memory of a layout whose answer is not known yet.
        capacity: Share of the usable memory that a layout may take; infinite: everything fits.
        nearest: Records the closest layout that does not fit.
        smallest_micro_batch: Smallest micro-batch that the search tries.
        degrees: Returns the numbers of replicas to try for a split and a pipeline, smallest first.
    """

    memory_model: MemoryModel
    capacity: float
    nearest: ClosestLayouts
    smallest_micro_batch: int
    degrees: Callable[[Split, int], list[DataParallelDegree]]
    _unfit: dict[tuple[object, ...], tuple[int, int]] = field(default_factory=dict)
    """(smallest micro-batch, most replicas) known not to fit. Larger micro-batches on fewer replicas fit no better."""
    _known: dict[tuple[ReplicaLayout, ZeroStage], tuple[int, int]] = field(default_factory=dict)

    def may_fit(self, plain: ReplicaLayout, zero_stage: ZeroStage, degree: DataParallelDegree) -> bool:
        """Return whether a layout fits in 1F1B, the schedule with the least memory, at a data-parallel degree.

        A layout that did not fit with smaller micro-batches on more replicas is refused without a new check.
        """
        split, pipeline = plain.split, plain.pipeline
        key = (split.tensor, split.context, split.expert, split.recompute, pipeline, zero_stage)
        if key not in self._unfit:
            size = self.smallest_micro_batch
            least = split._replace(micro_batch=size)
            # The smallest micro-batch on the most replicas takes the least memory.
            degrees = self.degrees(least, plain.pipeline)
            fits = not degrees or self.fits(
                plain._replace(split=least), zero_stage, degrees[-1].data, degrees[-1].micro_batches
            )
            self._unfit[key] = (UNLIMITED, 0) if fits else (size, degrees[-1].data)
        smallest, most = self._unfit[key]
        if split.micro_batch >= smallest and degree.data <= most:
            return False
        if self.fits(plain, zero_stage, degree.data, degree.micro_batches):
            return True
        self._unfit[key] = (split.micro_batch, degree.data)
        return False

    def stages_that_may_fit(
        self, plain: ReplicaLayout, stages: list[ZeroStage], degree: DataParallelDegree
    ) -> list[ZeroStage]:
        """Return the ZeRO stages without the lowest ones that do not fit in 1F1B; the highest one always stays."""
        while len(stages) > 1 and not self.may_fit(plain, stages[0], degree):
            stages = stages[1:]
        return stages

    def is_known_unfit(self, replica: ReplicaLayout, zero_stage: ZeroStage, data: int) -> bool:
        """Return whether a layout is known not to fit on `data` replicas."""
        return data <= self._known.get((replica, zero_stage), NOTHING_KNOWN)[0]

    def fits(self, replica: ReplicaLayout, zero_stage: ZeroStage, data: int, micro_batches: int) -> bool:
        """Return whether a complete layout fits."""
        if self.capacity == inf:
            return True
        # More replicas never take more memory.
        key = (replica, zero_stage)
        unfit, fit = self._known.get(key, NOTHING_KNOWN)
        if unfit < data < fit:
            ratio = self.memory_model.memory_ratio(replica, data, zero_stage, micro_batches)
            if ratio > self.capacity:
                if ratio < self.nearest.memory_ratio:
                    self.nearest.record_over_memory(ratio, replica.layout(data, zero_stage), micro_batches)
                unfit = data
            else:
                fit = data
            self._known[key] = (unfit, fit)
        return data >= fit
