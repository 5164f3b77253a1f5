"""The failure model of one workload on one kind of node: interruptions, checkpoints, restarts and goodput."""

from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import NamedTuple

from planner.plan.reliability import Reliability
from planner.reliability.checkpoints import ON_PREM_STORAGE, CheckpointStore, Mode, fits_host_memory, stall_s
from planner.reliability.recovery import (
    NODE_LOSS_CAUSES,
    REPAIR_HOURS,
    RESTART_S,
    RESTART_TERMS,
    SPARE_RISK,
    spare_nodes,
)
from planner.reliability.spot_reclaims import SPOT_RECLAIMS_PER_NODE_HOUR, SPOT_RECLAIMS_RANGE
from planner.reliability.young_daly import MIN_GOODPUT, CheckpointTiming, TimeShares, best_timing, time_shares
from planner.spec.fault_tolerance import FaultTolerance
from provider_catalog.interruptions import InterruptionRate

SHARED_PREFERRED_WITHIN = 0.01
"""Goodput that the shared file system may cost before checkpoints go to the object store. A file system is preferred
because training software writes to a folder without extra set-up. Our own choice."""
UNKNOWN_RATE = InterruptionRate(0.0, 0.0, 0.0, "no interruptions are assumed")


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """Interruptions, checkpoint stores and host memory of a kind of node where it runs."""

    rate: InterruptionRate = UNKNOWN_RATE
    """Interruptions per GPU hour."""
    causes: tuple[tuple[str, float], ...] = ()
    """(cause, share of the interruptions)."""
    stores: tuple[CheckpointStore, ...] = (ON_PREM_STORAGE,)
    """Available checkpoint stores, the preferred one first."""
    host_memory_bytes: float | None = None
    """Host memory of one node; None if unknown."""
    owned: bool = False
    """Whether the nodes are on-premises."""


class CheckpointPlan(NamedTuple):
    """Store, mode and timing of the checkpoints of a run on some number of nodes."""

    store: CheckpointStore
    mode: Mode
    write_s: float
    """Seconds to write one checkpoint."""
    timing: CheckpointTiming
    mtbf_s: float
    """Mean time between failures of the whole run."""
    shares: TimeShares
    """Shares of the run's time."""

    @property
    def goodput(self) -> float:
        """Share of the time that advances the work."""
        return max(MIN_GOODPUT, self.shares.useful)


