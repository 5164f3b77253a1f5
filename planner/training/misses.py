"""What a search remembers of layouts that do not serve."""

from dataclasses import dataclass
from math import inf

from planner.parallelism import Layout


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
