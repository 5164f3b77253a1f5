"""The failure model of one workload on one kind of node: interruptions, checkpoints, restarts and goodput."""

from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import NamedTuple

from planner.plan.reliability import Reliability
from planner.reliability.checkpoints import OWN_STORAGE, Mode, Store, fits_host_memory, stall_s
from planner.reliability.recovery import (
    NODE_LOSS_CAUSES,
    REPAIR_HOURS,
    RESTART_S,
    RESTART_TERMS,
    SPARE_RISK,
    spare_nodes,
)
from planner.reliability.spot import SPOT_RECLAIMS_PER_NODE_HOUR, SPOT_RECLAIMS_RANGE
from planner.reliability.young_daly import LEAST_GOODPUT, CheckpointPace, TimeShares, best_pace, time_shares
from planner.spec.fault_tolerance import FaultTolerance
from provider_catalog.interruptions import InterruptionRate

SHARED_PREFERRED_WITHIN = 0.01
"""Goodput that the shared file system may cost before checkpoints go to the object store: a folder is what training
software writes to without more ado. Our own choice."""
UNKNOWN_RATE = InterruptionRate(0.0, 0.0, 0.0, "no interruption is planned with")


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """What the place of a node gives a training run beside its GPUs."""

    rate: InterruptionRate = UNKNOWN_RATE
    causes: tuple[tuple[str, float], ...] = ()
    stores: tuple[Store, ...] = (OWN_STORAGE,)
    """The first is preferred."""
    host_memory_bytes: float | None = None
    """Of a node; None where it is not known."""
    owned: bool = False


class Course(NamedTuple):
    """What checkpoints and restarts take on some number of nodes."""

    store: Store
    mode: Mode
    write_s: float
    pace: CheckpointPace
    mtbf_s: float
    shares: TimeShares

    @property
    def goodput(self) -> float:
        """Share of the time that advances the work."""
        return max(LEAST_GOODPUT, self.shares.useful)


