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
    MAX_MICRO_BATCH,
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
from planner.training.step_time import Shape, StepModel, pacing
from provider_catalog.architecture import ModelArchitecture

COST_WINDOW = 1.10
"""GPU time over the least found that a layout may take. What is paid by the hour beside GPUs (storage) can make a
faster run the cheaper one; it is a small part of the bill."""


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

    def days(self, gpus: int, step_s: float) -> float:
        """Length of the run."""
        ...


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
    _unfit: dict[tuple[object, ...], int] = field(default_factory=dict)
    _known: dict[tuple[Shape, ZeroStage], tuple[int, int]] = field(default_factory=dict)
    _schedules: dict[int, list[tuple[Schedule, int]]] = field(default_factory=dict)

    def run(self) -> dict[int, Found]:
        """The fastest layout by GPUs in use."""
        slowest = pacing(self.least_gpus)
        for bound_gpu_s, split in self._by_bound():
            if bound_gpu_s * slowest > self._least_gpu_s * self.window:
                break
            for pipeline in self._pipelines(split):
                degrees = self.replicas(split.tensor * split.context * pipeline, split.micro_batch)
                degrees = [(data, m) for data, m in degrees if data * split.context % split.expert == 0]
                if degrees and not self._never_fits(split, pipeline, degrees[-1]):
                    for schedule, chunks in self._schedules_of(pipeline):
                        self._try(Shape(split, pipeline, schedule, chunks), degrees)
        return self._best

    @property
    def _tokens(self) -> int:
        return self.batch_sequences * self.workload.sequence_length

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
            for expert in expert_degrees(self.architecture, self.pin):
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
        fixed = self.pin.layout
        # DualPipe may hide the all-to-all.
        hidden = split.expert > 1 and fixed.schedule in (None, "dualpipe") and fixed.pipeline != 1
        return self.model.busy_gpu_s_per_token(split, expert_hidden=hidden)

    def _never_fits(self, split: Split, pipeline: int, most: tuple[int, int]) -> bool:
        """Whether nothing fits this split: not even the most recompute and ZeRO, on the most replicas."""
        if self.capacity == inf:
            return False
        leanest = split._replace(recompute=recompute_choices(self.workload, self.pin)[-1])
        schedule, chunks = self._schedules_of(pipeline)[0]
        return not self._hopeful(Shape(leanest, pipeline, schedule, chunks), zero_stages(self.pin)[-1], *most)

    def _try(self, shape: Shape, degrees: list[tuple[int, int]]) -> None:
        """One shape on every number of replicas: the numbers on which it may beat what is known."""
        pace = self.model.pace(shape)
        worth = []
        for data, micro_batches in degrees:
            if not self._enough(shape, micro_batches):
                continue
            gpus = shape.gpus * data
            least_s = (micro_batches * pace.micro_batch_s + pace.once_s) * pacing(gpus)
            if least_s * gpus > self._least_gpu_s * self.window * self._tokens:
                break
            known = self._best.get(gpus)
            if known is not None and known.step_s <= least_s:
                continue
            days = self.judge.days(gpus, least_s)
            if days > self.deadline_days and (self._best or days >= self.nearest.days):
                continue
            worth.append((data, micro_batches))
        if worth:
            self._take_fastest(shape, worth, degrees[-1])

    def _enough(self, shape: Shape, micro_batches: int) -> bool:
        """Whether a schedule that is not pinned has the micro-batches it needs.

        Interleaving takes at least one for each stage (arXiv 2104.04473, section 2.2.2), DualPipe two and an even
        number (DeepSeek's published DualPipe).
        """
        if self.pin.layout.schedule == shape.schedule or self.pin.layout.virtual_stages:
            return True
        if shape.schedule == "interleaved":
            return micro_batches >= shape.pipeline
        return shape.schedule != "dualpipe" or (micro_batches >= 2 * shape.pipeline and micro_batches % 2 == 0)

    def _take_fastest(self, shape: Shape, worth: list[tuple[int, int]], most: tuple[int, int]) -> None:
        """For some numbers of replicas the fastest way to make a shape fit, by recompute and ZeRO."""
        options = [
            (shape._replace(split=shape.split._replace(recompute=recompute)), stage)
            for recompute in recompute_choices(self.workload, self.pin)
            for stage in zero_stages(self.pin)
        ]
        for data, micro_batches in worth:
            known = self._best.get(shape.gpus * data)
            below = inf if known is None else known.step_s
            timed = []
            for order, (option, stage) in enumerate(options):
                step_s = self.model.step_s(option, data, stage, micro_batches)
                if step_s < below:
                    timed.append((step_s, order))
            for step_s, order in sorted(timed):
                option, stage = options[order]
                if self._hopeful(option, stage, *most) and self._fits(option, stage, data, micro_batches):
                    self._accept(step_s, option.layout(data, stage), micro_batches)
                    break

    def _hopeful(self, shape: Shape, zero_stage: ZeroStage, data: int, micro_batches: int) -> bool:
        """Whether a shape fits on the most replicas, on which it takes the least memory.

        What does not fit in 1F1B or in smaller micro-batches fits no other schedule or larger ones either, which saves
        asking again.
        """
        if self.capacity == inf:
            return True
        split = shape.split
        key = (split._replace(micro_batch=0), shape.pipeline, zero_stage)
        if split.micro_batch >= self._unfit.get(key, MAX_MICRO_BATCH + 1):
            return False
        plain = shape._replace(schedule="1f1b", chunks=1)
        if not self._fits(plain, zero_stage, data, micro_batches):
            if shape.schedule != "1f1b" or self.pin.layout.micro_batch is None:
                self._unfit[key] = split.micro_batch
            return False
        return shape == plain or self._fits(shape, zero_stage, data, micro_batches)

    def _fits(self, shape: Shape, zero_stage: ZeroStage, data: int, micro_batches: int) -> bool:
        if self.capacity == inf:
            return True
        # More replicas never take more memory.
        key = (shape, zero_stage)
        unfit, fit = self._known.get(key, (0, 1 << 30))
        if unfit < data < fit:
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
        days = self.judge.days(layout.gpus, step_s)
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
