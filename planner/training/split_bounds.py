"""Lower bounds on step time for the splits of a layer, used to order the search."""

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
from planner.training.pipeline_schedule import chunk_share
from planner.training.step_time import StepModel
from planner.vocabulary import Schedule
from provider_catalog.architecture import ModelArchitecture


@dataclass(frozen=True, slots=True)
class SplitBounds:
    """Lower bounds for splits and pipelines of one model on one kind of node."""

    architecture: ModelArchitecture
    workload: TrainingWorkload
    pin: Pin
    model: StepModel
    batch_sequences: int
    _bounds: dict[Split, float] = field(default_factory=dict)
    _least_bubbles: dict[int, float] = field(default_factory=dict)
    _schedules: dict[int, list[tuple[Schedule, int]]] = field(default_factory=dict)

    def in_order(self) -> Iterator[tuple[float, Split]]:
        """Yield (bound, split) in the order of the bound.

        More context parallelism never lowers the bound, so wider splits enter the heap after narrower ones.
        """
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
        """Return a lower bound on the GPU seconds of a token."""
        if split not in self._bounds:
            self._bounds[split] = self._bound_of(split)
        return self._bounds[split]

    def _bound_of(self, split: Split) -> float:
        bound = self.model.busy_gpu_s_per_token(split)
        fixed = self.pin.layout
        if split.expert > 1 and fixed.schedule == "dualpipe" and fixed.pipeline != 1:
            bound = min(bound, self.model.busy_gpu_s_per_token(split, bidirectional=True))
        return bound

    def even_stage_s(self, split: Split, pipeline: int) -> float:
        """Return the seconds of a micro-batch on a stage if all stages were equal and never waited."""
        tokens = split.micro_batch * self.workload.sequence_length
        return self.bound(split) * tokens / (split.tensor * split.context * pipeline)

    def least_bubble_micro_batches(self, pipeline: int) -> float:
        """Return a lower bound on the bubble of a pipeline, in micro-batch times."""
        if pipeline not in self._least_bubbles:
            layers = self.architecture.layer_count
            shares = [
                chunk_share(layers, pipeline, chunks) if schedule in ("1f1b", "interleaved") else 0.0
                for schedule, chunks in self.schedules_of(pipeline)
            ]
            self._least_bubbles[pipeline] = (pipeline - 1) * min(shares)
        return self._least_bubbles[pipeline]

    def pipelines(self, split: Split, max_gpus: int) -> list[int]:
        """Return the pipeline degrees to try on at most `max_gpus`."""
        fixed = self.pin.layout.pipeline
        degrees = [fixed] if fixed else pipeline_degrees(self.architecture.layer_count)
        return [p for p in degrees if p * split.tensor * split.context <= max_gpus]

    def schedules_of(self, pipeline: int) -> list[tuple[Schedule, int]]:
        """Return (schedule, chunks of each stage) to try on a pipeline of this degree."""
        if pipeline not in self._schedules:
            self._schedules[pipeline] = schedules(self.architecture.layer_count, pipeline, self.pin)
        return self._schedules[pipeline]
