"""Layouts that do not serve: what a search remembers of them, and how they are told."""

from dataclasses import dataclass
from math import inf

from planner.plan.layout import Layout, MemoryPerGpu


@dataclass(slots=True)
class Nearest:
    """The layouts that came nearest to serving."""

    memory_ratio: float = inf
    memory: tuple[Layout, int] | None = None
    days: float = inf
    late: tuple[Layout, int, float] | None = None

    def note_memory(self, ratio: float, layout: Layout, micro_batches: int) -> None:
        """A layout that does not fit."""
        if ratio < self.memory_ratio:
            self.memory_ratio, self.memory = ratio, (layout, micro_batches)

    def note_days(self, days: float, layout: Layout, micro_batches: int, step_s: float) -> None:
        """A layout that fits and is late."""
        if days < self.days:
            self.days, self.late = days, (layout, micro_batches, step_s)


def memory_reason(layout: Layout, memory: MemoryPerGpu) -> str:
    """Why a layout does not fit."""
    gib = 2**30
    return (
        f"{layout.training_name} ZeRO {layout.zero_stage} on {layout.gpus} GPU{'' if layout.gpus == 1 else 's'} needs"
        f" {memory.total_bytes / gib:.1f} GiB a GPU ({memory.rank}), {memory.capacity_bytes / gib:.1f} GiB may be used"
    )
