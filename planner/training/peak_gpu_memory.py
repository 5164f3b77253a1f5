"""Memory of the fullest GPU for the layout search: `training_memory`, with everything memoised that layouts share."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from planner.plan.layout import Layout
from planner.sizing.activations import activation_bytes, in_flight, recomputed_bytes
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import (
    EAGER_LOGIT_BYTES,
    LOGIT_BYTES,
    Held,
    constant_bytes,
    fragmented,
    held_state,
    outside_bytes_per_token,
    zero_buffers,
    zero_state,
)
from planner.training.replica_layout import ReplicaLayout


class _Rank(NamedTuple):
    """Memory of one rank that may be the fullest."""

    held: Held
    in_flight: tuple[tuple[int, float], ...]
    """(index of the stage, bytes per token of a micro-batch in flight) for each stage on the rank."""
    passing: float
    """Bytes per token of the micro-batch that is being computed."""


@dataclass(frozen=True)
class PeakGpuMemory:
    """Computes the memory of the fullest GPU; parts that depend on few degrees only are computed once."""

    profile: ModelProfile
    rules: StateRules
    sequence_length: int
    flash_attention: bool

    def bytes(self, replica: ReplicaLayout, data: int, zero_stage: int, micro_batches: int) -> float:
        """Return the total of `training_memory`, without its rounding down of each part."""
        asked = (replica, data, zero_stage, micro_batches)
        known = self._known.get(asked)
        if known is None:
            known = self._known[asked] = self._bytes(replica, data, zero_stage, micro_batches)
        return known

    def _bytes(self, replica: ReplicaLayout, data: int, zero_stage: int, micro_batches: int) -> float:
        split = replica.split
        replicas = data * split.context
        experts = min(split.expert, replicas)
        key = (split.tensor, experts, split.recompute, split.sequence_parallel, replica.pipeline, replica.bidirectional)
        known = self._ranks.get(key)
        if known is None:
            known = self._ranks[key] = (self._ranks_of(replica, experts), {})
        ranks, states_by_replicas = known
        states = states_by_replicas.get((replicas, zero_stage))
        if states is None:
            states = [_state_bytes(rank.held, replicas, experts, zero_stage) for rank in ranks]
            states_by_replicas[replicas, zero_stage] = states
        tokens = fragmented(self.sequence_length * split.micro_batch / split.context)
        _, pipeline, schedule, chunks = replica
        most = 0.0
        for rank, total in zip(ranks, states, strict=True):
            passing = rank.passing
            for index, per_token in rank.in_flight:
                passing += in_flight(schedule, pipeline, chunks, micro_batches, index) * per_token
            most = max(most, total + tokens * passing)
        groups = (split.tensor > 1) + (replica.pipeline > 1) + (data > 1) + (split.context > 1) + (split.expert > 1)
        return most + constant_bytes(self.profile, self.rules, split.tensor, groups)

    @cached_property
    def _known(self) -> dict[tuple[ReplicaLayout, int, int, int], float]:
        """Results by layout; several kinds of node ask for the same."""
        return {}

    @cached_property
    def _ranks(self) -> dict[tuple[object, ...], tuple[tuple[_Rank, ...], dict[tuple[int, int], list[float]]]]:
        """Ranks by the degrees that decide them, each with its state by (replicas, ZeRO stage)."""
        return {}

    def _ranks_of(self, replica: ReplicaLayout, experts: int) -> tuple[_Rank, ...]:
        split, hidden = replica.split, self.profile.architecture.hidden_size
        layout = Layout(
            tensor=split.tensor,
            pipeline=replica.pipeline,
            recompute=split.recompute,
            sequence_parallel=split.sequence_parallel,
        )
        length, flash = self.sequence_length, self.flash_attention
        ranks = []
        for held in held_state(
            self.profile, split.tensor, replica.pipeline, experts, replica.bidirectional, self.rules
        ):
            kept_by_stage, passing = [], 0.0
            for stage in held.rank:
                kept = activation_bytes(stage, layout, length, hidden, flash) / length
                outside, logits = outside_bytes_per_token(self.profile, stage, layout)
                kept_by_stage.append((stage.index, kept + outside))
                passing += logits if self.rules.method == "full" else logits * EAGER_LOGIT_BYTES / LOGIT_BYTES
            if split.recompute != "none":
                passing += max(recomputed_bytes(stage, layout, length, hidden, flash) / length for stage in held.rank)
            ranks.append(_Rank(held, tuple(kept_by_stage), passing))
        return tuple(ranks)


def _state_bytes(held: Held, replicas: int, experts: int, zero_stage: int) -> float:
    kept = zero_state(held, replicas, experts, zero_stage)
    buffers = zero_buffers(held, zero_stage, kept) if zero_stage >= 2 else {}
    return sum(kept) + sum(buffers.values())
