"""What a step is computed from: the parts of a stage, and a layout without its replicas."""

from typing import Final, NamedTuple

from planner.plan.layout import Layout
from planner.training.layer_time import Split
from planner.training.schedule import StageTime
from planner.vocabulary import Schedule, ZeroStage

COMPUTING_PARTS: Final = 12
"""Leading fields of `StageParts` that are no communication."""


class StageParts(NamedTuple):
    """Seconds of one micro-batch on one stage, by part."""

    matmul_forward: float
    matmul_input: float
    matmul_weight: float
    attention_forward: float
    attention_backward: float
    elementwise_forward: float
    elementwise_backward: float
    recompute: float
    adapters_forward: float
    adapters_backward: float
    dequantize_forward: float
    dequantize_backward: float
    tensor_forward: float
    tensor_backward: float
    context_forward: float
    context_backward: float
    expert_forward: float
    expert_backward: float
    host_forward: float
    host_backward: float

    @property
    def computing(self) -> float:
        """Without communication."""
        return sum(self[:COMPUTING_PARTS])

    @property
    def time(self) -> StageTime:
        """By direction, communication that computation waits for included."""
        forward = self.matmul_forward + self.attention_forward + self.elementwise_forward
        forward += self.adapters_forward + self.dequantize_forward
        backward = self.matmul_input + self.attention_backward + self.elementwise_backward + self.recompute
        backward += self.adapters_backward + self.dequantize_backward
        forward += self.tensor_forward + self.context_forward + self.expert_forward + self.host_forward
        backward += self.tensor_backward + self.context_backward + self.expert_backward + self.host_backward
        return StageTime(forward, backward, self.matmul_weight)


class Shape(NamedTuple):
    """A layout but for the number of replicas and what ZeRO divides among them."""

    split: Split
    pipeline: int
    schedule: Schedule
    chunks: int

    @classmethod
    def of(cls, layout: Layout) -> "Shape":
        """The shape of a layout."""
        split = Split(
            layout.tensor,
            layout.context,
            layout.expert,
            layout.micro_batch,
            layout.recompute,
            layout.sequence_parallel,
        )
        return cls(split, layout.pipeline, layout.schedule, layout.virtual_stages)

    @property
    def gpus(self) -> int:
        """Of one replica."""
        return self.split.tensor * self.split.context * self.pipeline

    @property
    def two_way(self) -> bool:
        """Whether every stage lies on two ranks."""
        return self.schedule == "dualpipe" and self.pipeline > 1

    def layout(self, data: int, zero_stage: ZeroStage) -> Layout:
        """The complete layout."""
        split = self.split
        return Layout(
            tensor=split.tensor,
            pipeline=self.pipeline,
            data=data,
            expert=split.expert,
            context=split.context,
            micro_batch=split.micro_batch,
            virtual_stages=self.chunks,
            zero_stage=zero_stage,
            recompute=split.recompute,
            sequence_parallel=split.sequence_parallel,
            schedule=self.schedule,
        )


class Pace(NamedTuple):
    """What a shape takes whatever the number of its replicas."""

    parts: StageParts
    time: StageTime
    micro_batch_s: float
    """Of every micro-batch: the slowest stage, and transfers that it waits for."""
    once_s: float
    """Of every step: the bubble."""
    transfer_s: float
    bubble_s: float
