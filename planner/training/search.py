"""Search over layouts: for every number of nodes the fastest layout that fits.

What a run costs on one kind of node follows from the number of nodes and the days, so that nothing else can win.
Splits are taken up in the order of a bound on the GPU time of a token, and the search ends when the bound leaves the
window around the best found.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from planner.layout import (
    Schedule,
    ZeroStage,
    context_degrees,
    divisors,
    expert_degrees,
    legal_tensor_degrees,
    micro_batch_sizes,
    pipeline_degrees,
    recompute_choices,
    schedules,
    zero_stages,
)
from planner.parallelism import Layout
from planner.spec import Pin, TrainingWorkload
from planner.training.layer_time import Split
from planner.training.shape import Shape
from planner.training.step_time import StepModel, pacing
from provider_catalog.architecture import ModelArchitecture

COST_WINDOW = 1.02
"""GPU time over the least found that a layout may take. What is paid by the hour beside nodes (storage, network) can
make a faster run the cheaper one, by no more than its share of the bill."""


NOT_ASKED = (0, 1 << 30)
"""(most replicas on which a shape is known not to fit, fewest on which it is known to)."""


@dataclass(frozen=True, slots=True)
class Found:
    """The fastest layout of one number of nodes."""

    layout: Layout
    micro_batches: int
    step_s: float


class Judge(Protocol):
    """What the search asks about a complete layout."""

    def memory_ratio(self, layout: Layout, micro_batches: int) -> float:
        """Memory of the fullest GPU over what may be used."""
        ...

    def memory_floor(self, shape: Shape, data: int, zero_stage: ZeroStage, micro_batches: int) -> float:
        """No more than `memory_ratio` would say, at once."""
        ...

    def days_per_step_s(self, gpus: int) -> float:
        """Length of the run, lost time included, for each second of a step."""
        ...


@dataclass(slots=True)
class Nearest:
    """The layouts that came nearest to serving."""

    memory_ratio: float = inf
    memory: tuple[Layout, int] | None = None
    floor: float = inf
    below_floor: tuple[Layout, int] | None = None
    """What the bound on memory ruled out at once, and by how much."""
    days: float = inf
    late: tuple[Layout, int, float] | None = None

    def note_memory(self, ratio: float, layout: Layout, micro_batches: int) -> None:
        """A layout that does not fit."""
        if ratio < self.memory_ratio:
            self.memory_ratio, self.memory = ratio, (layout, micro_batches)

    def note_floor(self, ratio: float, shape: Shape, data: int, zero_stage: ZeroStage, micro_batches: int) -> None:
        """A layout whose bound on memory is above what may be used."""
        if ratio < self.floor:
            self.floor, self.below_floor = ratio, (shape.layout(data, zero_stage), micro_batches)

    def note_days(self, days: float, layout: Layout, micro_batches: int, step_s: float) -> None:
        """A layout that fits and is late."""
        if days < self.days:
            self.days, self.late = days, (layout, micro_batches, step_s)


@dataclass(slots=True)
class LayoutSearch:
    """One search on one kind of node.

    Attributes:
        replicas: data-parallel degrees to try for GPUs of a replica and a micro-batch, smallest first, each with the
            micro-batches of a replica.
        least_gpus: fewer cannot serve.
        capacity: share of the usable memory that a layout may take; more than 1 only for what is pinned.
        deadline_days: what is later is a miss; infinite for what is pinned.
        window: GPU time over the least found that is still of interest.
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
    window: float = COST_WINDOW
    nearest: Nearest = field(default_factory=Nearest)
    _best: dict[int, Found] = field(default_factory=dict)
    _least_gpu_s: float = inf
    _unfit: dict[tuple[object, ...], tuple[int, int]] = field(default_factory=dict)
    _known: dict[tuple[Shape, ZeroStage], tuple[int, int]] = field(default_factory=dict)
    _bounds: dict[Split, float] = field(default_factory=dict)
    _lengths: dict[int, float] = field(default_factory=dict)
    _schedules: dict[int, list[tuple[Schedule, int]]] = field(default_factory=dict)

    def least_gpu_s_per_token(self) -> float:
        """GPU seconds that a token takes at least, whatever the layout."""
        return next((bound for bound, _ in self._by_bound()), inf) * pacing(self.least_gpus)

    def run(self) -> dict[int, Found]:
        """The fastest layout by GPUs in use."""
        slowest = pacing(self.least_gpus)
        for bound_gpu_s, split in self._by_bound():
            if bound_gpu_s * slowest > self._least_gpu_s * self.window:
                break
            for pipeline in self._pipelines(split):
                degrees = self._degrees(split, pipeline)
                if degrees and self._worth(self._even_s(split, pipeline), 0.0, split, pipeline, degrees):
                    self._try_pipeline(split, pipeline, degrees)
        return self._best

    def _degrees(self, split: Split, pipeline: int) -> list[tuple[int, int]]:
        per_replica = split.tensor * split.context * pipeline
        least = self.least_gpus // per_replica
        return [
            (data, micro_batches)
            for data, micro_batches in self.replicas(per_replica, split.micro_batch)
            if data >= least and data * split.context % split.expert == 0
        ]

    def _even_s(self, split: Split, pipeline: int) -> float:
        """Seconds of a micro-batch on a stage if all stages were equal and nothing had to be waited for."""
        tokens = split.micro_batch * self.workload.sequence_length
        return self._bound(split) * tokens / (split.tensor * split.context * pipeline)

    def _try_pipeline(self, split: Split, pipeline: int, degrees: list[tuple[int, int]]) -> None:
        """Every schedule of a pipeline, with what may fit of recompute and ZeRO."""
        for recompute in recompute_choices(self.workload, self.pin):
            chosen = split._replace(recompute=recompute)
            worth = self._worth(self._even_s(chosen, pipeline), 0.0, split, pipeline, degrees)
            if not worth:
                return
            plain = Shape(chosen, pipeline, "1f1b", 1)
            stages = zero_stages(self.pin)
            while stages and not self._hopeful(plain, stages[0], *worth[-1]):
                stages = stages[1:]
            if not stages:
                continue
            chunks_hidden = False
            for schedule, chunks in self._schedules_of(pipeline):
                if chunks > 1 and chunks_hidden:
                    continue
                shape = Shape(chosen, pipeline, schedule, chunks)
                pace = self.model.pace(shape)
                # More chunks leave a smaller bubble and hold less, as long as their transfers stay hidden.
                several_nodes = self.model.pace(shape, self.model.node.gpus + 1)
                chunks_hidden = chunks_hidden or (chunks > 1 and several_nodes.transfer_s == 0)
                for data, micro_batches in self._worth(pace.micro_batch_s, pace.once_s, split, pipeline, worth):
                    if self._enough(shape, micro_batches):
                        self._take(shape, stages, data, micro_batches)

    @property
    def _tokens(self) -> int:
        return self.batch_sequences * self.workload.sequence_length

    def _days(self, gpus: int, step_s: float) -> float:
        if gpus not in self._lengths:
            self._lengths[gpus] = self.judge.days_per_step_s(gpus)
        return self._lengths[gpus] * step_s

    def _pipelines(self, split: Split) -> list[int]:
        fixed = self.pin.layout.pipeline
        degrees = [fixed] if fixed else pipeline_degrees(self.architecture.layer_count)
        return [p for p in degrees if p * split.tensor * split.context <= self.max_gpus]

    def _schedules_of(self, pipeline: int) -> list[tuple[Schedule, int]]:
        if pipeline not in self._schedules:
            self._schedules[pipeline] = schedules(self.architecture.layer_count, pipeline, self.pin)
        return self._schedules[pipeline]

    def _by_bound(self) -> Iterator[tuple[float, Split]]:
        """Splits in the order of their bound. More context parallelism never lowers it and is taken up when due."""
        contexts = context_degrees(self.workload.sequence_length, self.pin)
        recompute = recompute_choices(self.workload, self.pin)[0]
        fixed = self.pin.layout
        tensors = [fixed.tensor] if fixed.tensor else legal_tensor_degrees(self.architecture, self.model.node)
        heap: list[tuple[float, int, Split]] = []
        for tensor in tensors:
            sequence_parallel = tensor > 1 if fixed.sequence_parallel is None else fixed.sequence_parallel
            for expert in expert_degrees(self.architecture, self.model.node, tensor, self.pin):
                for micro_batch in micro_batch_sizes(self.batch_sequences, self.pin):
                    split = Split(tensor, contexts[0], expert, micro_batch, recompute, sequence_parallel)
                    heap.append((self._bound(split), 0, split))
        heapq.heapify(heap)
        while heap:
            bound, place, split = heapq.heappop(heap)
            yield bound, split
            if place + 1 < len(contexts):
                wider = split._replace(context=contexts[place + 1])
                heapq.heappush(heap, (max(bound, self._bound(wider)), place + 1, wider))

    def _bound(self, split: Split) -> float:
        """GPU seconds of a token at least."""
        if split not in self._bounds:
            self._bounds[split] = self._bound_of(split)
        return self._bounds[split]

    def _bound_of(self, split: Split) -> float:
        bound = self.model.busy_gpu_s_per_token(split)
        fixed = self.pin.layout
        if split.expert > 1 and fixed.schedule == "dualpipe" and fixed.pipeline != 1:
            bound = min(bound, self.model.busy_gpu_s_per_token(split, two_way=True))
        return bound

    def _worth(
        self, micro_batch_s: float, once_s: float, split: Split, pipeline: int, degrees: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Numbers of replicas on which a pipeline may beat what is known, if nothing between them is exposed."""
        per_replica = split.tensor * split.context * pipeline
        most_s = self._least_gpu_s * self.window * self._tokens
        worth = []
        for data, micro_batches in degrees:
            gpus = per_replica * data
            least_s = (micro_batches * micro_batch_s + once_s) * pacing(gpus)
            if least_s * gpus > most_s:
                break
            known = self._best.get(gpus)
            if known is not None and known.step_s <= least_s:
                continue
            days = self._days(gpus, least_s)
            if days <= self.deadline_days or not (self._best or days >= self.nearest.days):
                worth.append((data, micro_batches))
        return worth

    def _enough(self, shape: Shape, micro_batches: int) -> bool:
        """Whether a schedule that is not pinned has the micro-batches it needs.

        Interleaving takes at least one for each stage (arXiv 2104.04473, section 2.2.2).
        """
        if self.pin.layout.schedule == shape.schedule or self.pin.layout.virtual_stages:
            return True
        return shape.schedule != "interleaved" or micro_batches >= shape.pipeline

    def _take(self, shape: Shape, stages: list[ZeroStage], data: int, micro_batches: int) -> None:
        """A shape at the lowest of some ZeRO stages that fits, if it is the fastest yet. Higher ones are slower."""
        known = self._best.get(shape.gpus * data)
        plain = shape._replace(schedule="1f1b", chunks=1)
        for stage in stages:
            if data <= self._known.get((plain, stage), NOT_ASKED)[0]:
                continue
            step_s = self.model.step_s(shape, data, stage, micro_batches)
            if known is not None and known.step_s <= step_s:
                return
            # No schedule takes less memory than 1F1B.
            if self._fits(plain, stage, data, micro_batches) and self._fits(shape, stage, data, micro_batches):
                self._accept(step_s, shape.layout(data, stage), micro_batches)
                return

    def _hopeful(self, plain: Shape, zero_stage: ZeroStage, data: int, micro_batches: int) -> bool:
        """Whether a shape fits in 1F1B on the most replicas, on which it takes the least memory.

        What does not fit in smaller micro-batches on more replicas does not fit at all, which saves asking again.
        """
        split = plain.split
        key = (split._replace(micro_batch=0), plain.pipeline, zero_stage)
        smallest, most = self._unfit.get(key, (1 << 30, 0))
        if split.micro_batch >= smallest and data <= most:
            return False
        if self._fits(plain, zero_stage, data, micro_batches):
            return True
        self._unfit[key] = (split.micro_batch, data)
        return False

    def _fits(self, shape: Shape, zero_stage: ZeroStage, data: int, micro_batches: int) -> bool:
        if self.capacity == inf:
            return True
        # More replicas never take more memory.
        key = (shape, zero_stage)
        unfit, fit = self._known.get(key, NOT_ASKED)
        floor = self.judge.memory_floor(shape, data, zero_stage, micro_batches) if unfit < data < fit else 0.0
        if floor > self.capacity:
            self.nearest.note_floor(floor, shape, data, zero_stage, micro_batches)
            unfit = data
            self._known[key] = (unfit, fit)
        elif unfit < data < fit:
            layout = shape.layout(data, zero_stage)
            ratio = self.judge.memory_ratio(layout, micro_batches)
            if ratio > self.capacity:
                self.nearest.note_memory(ratio, layout, micro_batches)
                unfit = data
            else:
                fit = data
            self._known[key] = (unfit, fit)
        return data >= fit

    def _accept(self, step_s: float, layout: Layout, micro_batches: int) -> None:
        days = self._days(layout.gpus, step_s)
        if days > self.deadline_days:
            self.nearest.note_days(days, layout, micro_batches, step_s)
            return
        known = self._best.get(layout.gpus)
        if known is None or step_s < known.step_s:
            self._best[layout.gpus] = Found(layout, micro_batches, step_s)
            self._least_gpu_s = min(self._least_gpu_s, step_s * layout.gpus / self._tokens)


def whole_node_replicas(
    batch_sequences: int, gpus_per_node: int, max_gpus: int
) -> Callable[[int, int], list[tuple[int, int]]]:
    """Data-parallel degrees that divide the batch into whole micro-batches and fill whole nodes."""
    known: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def replicas(per_replica: int, micro_batch: int) -> list[tuple[int, int]]:
        key = (per_replica, micro_batch)
        if key not in known:
            micro_batches, rest = divmod(batch_sequences, micro_batch)
            known[key] = [
                (data, micro_batches // data)
                for data in (divisors(micro_batches) if rest == 0 else ())
                if data * per_replica <= max_gpus and data * per_replica % gpus_per_node == 0
            ]
        return known[key]

    return replicas
