"""The layout of one replica: a layout without its data-parallel degree and its ZeRO stage."""

from typing import NamedTuple

from planner.plan.layout import Layout
from planner.training.layer_time import Split
from planner.vocabulary import Schedule, ZeroStage


class ReplicaLayout(NamedTuple):
    """A layout but for the number of replicas and what ZeRO divides among them."""

    split: Split
    pipeline: int
    schedule: Schedule
    chunks: int

    @classmethod
    def of(cls, layout: Layout) -> "ReplicaLayout":
        """The replica of a layout."""
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
    def bidirectional(self) -> bool:
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