@dataclass(frozen=True)
class FailureModel:
    """Failures of one workload on one kind of node."""

    node_environment: NodeEnvironment
    tolerance: FaultTolerance
    checkpoint_bytes: int
    gpus_per_node: int
    _courses: dict[tuple[int, int], Course] = field(default_factory=dict)

    def goodput(self, gpus: int, spot_nodes: int = 0) -> float:
        """Share of the time that advances the work: any failed GPU or reclaimed node stops all of it."""
        return self.course(gpus, spot_nodes).goodput

    def course(self, gpus: int, spot_nodes: int = 0) -> Course:
        """Checkpoints and restarts on some number of GPUs, of whose nodes some are on Spot."""
        key = (gpus, spot_nodes)
        if key not in self._courses:
            self._courses[key] = self._best(gpus, self._mtbf_s(gpus, spot_nodes, self.rate.expected))
        return self._courses[key]

    @cached_property
    def rate(self) -> InterruptionRate:
        """Interruptions of one GPU in an hour."""
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
    def _stores(self) -> tuple[Store, ...]:
        given = self.tolerance.storage_gb_per_s
        stores = self.node_environment.stores
        if self.tolerance.checkpoint_to != "auto":
            stores = tuple(store for store in stores if store.target == self.tolerance.checkpoint_to) or stores
        elif given is None:
            stores = tuple(store for store in stores if store.holds(self.checkpoint_bytes)) or stores[-1:]
        if given is None:
            return stores
        first = stores[0]
        return (Store(first.target, first.name, given * 1e9, given * 1e9, inf, first.room_bytes),)

    def _best(self, gpus: int, mtbf_s: float) -> Course:
        preferred, *others = (self.on_store(store, gpus, mtbf_s) for store in self._stores)
        for other in others:
            if other.shares.useful > preferred.shares.useful + SHARED_PREFERRED_WITHIN:
                preferred = other
        return preferred

    def on_store(self, store: Store, gpus: int, mtbf_s: float) -> Course:
        """The course with checkpoints on one store."""
        nodes = max(1, gpus // self.gpus_per_node)
        size = self.checkpoint_bytes
        mode: Mode = self.tolerance.checkpoint
        if not fits_host_memory(size, nodes, self.node_environment.host_memory_bytes):
            mode = "sync"
        write_s = store.write_s(size, nodes)
        stall = stall_s(size, write_s, gpus, mode)
        given = self.tolerance.restart_minutes
        restart_s = RESTART_S + store.read_s(size, nodes) if given is None else given * 60
        pace = best_pace(stall, restart_s, write_s if mode == "async" else 0.0, mtbf_s)
        return Course(store, mode, write_s, pace, mtbf_s, time_shares(pace, mtbf_s))

    def between_steps_s(self, gpus: int, step_s: float, spot_nodes: int = 0) -> dict[str, float]:
        """Seconds that the run takes beside each step, on average; with the step they sum to step over goodput.

        Args:
            gpus: of the run.
            step_s: of one optimizer step.
            spot_nodes: of its nodes.
        """
        course = self.course(gpus, spot_nodes)
        parts = {name: share for name, share in course.shares._asdict().items() if name != "useful"}
        beside_s, total = step_s / course.goodput - step_s, sum(parts.values())
        return {name: beside_s * share / total if total else 0.0 for name, share in parts.items()}

    def restart_parts_s(self, store: Store, nodes: int) -> dict[str, float]:
        """A restart by parts."""
        given = self.tolerance.restart_minutes
        if given is not None:
            return {"given": given * 60}
        parts = {name: term.expected_s for name, term in RESTART_TERMS.items()}
        return {**parts, "read_checkpoint": store.read_s(self.checkpoint_bytes, nodes)}

    def reliability(self, gpus: int, days: float, step_s: float, spot_nodes: int = 0) -> Reliability:
        """What a plan says about it.

        Args:
            gpus: of the run.
            days: that it takes, lost time included.
            step_s: of one optimizer step.
            spot_nodes: of its nodes.
        """
        course, rate = self.course(gpus, spot_nodes), self.rate
        pace = course.pace
        nodes = max(1, gpus // self.gpus_per_node)
        failures_s = self._mtbf_s(gpus, 0, rate.expected)
        rarely, often = SPOT_RECLAIMS_RANGE
        slowest_s = self._mtbf_s(gpus, spot_nodes, rate.low, rarely)
        fastest_s = self._mtbf_s(gpus, spot_nodes, rate.high, often)
        parts = self.restart_parts_s(course.store, nodes)
        quick = sum(term.low_s for term in RESTART_TERMS.values()) + parts.get("read_checkpoint", 0.0)
        slow = sum(term.high_s for term in RESTART_TERMS.values()) + parts.get("read_checkpoint", 0.0)
        if "given" in parts:
            quick = slow = pace.restart_s
        per_hour = 3600 / course.mtbf_s
        failing = (3600 / failures_s) / per_hour if per_hour else 0.0
        causes = {cause: share * failing for cause, share in self.node_environment.causes}
        causes = {**causes, "spot_reclaim": 1 - failing} if spot_nodes else causes
        repair_hours = REPAIR_HOURS["own" if self.node_environment.owned else "cloud"]
        lost = sum(share for cause, share in self.node_environment.causes if cause in NODE_LOSS_CAUSES)
        spares = spare_nodes(gpus * rate.expected * lost, repair_hours)
        interval_s = pace.interval_s if pace.interval_s < inf else days * 86400
        hours = days * 24
        return Reliability(
            mtbf_hours=_hours(course.mtbf_s, hours),
            mtbf_hours_low=_hours(fastest_s, hours),
            mtbf_hours_high=_hours(slowest_s, hours),
            failure_mtbf_hours=_hours(failures_s, hours),
            rate_source=rate.source,
            causes=causes,
            interruptions=hours * 3600 / course.mtbf_s,
            interruptions_low=hours * 3600 / slowest_s,
            interruptions_high=hours * 3600 / fastest_s,
            checkpoint_bytes=self.checkpoint_bytes,
            checkpoint=course.mode,
            checkpoint_to=course.store.target,
            write_s=course.write_s,
            stall_s=pace.stall_s,
            lag_s=pace.lag_s,
            interval_s=interval_s,
            interval_steps=max(1, round(interval_s / step_s)),
            restart_s=pace.restart_s,
            restart_s_low=quick,
            restart_s_high=slow,
            restart_parts_s=parts,
            time_shares=course.shares._asdict(),
            goodput_low=_useful(course, slow, fastest_s),
            goodput_high=_useful(course, quick, slowest_s),
            spare_nodes=spares,
            spare_reason=(
                f"more than {spares} of {nodes} nodes out at once have a chance below {SPARE_RISK:.0%}: {lost:.0%} of"
                f" the interruptions take a node away, for {repair_hours:g} hours"
            ),
        )


def _useful(course: Course, restart_s: float, mtbf_s: float) -> float:
    return max(LEAST_GOODPUT, time_shares(course.pace._replace(restart_s=restart_s), mtbf_s).useful)


def _hours(mtbf_s: float, run_hours: float) -> float:
    """A mean time without end would be no JSON number; no failure in a thousand runs says as much."""
    return mtbf_s / 3600 if mtbf_s < inf else 1000 * run_hours


def pace_at(reliability: Reliability, mtbf_hours: float) -> CheckpointPace:
    """The best checkpoint interval for the checkpoints and restarts of a plan at another MTBF, in hours."""
    return best_pace(reliability.stall_s, reliability.restart_s, reliability.lag_s, mtbf_hours * 3600)
