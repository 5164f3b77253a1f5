"""What of a search fits into memory: asked as seldom as what is known allows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol

from planner.training.degrees import Degree
from planner.training.layer_time import Split
from planner.training.near_misses import Nearest
from planner.training.shape import Shape
from planner.vocabulary import ZeroStage

MORE_THAN_ANY: Final = 1 << 30
NOT_ASKED: Final = (0, MORE_THAN_ANY)
"""(most replicas on which a shape is known not to fit, fewest on which it is known to)."""


class MemoryJudge(Protocol):
    """What knows the memory of a complete layout."""

    def memory_ratio(self, shape: Shape, data: int, zero_stage: ZeroStage, micro_batches: int) -> float:
        """Memory of the fullest GPU over what may be used."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """What fits on one kind of node.

    Attributes:
        judge: asked where nothing is known yet.
        capacity: share of the usable memory that a layout may take; infinite: everything fits.
        nearest: where layouts that do not fit are noted.
        smallest_micro_batch: that the search tries.
        degrees: numbers of replicas to try for a split and a pipeline, smallest first.
    """

    judge: MemoryJudge
    capacity: float
    nearest: Nearest
    smallest_micro_batch: int
    degrees: Callable[[Split, int], list[Degree]]
    _unfit: dict[tuple[object, ...], tuple[int, int]] = field(default_factory=dict)
    """(smallest micro-batch, most replicas) known not to fit: larger ones on as many or fewer do not either."""
    _known: dict[tuple[Shape, ZeroStage], tuple[int, int]] = field(default_factory=dict)

    def hopeful(self, plain: Shape, zero_stage: ZeroStage, degree: Degree) -> bool:
        """Whether a shape fits in 1F1B on the most replicas, on which it takes the least memory.

        What does not fit in smaller micro-batches on more replicas does not fit at all, which saves asking again.
        """
        split, pipeline = plain.split, plain.pipeline
        key = (split.tensor, split.context, split.expert, split.recompute, pipeline, zero_stage)
        if key not in self._unfit:
            size = self.smallest_micro_batch
            least = split._replace(micro_batch=size)
            # The smallest micro-batch on the most replicas takes the least of all.
            degrees = self.degrees(least, plain.pipeline)
            fits = not degrees or self.fits(
                plain._replace(split=least), zero_stage, degrees[-1].data, degrees[-1].micro_batches
            )
            self._unfit[key] = (MORE_THAN_ANY, 0) if fits else (size, degrees[-1].data)
        smallest, most = self._unfit[key]
        if split.micro_batch >= smallest and degree.data <= most:
            return False
        if self.fits(plain, zero_stage, degree.data, degree.micro_batches):
            return True
        self._unfit[key] = (split.micro_batch, degree.data)
        return False

    def hopeful_stages(self, plain: Shape, stages: list[ZeroStage], degree: Degree) -> list[ZeroStage]:
        """ZeRO stages without the low ones at which a shape does not fit in 1F1B; the highest always stays."""
        while len(stages) > 1 and not self.hopeful(plain, stages[0], degree):
            stages = stages[1:]
        return stages

    def is_known_unfit(self, shape: Shape, zero_stage: ZeroStage, data: int) -> bool:
        """Whether a shape was seen not to fit on so many replicas or more."""
        return data <= self._known.get((shape, zero_stage), NOT_ASKED)[0]

    def fits(self, shape: Shape, zero_stage: ZeroStage, data: int, micro_batches: int) -> bool:
        """Whether a complete layout fits."""
        if self.capacity == inf:
            return True
        # More replicas never take more memory.
        key = (shape, zero_stage)
        unfit, fit = self._known.get(key, NOT_ASKED)
        if unfit < data < fit:
            ratio = self.judge.memory_ratio(shape, data, zero_stage, micro_batches)
            if ratio > self.capacity:
                if ratio < self.nearest.memory_ratio:
                    self.nearest.note_memory(ratio, shape.layout(data, zero_stage), micro_batches)
                unfit = data
            else:
                fit = data
            self._known[key] = (unfit, fit)
        return data >= fit
