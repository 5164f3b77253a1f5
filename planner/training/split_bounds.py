"""How fast a split of a layer can be at most, whatever the rest of the layout: the order in which a search takes up."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from planner.sizing.legal_layouts import (
    context_degrees,
    expert_degrees,
    legal_tensor_degrees,
    micro_batch_sizes,
    pipeline_degrees,
    recompute_choices,
    schedules,
)
from planner.spec import Pin, TrainingWorkload
from planner.training.layer_time import Split
from planner.training.schedule import chunk_share
from planner.training.step_time import StepModel
from planner.vocabulary import Schedule
from provider_catalog.architecture import ModelArchitecture


@dataclass(frozen=True, slots=True)
class SplitBounds:
    """Bounds on splits and pipelines of one model on one kind of node."""

    architecture: ModelArchitecture
    workload: TrainingWorkload
    pin: Pin
    model: StepModel
    batch_sequences: int
    _bounds: dict[Split, float] = field(default_factory=dict)
    _idles: dict[int, float] = field(default_factory=dict)
    _schedules: dict[int, list[tuple[Schedule, int]]] = field(default_factory=dict)

    def in_order(self) -> Iterator[tuple[float, Split]]:
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
                    heap.append((self.bound(split), 0, split))
        heapq.heapify(heap)
        while heap:
            bound, place, split = heapq.heappop(heap)
            yield bound, split
            if place + 1 < len(contexts):
                wider = split._replace(context=contexts[place + 1])
                heapq.heappush(heap, (max(bound, self.bound(wider)), place + 1, wider))

    def bound(self, split: Split) -> float:
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

    def even_s(self, split: Split, pipeline: int) -> float:
        """Seconds of a micro-batch on a stage if all stages were equal and nothing had to be waited for."""
        tokens = split.micro_batch * self.workload.sequence_length
        return self.bound(split) * tokens / (split.tensor * split.context * pipeline)

    def idle(self, pipeline: int) -> float:
        """Micro-batches that the bubble of a pipeline is as long as, at least."""
        if pipeline not in self._idles:
            layers = self.architecture.layer_count
            shares = [
                chunk_share(layers, pipeline, chunks) if schedule in ("1f1b", "interleaved") else 0.0
                for schedule, chunks in self.schedules_of(pipeline)
            ]
            self._idles[pipeline] = (pipeline - 1) * min(shares)
        return self._idles[pipeline]

    def pipelines(self, split: Split, max_gpus: int) -> list[int]:
        """Numbers of stages to try on up to so many GPUs."""
        fixed = self.pin.layout.pipeline
        degrees = [fixed] if fixed else pipeline_degrees(self.architecture.layer_count)
        return [p for p in degrees if p * split.tensor * split.context <= max_gpus]

    def schedules_of(self, pipeline: int) -> list[tuple[Schedule, int]]:
        """(schedule, chunks a stage) to try on so many stages."""
        if pipeline not in self._schedules:
            self._schedules[pipeline] = schedules(self.architecture.layer_count, pipeline, self.pin)
        return self._schedules[pipeline]
