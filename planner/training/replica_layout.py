"""The layout of one replica: a layout without its data-parallel degree and its ZeRO stage."""

from typing import NamedTuple

from planner.plan.layout import Layout
from planner.training.layer_time import Split
from planner.vocabulary import Schedule, ZeroStage


class ReplicaLayout(NamedTuple):
    """Tensor, context, expert and pipeline parallelism of one replica, with its schedule."""

    split: Split
    """How a layer is divided."""
    pipeline: int
    schedule: Schedule
    chunks: int
    """Virtual stages of each pipeline stage."""

    @classmethod
    def of(cls, layout: Layout) -> "ReplicaLayout":
        """Return the part of a layout that concerns one replica."""
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
        """GPUs of one replica."""
        return self.split.tensor * self.split.context * self.pipeline

    @property
    def bidirectional(self) -> bool:
        """Whether the pipeline is fed from both ends, so that two ranks hold each stage (DualPipe)."""
        return self.schedule == "dualpipe" and self.pipeline > 1

    def layout(self, data: int, zero_stage: ZeroStage) -> Layout:
        """Return the complete layout for a data-parallel degree and a ZeRO stage."""
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
