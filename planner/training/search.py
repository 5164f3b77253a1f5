"""Search over layouts: for every number of nodes the fastest layout that fits.

What a run costs on one kind of node follows from the number of nodes and the days, so that nothing else can win, and
more nodes are of use only where they are faster. Splits are taken up in the order of a bound on the GPU time of a
token, and the search ends when the bound beats nothing that was found.
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
from planner.training.degrees import Degree, MemoizedTimes
from planner.training.layer_time import Split
from planner.training.memory_fit import MemoryFit, MemoryJudge
from planner.training.near_misses import Nearest
from planner.training.shape import Shape
from planner.training.split_bounds import SplitBounds
from planner.training.step_time import StepModel, pacing
from planner.vocabulary import ZeroStage
from provider_catalog.architecture import ModelArchitecture

COST_WINDOW = 1.02
"""GPU time over the least found that a layout may take where it has to beat runs on other machines to be of use: what
is paid by the hour beside nodes (storage, network) can make a faster run the cheaper one, by no more than its share."""


@dataclass(frozen=True, slots=True)
class Found:
    """The fastest layout of one number of nodes."""

    layout: Layout
    micro_batches: int
    step_s: float


class Judge(MemoryJudge, Protocol):
    """What the search asks about a complete layout."""

    def days_per_step_s(self, gpus: int) -> float:
        """Length of the run, lost time included, for each second of a step."""
        ...


@dataclass(slots=True)
class LayoutSearch:
    """One search on one kind of node.

    Attributes:
        replicas: data-parallel degrees to try for GPUs of a replica and a micro-batch, smallest first, each with the
            micro-batches of a replica.
        least_gpus: fewer cannot serve.
        capacity: share of the usable memory that a layout may take; more than 1 only for what is pinned.
        deadline_days: what is later is a miss; infinite for what is pinned.
        wants_nearest: whether, as long as all are late, the least late is sought.
        days_beaten: days from which a run on other machines outdoes one on so many GPUs.
    """

    architecture: ModelArchitecture
    workload: TrainingWorkload
    pin: Pin
    model: StepModel
    judge: Judge
    batch_sequences: int
    least_gpus: int
    max_gpus: int
    replicas: Callable[[int, int], list[tuple[int, int]]]
    capacity: float = 1.0
    deadline_days: float = inf
    wants_nearest: bool = True
    days_beaten: Callable[[int], float] | None = None
    nearest: Nearest = field(default_factory=Nearest)
    _bounds: SplitBounds = field(init=False)
    _fit: MemoryFit = field(init=False)
    _best: dict[int, Found] = field(default_factory=dict)
    _least_gpu_s: float = inf
    _front: list[tuple[int, float]] = field(default_factory=list)
    """(GPUs, seconds of a step): more GPUs, ever faster."""
    _limits: dict[int, float] = field(default_factory=dict)
    _longest_s: dict[tuple[int, int, int], float] = field(default_factory=dict)
    _up_to_date: set[tuple[int, int, int]] = field(default_factory=set)
    _beaten: dict[int, float] = field(default_factory=dict)
    _once: dict[tuple[int, int, int, int], MemoizedTimes] = field(default_factory=dict)
    _degrees_of: dict[tuple[int, int], list[Degree]] = field(default_factory=dict)
    _lengths: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._bounds = SplitBounds(self.architecture, self.workload, self.pin, self.model, self.batch_sequences)
        smallest = micro_batch_sizes(self.batch_sequences, self.pin)[0]
        self._fit = MemoryFit(self.judge, self.capacity, self.nearest, smallest, self._degrees)

    def least_gpu_s_per_token(self) -> float:
        """GPU seconds that a token takes at least, whatever the layout."""
        return next((bound for bound, _ in self._bounds.in_order()), inf) * pacing(self.least_gpus)

    def run(self, known: Iterable[Found] = ()) -> dict[int, Found]:
        """The fastest layout by GPUs in use.

        Args:
            known: of other machines, tried first: what is good there bounds the search here.
        """
        for found in known:
            self._try_known(found.layout, found.micro_batches)
        for bound_gpu_s, split in self._bounds.in_order():
            if not self._beats_front(bound_gpu_s):
                break
            for pipeline in self._bounds.pipelines(split, self.max_gpus):
                if self._in_question(self._bounds.even_s(split, pipeline), split, pipeline):
                    self._try_pipeline(split, pipeline)
        return self._best

    def _try_known(self, layout: Layout, micro_batches: int) -> None:
        node, shape = self.model.node, Shape.of(layout)
        fills = layout.gpus % node.gpus == 0 and self.least_gpus <= layout.gpus <= self.max_gpus
        legal = layout.tensor in legal_tensor_degrees(self.architecture, node) and layout.expert in expert_degrees(
            self.architecture, node, layout.tensor, self.pin
        )
        if not (fills and legal and self._fit.fits(shape, layout.zero_stage, layout.data, micro_batches)):
            return
        step_s = self.model.step_s(shape, layout.data, layout.zero_stage, micro_batches)
        if step_s < self._known_s(layout.gpus):
            self._accept(step_s, layout, micro_batches)

    def _beats_front(self, bound_gpu_s: float) -> bool:
        """Whether a split of such a bound may be faster than all that is known on as many GPUs."""
        if not self._front or self._front[0][0] > self.model.node.gpus:
            return True
        ends = [gpus for gpus, _ in self._front[1:]] + [self.max_gpus]
        work_s = bound_gpu_s * self._tokens
        return any(work_s * pacing(gpus) < step_s * end for (gpus, step_s), end in zip(self._front, ends, strict=True))

    def _degrees(self, split: Split, pipeline: int) -> list[Degree]:
        every = self._every_degree(split.tensor * split.context * pipeline, split.micro_batch)
        shared = split.expert // gcd(split.context, split.expert)
        return every if shared == 1 else [degree for degree in every if degree.data % shared == 0]

    def _every_degree(self, per_replica: int, micro_batch: int) -> list[Degree]:
        """Numbers of replicas to try, whatever the experts ask for."""
        key = (per_replica, micro_batch)
        if key not in self._degrees_of:
            least = self.least_gpus // per_replica
            self._degrees_of[key] = [
                Degree(data, micro_batches, per_replica * data, pacing(per_replica * data))
                for data, micro_batches in self.replicas(per_replica, micro_batch)
                if data >= least
            ]
        return self._degrees_of[key]

    def _in_question(self, micro_batch_s: float, split: Split, pipeline: int) -> bool:
        """Whether a pipeline of that many seconds a micro-batch may beat what is known on any number of replicas."""
        key = (split.tensor * split.context, pipeline, split.micro_batch)
        # What was beaten once is beaten for good, so that an old answer holds where it says no.
        if micro_batch_s >= self._longest_s.get(key, inf):
            return False
        if key in self._up_to_date:
            return True
        idle, longest_s = self._bounds.idle(pipeline), 0.0
        for _, micro_batches, gpus, slowest in self._every_degree(key[0] * pipeline, split.micro_batch):
            longest_s = max(longest_s, self._limit_s(gpus) / (slowest * (micro_batches + idle)))
        self._longest_s[key] = longest_s
        self._up_to_date.add(key)
        return micro_batch_s < longest_s

    def _try_pipeline(self, split: Split, pipeline: int) -> None:
        """Every schedule of a pipeline, with what may fit of recompute and ZeRO."""
        degrees = self._degrees(split, pipeline)
        if not degrees:
            return
        once, idle, stages = self._least_once(split, pipeline), self._bounds.idle(pipeline), zero_stages(self.pin)
        two_way = self.pin.layout.schedule == "dualpipe"
        for recompute in recompute_choices(self.workload, self.pin):
            chosen = split._replace(recompute=recompute)
            plain = Shape(chosen, pipeline, "1f1b", 1)
            if not self._fit.hopeful(plain, stages[-1], degrees[-1]):
                continue
            if two_way:
                busy_s, starting_s = self._bounds.even_s(chosen, pipeline), 0.0
            else:
                busy_s, starting_s = self.model.least_pace_s(chosen, pipeline)
            if not self._in_question(busy_s, split, pipeline):
                return
            bubble_s = busy_s * idle + starting_s
            worth = self._worth(busy_s, bubble_s, once, degrees)
            if not worth:
                return
            if worth[-1] is not degrees[-1] and not self._fit.hopeful(plain, stages[-1], worth[-1]):
                continue
            left = self._fit.hopeful_stages(plain, stages, worth[-1])
            exact = self._replicas_once(plain, left[0])
            if not two_way:
                worth = self._worth(busy_s, bubble_s, exact, worth)
            if worth:
                self._try_schedules(plain, left, worth, exact)

    def _try_schedules(self, plain: Shape, stages: list[ZeroStage], degrees: list[Degree], once: MemoizedTimes) -> None:
        """Every schedule of a pipeline, at the lowest of some ZeRO stages that fits.

        Args:
            plain: the pipeline in 1F1B.
            stages: lower ones do not fit.
            degrees: numbers of replicas.
            once: of the lowest of the stages, in 1F1B.
        """
        chunks_hidden = False
        for schedule, chunks in self._bounds.schedules_of(plain.pipeline):
            if chunks > 1 and chunks_hidden:
                continue
            shape = Shape(plain.split, plain.pipeline, schedule, chunks)
            pace = self.model.pace(shape)
            if chunks > 1:
                # More leave a smaller bubble and hold less, as long as their transfers stay hidden.
                chunks_hidden = self.model.pace(shape, self.model.node.gpus + 1).transfer_s == 0
            elif shape.two_way:
                once = self._replicas_once(shape, stages[0])
            for degree in self._worth(pace.micro_batch_s, pace.once_s, once, degrees):
                if self._enough(shape, degree.micro_batches):
                    self._take(plain, shape, stages, degree)

    @property
    def _tokens(self) -> int:
        return self.batch_sequences * self.workload.sequence_length

    def _days(self, gpus: int, step_s: float) -> float:
        if gpus not in self._lengths:
            self._lengths[gpus] = self.judge.days_per_step_s(gpus)
        return self._lengths[gpus] * step_s

    def _least_once(self, split: Split, pipeline: int) -> MemoizedTimes:
        key = (split.tensor, split.context, split.expert, pipeline)
        known = self._once.get(key)
        if known is None:
            shape, model = Shape(split, pipeline, "1f1b", 1), self.model
            known = self._once[key] = MemoizedTimes({}, lambda degree: model.least_once_s(shape, degree.data))
        return known

    def _replicas_once(self, shape: Shape, zero_stage: ZeroStage) -> MemoizedTimes:
        def seconds(degree: Degree) -> float:
            return sum(self.model.replicas_s(shape, degree.data, zero_stage, degree.micro_batches))

        return MemoizedTimes({}, seconds)

    def _worth(
        self, micro_batch_s: float, once_s: float, replicas: MemoizedTimes, degrees: list[Degree]
    ) -> list[Degree]:
        """Numbers of replicas on which a pipeline may beat what is known."""
        limits, (known, ask) = self._limits, replicas
        worth = []
        for degree in degrees:
            data, micro_batches, gpus, slowest = degree
            limit_s = limits.get(gpus)
            if limit_s is None:
                limit_s = self._limit_s(gpus)
            computing_s = micro_batches * micro_batch_s + once_s
            if computing_s * slowest >= limit_s:
                continue
            replicas_s = known.get(data)
            if replicas_s is None:
                replicas_s = known[data] = ask(degree)
            if (computing_s + replicas_s) * slowest < limit_s:
                worth.append(degree)
        return worth

    def _limit_s(self, gpus: int) -> float:
        """Seconds below which a step is of interest: faster than what is known, and in time or nearer to it.

        Beside runs on other machines it has to be the cheapest here, or to outdo one of them.
        """
        limit_s = self._limits.get(gpus)
        if limit_s is not None:
            return limit_s
        days_of = self._days(gpus, 1.0)
        late_counts = self.wants_nearest and not self._best
        days = max(self.deadline_days, self.nearest.days) if late_counts else self.deadline_days
        limit_s = min(self._known_s(gpus), days / days_of) * (1 + 1e-12)
        if self.days_beaten is not None:
            beaten_s = self._beaten.get(gpus)
            if beaten_s is None:
                beaten_s = self._beaten[gpus] = self.days_beaten(gpus) / days_of
            cheapest_s = self._least_gpu_s * COST_WINDOW * self._tokens / gpus
            limit_s = min(limit_s, max(cheapest_s, beaten_s))
        self._limits[gpus] = limit_s
        return limit_s

    def _known_s(self, gpus: int) -> float:
        """The fastest step known on so many GPUs or fewer."""
        place = bisect_right(self._front, (gpus, inf))
        return self._front[place - 1][1] if place else inf

    def _enough(self, shape: Shape, micro_batches: int) -> bool:
        """Whether a schedule that is not pinned has the micro-batches it needs.

        Interleaving takes at least one for each stage (arXiv 2104.04473, section 2.2.2).
        """
        if self.pin.layout.schedule == shape.schedule or self.pin.layout.virtual_stages:
            return True
        return shape.schedule != "interleaved" or micro_batches >= shape.pipeline

    def _take(self, plain: Shape, shape: Shape, stages: list[ZeroStage], degree: Degree) -> None:
        """A shape at the lowest of some ZeRO stages that fits, if it is the fastest yet. Higher ones are slower."""
        data, micro_batches = degree.data, degree.micro_batches
        for stage in stages:
            if self._fit.is_known_unfit(plain, stage, data):
                continue
            step_s = self.model.step_s(shape, data, stage, micro_batches)
            if self._known_s(degree.gpus) <= step_s:
                return
            # No schedule takes less memory than 1F1B.
            if self._fit.fits(plain, stage, data, micro_batches) and self._fit.fits(shape, stage, data, micro_batches):
                self._accept(step_s, shape.layout(data, stage), micro_batches)
                return

    def _accept(self, step_s: float, layout: Layout, micro_batches: int) -> None:
        days = self._days(layout.gpus, step_s)
        self._limits.clear()
        self._up_to_date.clear()
        if days > self.deadline_days:
            self.nearest.note_days(days, layout, micro_batches, step_s)
            return
        if step_s < self._known_s(layout.gpus):
            self._best[layout.gpus] = Found(layout, micro_batches, step_s)
            self._front = sorted(
                [
                    (gpus, known_s)
                    for gpus, known_s in self._front
                    if gpus < layout.gpus or (gpus > layout.gpus and known_s < step_s)
                ]
                + [(layout.gpus, step_s)]
            )
            self._least_gpu_s = min(self._least_gpu_s, step_s * layout.gpus / self._tokens)