@dataclass(frozen=True)
class FailureModel:
    """Failures of one workload on one kind of node."""

    node_environment: NodeEnvironment
    tolerance: FaultTolerance
    checkpoint_bytes: int
    gpus_per_node: int
    _checkpoint_plans: dict[tuple[int, int], CheckpointPlan] = field(default_factory=dict)

    def goodput(self, gpus: int, spot_nodes: int = 0) -> float:
        """Return the share of the time that advances the work; a failed GPU or reclaimed node stops the whole run."""
        return self.checkpoint_plan(gpus, spot_nodes).goodput

    def checkpoint_plan(self, gpus: int, spot_nodes: int = 0) -> CheckpointPlan:
        """Return the checkpoints and restarts of a run.

        Args:
            gpus: GPUs of the run.
            spot_nodes: Nodes of the run on Spot.
        """
        key = (gpus, spot_nodes)
        if key not in self._checkpoint_plans:
            self._checkpoint_plans[key] = self._best(gpus, self._mtbf_s(gpus, spot_nodes, self.rate.expected))
        return self._checkpoint_plans[key]

    @cached_property
    def rate(self) -> InterruptionRate:
        """Interruptions per GPU hour."""
        days = self.tolerance.node_mtbf_days
        if days is None:
            return self.node_environment.rate
        each = 1 / (days * 24 * self.gpus_per_node)
        return InterruptionRate(each, each, each, "workload.fault_tolerance.node_mtbf_days")

    def _mtbf_s(
        self, gpus: int, spot_nodes: int, per_gpu_hour: float, reclaims: float = SPOT_RECLAIMS_PER_NODE_HOUR
    ) -> float:
        per_hour = gpus * per_gpu_hour + spot_nodes * reclaims
        return 3600 / per_hour if per_hour else inf

    @cached_property
    def _stores(self) -> tuple[CheckpointStore, ...]:
        given = self.tolerance.storage_gb_per_s
        stores = self.node_environment.stores
        if self.tolerance.checkpoint_to != "auto":
            stores = tuple(store for store in stores if store.target == self.tolerance.checkpoint_to) or stores
        elif given is None:
            stores = tuple(store for store in stores if store.holds(self.checkpoint_bytes)) or stores[-1:]
        if given is None:
            return stores
        first = stores[0]
        return (CheckpointStore(first.target, first.name, given * 1e9, given * 1e9, inf, first.room_bytes),)

    def _best(self, gpus: int, mtbf_s: float) -> CheckpointPlan:
        preferred, *others = (self.on_store(store, gpus, mtbf_s) for store in self._stores)
        for other in others:
            if other.shares.useful > preferred.shares.useful + SHARED_PREFERRED_WITHIN:
                preferred = other
        return preferred

    def on_store(self, store: CheckpointStore, gpus: int, mtbf_s: float) -> CheckpointPlan:
        """Return the checkpoint plan with all checkpoints on one store."""
        nodes = max(1, gpus // self.gpus_per_node)
        size = self.checkpoint_bytes
        mode: Mode = self.tolerance.checkpoint
        if not fits_host_memory(size, nodes, self.node_environment.host_memory_bytes):
            mode = "sync"
        write_s = store.write_s(size, nodes)
        stall = stall_s(size, write_s, gpus, mode)
        given = self.tolerance.restart_minutes
        restart_s = RESTART_S + store.read_s(size, nodes) if given is None else given * 60
        timing = best_timing(stall, restart_s, write_s if mode == "async" else 0.0, mtbf_s)
        return CheckpointPlan(store, mode, write_s, timing, mtbf_s, time_shares(timing, mtbf_s))

    def between_steps_s(self, gpus: int, step_s: float, spot_nodes: int = 0) -> dict[str, float]:
        """Return the mean seconds of checkpoints, lost work and restarts per step.

        Their sum and the step time together are the step time over goodput.

        Args:
            gpus: GPUs of the run.
            step_s: Seconds of one optimizer step.
            spot_nodes: Nodes of the run on Spot.
        """
        chosen = self.checkpoint_plan(gpus, spot_nodes)
        parts = {name: share for name, share in chosen.shares._asdict().items() if name != "useful"}
        beside_s, total = step_s / chosen.goodput - step_s, sum(parts.values())
        return {name: beside_s * share / total if total else 0.0 for name, share in parts.items()}

    def restart_parts_s(self, store: CheckpointStore, nodes: int) -> dict[str, float]:
        """Return the seconds of a restart by part."""
        given = self.tolerance.restart_minutes
        if given is not None:
            return {"given": given * 60}
        parts = {name: term.expected_s for name, term in RESTART_TERMS.items()}
        return {**parts, "read_checkpoint": store.read_s(self.checkpoint_bytes, nodes)}

    def reliability(self, gpus: int, days: float, step_s: float, spot_nodes: int = 0) -> Reliability:
        """Return the reliability part of a plan.

        Args:
            gpus: GPUs of the run.
            days: Length of the run, lost time included.
            step_s: Seconds of one optimizer step.
            spot_nodes: Nodes of the run on Spot.
        """
        chosen, rate = self.checkpoint_plan(gpus, spot_nodes), self.rate
        timing = chosen.timing
        nodes = max(1, gpus // self.gpus_per_node)
        failures_s = self._mtbf_s(gpus, 0, rate.expected)
        rarely, often = SPOT_RECLAIMS_RANGE
        slowest_s = self._mtbf_s(gpus, spot_nodes, rate.low, rarely)
        fastest_s = self._mtbf_s(gpus, spot_nodes, rate.high, often)
        parts = self.restart_parts_s(chosen.store, nodes)
        quick = sum(term.low_s for term in RESTART_TERMS.values()) + parts.get("read_checkpoint", 0.0)
        slow = sum(term.high_s for term in RESTART_TERMS.values()) + parts.get("read_checkpoint", 0.0)
        if "given" in parts:
            quick = slow = timing.restart_s
        per_hour = 3600 / chosen.mtbf_s
        failing = (3600 / failures_s) / per_hour if per_hour else 0.0
        causes = {cause: share * failing for cause, share in self.node_environment.causes}
        causes = {**causes, "spot_reclaim": 1 - failing} if spot_nodes else causes
        repair_hours = REPAIR_HOURS["on_prem" if self.node_environment.owned else "cloud"]
        lost = sum(share for cause, share in self.node_environment.causes if cause in NODE_LOSS_CAUSES)
        spares = spare_nodes(gpus * rate.expected * lost, repair_hours)
        interval_s = timing.interval_s if timing.interval_s < inf else days * 86400
        hours = days * 24
        return Reliability(
            mtbf_hours=_hours(chosen.mtbf_s, hours),
            mtbf_hours_low=_hours(fastest_s, hours),
            mtbf_hours_high=_hours(slowest_s, hours),
            failure_mtbf_hours=_hours(failures_s, hours),
            rate_source=rate.source,
            causes=causes,
            interruptions=hours * 3600 / chosen.mtbf_s,
            interruptions_low=hours * 3600 / slowest_s,
            interruptions_high=hours * 3600 / fastest_s,
            checkpoint_bytes=self.checkpoint_bytes,
            checkpoint=chosen.mode,
            checkpoint_to=chosen.store.target,
            write_s=chosen.write_s,
            stall_s=timing.stall_s,
            lag_s=timing.lag_s,
            interval_s=interval_s,
            interval_steps=max(1, round(interval_s / step_s)),
            restart_s=timing.restart_s,
            restart_s_low=quick,
            restart_s_high=slow,
            restart_parts_s=parts,
            time_shares=chosen.shares._asdict(),
            goodput_low=_useful(chosen, slow, fastest_s),
            goodput_high=_useful(chosen, quick, slowest_s),
            spare_nodes=spares,
            spare_reason=(
                f"the probability that more than {spares} of {nodes} nodes are out of service at once is below"
                f" {SPARE_RISK:.0%}: {lost:.0%} of the interruptions take out a node, for {repair_hours:g} hours"
            ),
        )


def _useful(chosen: CheckpointPlan, restart_s: float, mtbf_s: float) -> float:
    return max(MIN_GOODPUT, time_shares(chosen.timing._replace(restart_s=restart_s), mtbf_s).useful)


def _hours(mtbf_s: float, run_hours: float) -> float:
    """Return the MTBF in hours; JSON has no infinity, so a run without failures gets a thousand run lengths."""
    return mtbf_s / 3600 if mtbf_s < inf else 1000 * run_hours


def best_timing_at(reliability: Reliability, mtbf_hours: float) -> CheckpointTiming:
    """Return a plan's checkpoint timing with the interval that is best at another MTBF, given in hours."""
    return best_timing(reliability.stall_s, reliability.restart_s, reliability.lag_s, mtbf_hours * 3600)
