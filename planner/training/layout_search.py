"""Branch-and-bound search for the fastest layout that fits, for each number of nodes.

On one kind of node, the number of nodes and the days determine the cost of a run. So for each number of nodes only the
fastest layout can be chosen, and more nodes are useful only if they are faster. The search visits the splits of a layer
in the order of a lower bound on the GPU time of a token. It ends when the bound exceeds every layout that was found.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import gcd, inf
from typing import Protocol

from planner.plan.layout import Layout
from planner.sizing.legal_layouts import (
    expert_degrees,
    legal_tensor_degrees,
    micro_batch_sizes,
    recompute_choices,
    zero_stages,
)
from planner.spec import Pin, TrainingWorkload
from planner.training.closest_layouts import ClosestLayouts
from planner.training.data_parallel_degrees import DataParallelDegree, MemoizedTimes
from planner.training.layer_time import Split
from planner.training.memory_fit import MemoryFit, MemoryModel
from planner.training.replica_layout import ReplicaLayout
from planner.training.split_bounds import SplitBounds
from planner.training.step_time import StepModel, straggler_factor
from planner.vocabulary import ZeroStage
from provider_catalog.architecture import ModelArchitecture

COST_WINDOW = 1.02
"""GPU time of a layout over the least GPU time found, up to which the layout stays in the search although it must also
beat runs on other machines. Hourly costs beside nodes (storage, network) can make a faster run the cheaper one. Our own
choice: an upper bound on their share of the cost."""


@dataclass(frozen=True, slots=True)
class FastestLayout:
    """The fastest layout for one number of nodes."""

    layout: Layout
    micro_batches: int
    """Micro-batches of each replica in a step."""
    step_s: float


class LayoutEvaluator(MemoryModel, Protocol):
    """Evaluates complete layouts for the search."""

    def days_per_step_s(self, gpus: int) -> float:
        """Return the days of the run, lost time included, per second of step time."""
        ...


@dataclass(slots=True)
class LayoutSearch:
    """One search on one kind of node.

    Attributes:
        replicas: Returns (data-parallel degree, micro-batches of a replica) to try, smallest first, for the GPUs of a
            replica and a micro-batch size.
        least_gpus: Fewest GPUs that can meet the deadline.
        capacity: Share of the usable memory that a layout may take; above 1 for pinned clusters only.
        deadline_days: Longest run that is accepted; infinite for pinned clusters.
        wants_nearest: Whether the least late layout is sought as long as all layouts are late.
        days_beaten: Returns the days from which a run on some number of GPUs is worse than runs on other machines.
        nearest: Closest layouts that do not fit or are late.
    """

    architecture: ModelArchitecture
    workload: TrainingWorkload
    pin: Pin
    model: StepModel
    evaluator: LayoutEvaluator
    batch_sequences: int
    least_gpus: int
    max_gpus: int
    replicas: Callable[[int, int], list[tuple[int, int]]]
    capacity: float = 1.0
    deadline_days: float = inf
    wants_nearest: bool = True
    days_beaten: Callable[[int], float] | None = None
    nearest: ClosestLayouts = field(default_factory=ClosestLayouts)
    _bounds: SplitBounds = field(init=False)
    _fit: MemoryFit = field(init=False)
    _best: dict[int, FastestLayout] = field(default_factory=dict)
    _least_gpu_s: float = inf
    _front: list[tuple[int, float]] = field(default_factory=list)
    """Pareto front of (GPUs, seconds of a step), in the order of GPUs."""
    _limits: dict[int, float] = field(default_factory=dict)
    _longest_micro_batch_s: dict[tuple[int, int, int], float] = field(default_factory=dict)
    _up_to_date: set[tuple[int, int, int]] = field(default_factory=set)
    _beaten: dict[int, float] = field(default_factory=dict)
    _least_times: dict[tuple[int, int, int, int], MemoizedTimes] = field(default_factory=dict)
    _known_degrees: dict[tuple[int, int], list[DataParallelDegree]] = field(default_factory=dict)
    _days_per_step_s: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._bounds = SplitBounds(self.architecture, self.workload, self.pin, self.model, self.batch_sequences)
        smallest = micro_batch_sizes(self.batch_sequences, self.pin)[0]
        self._fit = MemoryFit(self.evaluator, self.capacity, self.nearest, smallest, self._degrees)

    def least_gpu_s_per_token(self) -> float:
        """Return a lower bound on the GPU seconds of a token over all layouts."""
        return next((bound for bound, _ in self._bounds.in_order()), inf) * straggler_factor(self.least_gpus)

    def run(self, known: Iterable[FastestLayout] = ()) -> dict[int, FastestLayout]:
        """Return the fastest layout by number of GPUs.

        Args:
            known: Fastest layouts of other machines. They are tried first, to bound the search.
        """
        for found in known:
            self._try_known(found.layout, found.micro_batches)
        for bound_gpu_s, split in self._bounds.in_order():
            if not self._may_beat_front(bound_gpu_s):
                break
            for pipeline in self._bounds.pipelines(split, self.max_gpus):
                if self._may_beat_known(self._bounds.even_stage_s(split, pipeline), split, pipeline):
                    self._try_pipeline(split, pipeline)
        return self._best

    def _try_known(self, layout: Layout, micro_batches: int) -> None:
        node, replica = self.model.node, ReplicaLayout.of(layout)
        fills = layout.gpus % node.gpus == 0 and self.least_gpus <= layout.gpus <= self.max_gpus
        legal = layout.tensor in legal_tensor_degrees(self.architecture, node) and layout.expert in expert_degrees(
            self.architecture, node, layout.tensor, self.pin
        )
        if not (fills and legal and self._fit.fits(replica, layout.zero_stage, layout.data, micro_batches)):
            return
        step_s = self.model.step_s(replica, layout.data, layout.zero_stage, micro_batches)
        if step_s < self._fastest_known_s(layout.gpus):
            self._accept(step_s, layout, micro_batches)

    def _may_beat_front(self, bound_gpu_s: float) -> bool:
        """Return whether a split with this lower bound may beat the known layouts on some number of GPUs."""
        if not self._front or self._front[0][0] > self.model.node.gpus:
            return True
        ends = [gpus for gpus, _ in self._front[1:]] + [self.max_gpus]
        work_s = bound_gpu_s * self._tokens
        return any(
            work_s * straggler_factor(gpus) < step_s * end
            for (gpus, step_s), end in zip(self._front, ends, strict=True)
        )

    def _degrees(self, split: Split, pipeline: int) -> list[DataParallelDegree]:
        every = self._every_degree(split.tensor * split.context * pipeline, split.micro_batch)
        shared = split.expert // gcd(split.context, split.expert)
        return every if shared == 1 else [degree for degree in every if degree.data % shared == 0]

    def _every_degree(self, per_replica: int, micro_batch: int) -> list[DataParallelDegree]:
        """Return the numbers of replicas to try, without regard to expert parallelism."""
        key = (per_replica, micro_batch)
        if key not in self._known_degrees:
            least = self.least_gpus // per_replica
            self._known_degrees[key] = [
                DataParallelDegree(data, micro_batches, per_replica * data, straggler_factor(per_replica * data))
                for data, micro_batches in self.replicas(per_replica, micro_batch)
                if data >= least
            ]
        return self._known_degrees[key]

    def _may_beat_known(self, micro_batch_s: float, split: Split, pipeline: int) -> bool:
        """Return whether a pipeline may beat the known layouts on some number of replicas.

        Args:
            micro_batch_s: Lower bound on the seconds of a micro-batch.
            split: How a layer is divided.
            pipeline: Stages.
        """
        key = (split.tensor * split.context, pipeline, split.micro_batch)
        # Limits only fall, so a pipeline that was beaten before stays beaten.
        if micro_batch_s >= self._longest_micro_batch_s.get(key, inf):
            return False
        if key in self._up_to_date:
            return True
        bubble_micro_batches, longest_s = self._bounds.least_bubble_micro_batches(pipeline), 0.0
        for _, micro_batches, gpus, slowest in self._every_degree(key[0] * pipeline, split.micro_batch):
            longest_s = max(longest_s, self._limit_s(gpus) / (slowest * (micro_batches + bubble_micro_batches)))
        self._longest_micro_batch_s[key] = longest_s
        self._up_to_date.add(key)
        return micro_batch_s < longest_s

    def _try_pipeline(self, split: Split, pipeline: int) -> None:
        """Try all schedules, recompute modes and ZeRO stages of a pipeline that may fit and may win."""
        degrees = self._degrees(split, pipeline)
        if not degrees:
            return
        exchange_times, stages = self._least_exchange_times(split, pipeline), zero_stages(self.pin)
        bubble_micro_batches = self._bounds.least_bubble_micro_batches(pipeline)
        bidirectional = self.pin.layout.schedule == "dualpipe"
        for recompute in recompute_choices(self.workload, self.pin):
            chosen = split._replace(recompute=recompute)
            plain = ReplicaLayout(chosen, pipeline, "1f1b", 1)
            if not self._fit.may_fit(plain, stages[-1], degrees[-1]):
                continue
            if bidirectional:
                busy_s, starting_s = self._bounds.even_stage_s(chosen, pipeline), 0.0
            else:
                busy_s, starting_s = self.model.least_replica_time_s(chosen, pipeline)
            if not self._may_beat_known(busy_s, split, pipeline):
                return
            bubble_s = busy_s * bubble_micro_batches + starting_s
            promising = self._degrees_that_may_win(busy_s, bubble_s, exchange_times, degrees)
            if not promising:
                return
            if promising[-1] is not degrees[-1] and not self._fit.may_fit(plain, stages[-1], promising[-1]):
                continue
            left = self._fit.stages_that_may_fit(plain, stages, promising[-1])
            # Interleaved schedules hide most of the exchange, so their times are a lower bound for all.
            hiding = plain._replace(schedule="interleaved", chunks=2) if pipeline > 1 and not bidirectional else plain
            exact_times = self._exchange_times(hiding, left[0])
            if not bidirectional:
                promising = self._degrees_that_may_win(busy_s, bubble_s, exact_times, promising)
            if promising:
                self._try_schedules(plain, left, promising, exact_times)

    def _try_schedules(
        self,
        plain: ReplicaLayout,
        stages: list[ZeroStage],
        degrees: list[DataParallelDegree],
        exchange_times: MemoizedTimes,
    ) -> None:
        """Try all schedules of a pipeline, each at the lowest ZeRO stage that fits.

        Args:
            plain: The pipeline in 1F1B.
            stages: ZeRO stages to try; lower ones do not fit.
            degrees: Numbers of replicas to try.
            exchange_times: Data-parallel and optimizer times at the lowest of the stages, in the schedule that hides
                most of them.
        """
        chunks_hidden = False
        for schedule, chunks in self._bounds.schedules_of(plain.pipeline):
            if chunks > 1 and chunks_hidden:
                continue
            replica = ReplicaLayout(plain.split, plain.pipeline, schedule, chunks)
            times = self.model.replica_time(replica)
            if chunks > 1:
                # More chunks make the bubble and the memory smaller as long as transfers between stages stay hidden.
                chunks_hidden = self.model.replica_time(replica, self.model.node.gpus + 1).transfer_s == 0
            elif replica.bidirectional:
                exchange_times = self._exchange_times(replica, stages[0])
            for degree in self._degrees_that_may_win(times.micro_batch_s, times.bubble_s, exchange_times, degrees):
                if self._has_enough_micro_batches(replica, degree.micro_batches):
                    self._try_degree(plain, replica, stages, degree)

    @property
    def _tokens(self) -> int:
        return self.batch_sequences * self.workload.sequence_length

    def _days(self, gpus: int, step_s: float) -> float:
        if gpus not in self._days_per_step_s:
            self._days_per_step_s[gpus] = self.evaluator.days_per_step_s(gpus)
        return self._days_per_step_s[gpus] * step_s

    def _least_exchange_times(self, split: Split, pipeline: int) -> MemoizedTimes:
        key = (split.tensor, split.context, split.expert, pipeline)
        known = self._least_times.get(key)
        if known is None:
            replica, model = ReplicaLayout(split, pipeline, "1f1b", 1), self.model
            known = self._least_times[key] = MemoizedTimes(
                {}, lambda degree: model.least_exchange_and_optimizer_s(replica, degree.data)
            )
        return known

    def _exchange_times(self, replica: ReplicaLayout, zero_stage: ZeroStage) -> MemoizedTimes:
        def seconds(degree: DataParallelDegree) -> float:
            return sum(self.model.exchange_and_optimizer_s(replica, degree.data, zero_stage, degree.micro_batches))

        return MemoizedTimes({}, seconds)

    def _degrees_that_may_win(
        self, micro_batch_s: float, bubble_s: float, replicas: MemoizedTimes, degrees: list[DataParallelDegree]
    ) -> list[DataParallelDegree]:
        """Return the numbers of replicas on which a pipeline may beat the known layouts."""
        limits, (known, ask) = self._limits, replicas
        promising = []
        for degree in degrees:
            data, micro_batches, gpus, slowest = degree
            limit_s = limits.get(gpus)
            if limit_s is None:
                limit_s = self._limit_s(gpus)
            computing_s = micro_batches * micro_batch_s + bubble_s
            if computing_s * slowest >= limit_s:
                continue
            exchange_and_optimizer_s = known.get(data)
            if exchange_and_optimizer_s is None:
                exchange_and_optimizer_s = known[data] = ask(degree)
            if (computing_s + exchange_and_optimizer_s) * slowest < limit_s:
                promising.append(degree)
        return promising

    def _limit_s(self, gpus: int) -> float:
        """Return the step time below which a layout is of interest.

        The layout has to be faster than the known ones and has to meet the deadline, or, as long as all are late, miss
        it by less. If runs on other machines are known, it also has to be the cheapest here or to beat one of them.
        """
        limit_s = self._limits.get(gpus)
        if limit_s is not None:
            return limit_s
        days_of = self._days(gpus, 1.0)
        late_counts = self.wants_nearest and not self._best
        days = max(self.deadline_days, self.nearest.days) if late_counts else self.deadline_days
        limit_s = min(self._fastest_known_s(gpus), days / days_of) * (1 + 1e-12)
        if self.days_beaten is not None:
            beaten_s = self._beaten.get(gpus)
            if beaten_s is None:
                beaten_s = self._beaten[gpus] = self.days_beaten(gpus) / days_of
            cheapest_s = self._least_gpu_s * COST_WINDOW * self._tokens / gpus
            limit_s = min(limit_s, max(cheapest_s, beaten_s))
        self._limits[gpus] = limit_s
        return limit_s

    def _fastest_known_s(self, gpus: int) -> float:
        """Return the fastest known step time on at most `gpus` GPUs."""
        place = bisect_right(self._front, (gpus, inf))
        return self._front[place - 1][1] if place else inf

    def _has_enough_micro_batches(self, replica: ReplicaLayout, micro_batches: int) -> bool:
        """Return whether there are enough micro-batches for a schedule; a pinned schedule always passes.

        Interleaving needs at least one micro-batch for each stage (arXiv 2104.04473, section 2.2.2).
        """
        if self.pin.layout.schedule == replica.schedule or self.pin.layout.virtual_stages:
            return True
        return replica.schedule != "interleaved" or micro_batches >= replica.pipeline

    def _try_degree(
        self, plain: ReplicaLayout, replica: ReplicaLayout, stages: list[ZeroStage], degree: DataParallelDegree
    ) -> None:
        """Accept a replica layout at the lowest ZeRO stage that fits, if it is the fastest so far.

        Higher stages are slower.
        """
        data, micro_batches = degree.data, degree.micro_batches
        for stage in stages:
            if self._fit.is_known_unfit(plain, stage, data):
                continue
            step_s = self.model.step_s(replica, data, stage, micro_batches)
            if self._fastest_known_s(degree.gpus) <= step_s:
                return
            # No schedule takes less memory than 1F1B.
            if self._fit.fits(plain, stage, data, micro_batches) and self._fit.fits(
                replica, stage, data, micro_batches
            ):
                self._accept(step_s, replica.layout(data, stage), micro_batches)
                return

    def _accept(self, step_s: float, layout: Layout, micro_batches: int) -> None:
        days = self._days(layout.gpus, step_s)
        self._limits.clear()
        self._up_to_date.clear()
        if days > self.deadline_days:
            self.nearest.record_late(days, layout, micro_batches, step_s)
            return
        if step_s < self._fastest_known_s(layout.gpus):
            self._best[layout.gpus] = FastestLayout(layout, micro_batches, step_s)
            self._front = sorted(
                [
                    (gpus, known_s)
                    for gpus, known_s in self._front
                    if gpus < layout.gpus or (gpus > layout.gpus and known_s < step_s)
                ]
                + [(layout.gpus, step_s)]
            )
            self._least_gpu_s = min(self._least_gpu_s, step_s * layout.gpus / self._tokens)
