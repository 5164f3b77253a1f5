"""Results that an engine returns to the search: candidates that serve, and near misses with a reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf
from typing import Final, Protocol

from planner.errors import BudgetExcess
from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.reliability.failures import FailureModel, NodeEnvironment
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration that carries the workload on a number of nodes of one machine type."""

    nodes: int
    layout: Layout
    weights: Precision
    kv_cache: Precision
    memory: MemoryPerGpu
    performance: TrainingPerformance | InferencePerformance
    failures: FailureModel | None = None
    """Failure model of a training run; None for serving."""

    @property
    def gang(self) -> int:
        """Nodes that must work at the same time: all of a training run, those of one replica when serving."""
        return self.layout.gang_nodes(self.nodes, training=isinstance(self.performance, TrainingPerformance))

    def spare_nodes(self, spare_replicas: int) -> int:
        """Nodes of a number of spare replicas; at least one gang is never spare."""
        return min(self.nodes - self.gang, ceil(spare_replicas * self.nodes / self.layout.data - 1e-9))


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A configuration that does not carry the workload."""

    reason: str
    shortfall: float
    """Factor by which it misses its constraint; at 1.0 it would meet it."""
    fits_memory: bool = False
    """Whether the model fits into GPU memory; it then misses time, SLO, node count or budget."""
    budget_excess: BudgetExcess | None = None
    """By how much it exceeds the budget; None unless the budget is all that it misses."""
    bound: bool = False
    """Whether `shortfall` is only a lower bound."""

    @property
    def only_over_budget(self) -> bool:
        """Whether it carries the workload and misses only the budget."""
        return self.budget_excess is not None

    @property
    def distance(self) -> tuple[bool, bool, float]:
        """Sort key: misses of the budget alone come first, then those that fit into memory, then by shortfall."""
        return (not self.only_over_budget, not self.fits_memory, self.shortfall)


@dataclass(frozen=True, slots=True)
class Incumbents:
    """Best runs found so far, which a run on another machine has to beat in cost or in time."""

    usd_per_node_hour: float = 0.0
    """Lower bound on the price of a node-hour of the other machine."""
    runs: tuple[tuple[float, float], ...] = ()
    """(USD, days) of each run, cheapest first; each is faster than the one before."""
    idle_h: float = 0.0
    """Hours for which nodes are paid beside the run, at least."""
    paid_h_per_run_h: float = 1.0
    """Hours for which nodes are paid for each hour of the run, at least."""

    def days_beaten(self, nodes: float) -> float:
        """Returns the days from which a run on `nodes` nodes is dominated by an incumbent; infinite if never."""
        usd_per_hour = self.usd_per_node_hour * nodes
        if not usd_per_hour:
            return inf
        usd_per_day, idle_usd = usd_per_hour * 24 * self.paid_h_per_run_h, usd_per_hour * self.idle_h
        return min((max((usd - idle_usd) / usd_per_day, days) for usd, days in self.runs), default=inf)


NO_INCUMBENTS: Final = Incumbents()


class Engine(Protocol):
    """Evaluates one workload of one model on any machine type."""

    @property
    def name(self) -> str:
        """Name of the engine, which stands beside every number that it predicts."""
        ...

    def candidates(
        self,
        node: NodeTopology,
        max_nodes: int,
        multi_node: bool,
        node_environment: NodeEnvironment | None = None,
        incumbents: Incumbents = NO_INCUMBENTS,
    ) -> Iterable[Candidate | NearMiss]:
        """Returns the configurations worth pricing on nodes of this type, and the nearest misses.

        They include the cheapest configuration and every one that no incumbent dominates.
        """
        ...

    def least_node_hours(self, node: NodeTopology) -> float:
        """Returns a lower bound on the node-hours of the work; 0 for serving, which has no end."""
        ...
