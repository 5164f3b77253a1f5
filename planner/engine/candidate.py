"""What an engine hands to the search: configurations that serve, and misses with their reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from planner.errors import Exceeded
from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.plan import InferencePerformance, TrainingPerformance
from planner.reliability.failures import FailureModel, NodeEnvironment
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration that does the work on some number of nodes of one kind."""

    nodes: int
    layout: Layout
    weights: Precision
    kv_cache: Precision
    memory: MemoryPerGpu
    performance: TrainingPerformance | InferencePerformance
    failures: FailureModel | None = None
    """Of a training run."""

    @property
    def gang(self) -> int:
        """Nodes that must work at the same time: all of a training run, those of one replica when serving."""
        return self.layout.gang_nodes(self.nodes, training=isinstance(self.performance, TrainingPerformance))


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A configuration that does not, why, and by what factor it falls short (1.0 would do)."""

    reason: str
    shortfall: float
    fits_memory: bool = False
    """Whether the model at least fits: then time, SLO, node count or budget is what it misses."""
    exceeded: Exceeded | None = None
    """The budget, where that is all that it misses: it does the work."""
    bound: bool = False
    """Whether it falls short by more than `shortfall`, which is all that is known at once."""

    @property
    def serves(self) -> bool:
        """Whether it does the work, and the budget is all that it misses."""
        return self.exceeded is not None

    @property
    def distance(self) -> tuple[bool, bool, float]:
        """How far from serving: what serves is nearest, and what fits is nearer than what does not."""
        return (not self.serves, not self.fits_memory, self.shortfall)


@dataclass(frozen=True, slots=True)
class Incumbents:
    """Runs on other machines that a new one has to beat in cost or in time."""

    usd_per_node_hour: float = 0.0
    """Least that an hour of the new run's nodes costs."""
    runs: tuple[tuple[float, float], ...] = ()
    """(USD, days) of each, cheapest first and ever faster."""

    def days_beaten(self, nodes: float) -> float:
        """Days from which a run on so many nodes is no cheaper and no faster than one of them; infinite without."""
        usd_per_day = self.usd_per_node_hour * nodes * 24
        if not usd_per_day:
            return inf
        return min((max(usd / usd_per_day, days) for usd, days in self.runs), default=inf)


NO_INCUMBENTS: Final = Incumbents()


class Engine(Protocol):
    """Evaluates one workload of one model on nodes of any kind."""

    @property
    def name(self) -> str:
        """What every number of the engine is signed with."""
        ...

    def candidates(
        self,
        node: NodeTopology,
        max_nodes: int,
        multi_node: bool,
        node_environment: NodeEnvironment | None = None,
        incumbents: Incumbents = NO_INCUMBENTS,
    ) -> Iterable[Candidate | NearMiss]:
        """Configurations worth pricing on this kind of node in its place, and the nearest misses.

        The cheapest is among them, and those that none of the rivals beats.
        """
        ...

    def least_node_hours(self, node: NodeTopology) -> float:
        """Node hours that the work takes at least; 0 where it has no end."""
        ...
