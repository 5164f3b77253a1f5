"""The layouts that came closest to being feasible, and the message that reports them."""

from dataclasses import dataclass
from math import inf

from planner.plan.layout import Layout, MemoryPerGpu


@dataclass(slots=True)
class ClosestLayouts:
    """The layouts that came closest to being feasible."""

    memory_ratio: float = inf
    """Least memory of a layout that does not fit, over the usable memory."""
    memory: tuple[Layout, int] | None = None
    """The layout that comes closest to fitting, and its micro-batches."""
    days: float = inf
    """Days of the least late layout."""
    late: tuple[Layout, int, float] | None = None
    """The fitting layout that comes closest to the deadline, its micro-batches and its step time in seconds."""

    def record_over_memory(self, ratio: float, layout: Layout, micro_batches: int) -> None:
        """Record a layout that does not fit into memory."""
        if ratio < self.memory_ratio:
            self.memory_ratio, self.memory = ratio, (layout, micro_batches)

    def record_late(self, days: float, layout: Layout, micro_batches: int, step_s: float) -> None:
        """Record a layout that fits and misses the deadline."""
        if days < self.days:
            self.days, self.late = days, (layout, micro_batches, step_s)


def memory_reason(layout: Layout, memory: MemoryPerGpu) -> str:
    """Return the reason why a layout does not fit."""
    gib = 2**30
    return (
        f"{layout.training_name} ZeRO {layout.zero_stage} on {layout.gpus} GPU{'' if layout.gpus == 1 else 's'} needs"
        f" {memory.total_bytes / gib:.1f} GiB a GPU ({memory.rank}), {memory.capacity_bytes / gib:.1f} GiB may be used"
    )
