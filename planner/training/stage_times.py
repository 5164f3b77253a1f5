"""Times of a pipeline stage and of a replica."""

from typing import Final, NamedTuple

from planner.training.pipeline_schedule import StageTime

COMPUTING_PARTS: Final = 12
"""Leading fields of `StageParts` that are computation; communication and launch waits follow."""


class StageParts(NamedTuple):
    """Seconds of one micro-batch on one pipeline stage, by part."""

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
    launch_forward: float
    launch_backward: float

    @property
    def computing(self) -> float:
        """Seconds of computation, without communication."""
        return sum(self[:COMPUTING_PARTS])

    @property
    def time(self) -> StageTime:
        """Seconds by direction, with the communication that computation waits for."""
        forward = self.matmul_forward + self.attention_forward + self.elementwise_forward
        forward += self.adapters_forward + self.dequantize_forward
        backward = self.matmul_input + self.attention_backward + self.elementwise_backward + self.recompute
        backward += self.adapters_backward + self.dequantize_backward
        forward += self.tensor_forward + self.context_forward + self.expert_forward + self.launch_forward
        backward += self.tensor_backward + self.context_backward + self.expert_backward + self.launch_backward
        return StageTime(forward, backward, self.matmul_weight)


class ReplicaTime(NamedTuple):
    """Times of one replica, without communication between replicas."""

    parts: StageParts
    """Parts of the slowest stage."""
    time: StageTime
    """Time of the slowest stage."""
    micro_batch_s: float
    """Seconds of each micro-batch: the slowest stage and the transfers that it waits for."""
    transfer_s: float
    """Seconds of each micro-batch in exposed transfers between stages."""
    bubble_s: float
    """Idle seconds of each step at its start and end."""
