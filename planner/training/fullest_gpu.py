"""Memory of the fullest GPU for a search: `training_memory` as sums that are ready for any batch and any replicas."""

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
from planner.training.shape import Shape


class _Rank(NamedTuple):
    """One rank that can be the fullest."""

    held: Held
    in_flight: tuple[tuple[int, float], ...]
    """(index of the stage, bytes of a token of a micro-batch in flight) for each stage on the rank."""
    passing: float
    """Bytes of a token of the micro-batch at work."""


@dataclass(frozen=True)
class FullestGpu:
    """Bytes by shape, replicas and micro-batches; what only tensor, expert and pipeline decide is computed once."""

    profile: ModelProfile
    rules: StateRules
    sequence_length: int
    flash_attention: bool

    def bytes(self, shape: Shape, data: int, zero_stage: int, micro_batches: int) -> float:
        """What `training_memory` says in all, but for its rounding down of each part."""
        asked = (shape, data, zero_stage, micro_batches)
        known = self._known.get(asked)
        if known is None:
            known = self._known[asked] = self._bytes(shape, data, zero_stage, micro_batches)
        return known

    def _bytes(self, shape: Shape, data: int, zero_stage: int, micro_batches: int) -> float:
        split = shape.split
        replicas = data * split.context
        experts = min(split.expert, replicas)
        key = (split.tensor, experts, split.recompute, split.sequence_parallel, shape.pipeline, shape.two_way)
        known = self._ranks.get(key)
        if known is None:
            known = self._ranks[key] = (self._ranks_of(shape, experts), {})
        ranks, states_by_replicas = known
        states = states_by_replicas.get((replicas, zero_stage))
        if states is None:
            states = [_state_bytes(rank.held, replicas, experts, zero_stage) for rank in ranks]
            states_by_replicas[replicas, zero_stage] = states
        tokens = fragmented(self.sequence_length * split.micro_batch / split.context)
        _, pipeline, schedule, chunks = shape
        most = 0.0
        for rank, total in zip(ranks, states, strict=True):
            passing = rank.passing
            for index, per_token in rank.in_flight:
                passing += in_flight(schedule, pipeline, chunks, micro_batches, index) * per_token
            most = max(most, total + tokens * passing)
        groups = (split.tensor > 1) + (shape.pipeline > 1) + (data > 1) + (split.context > 1) + (split.expert > 1)
        return most + constant_bytes(self.profile, self.rules, split.tensor, groups)

    @cached_property
    def _known(self) -> dict[tuple[Shape, int, int, int], float]:
        """Kinds of node ask for the same."""
        return {}

    @cached_property
    def _ranks(self) -> dict[tuple[object, ...], tuple[tuple[_Rank, ...], dict[tuple[int, int], list[float]]]]:
        """The ranks, and their state by (replicas, ZeRO stage)."""
        return {}

    def _ranks_of(self, shape: Shape, experts: int) -> tuple[_Rank, ...]:
        split, hidden = shape.split, self.profile.architecture.hidden_size
        layout = Layout(
            tensor=split.tensor,
            pipeline=shape.pipeline,
            recompute=split.recompute,
            sequence_parallel=split.sequence_parallel,
        )
        length, flash = self.sequence_length, self.flash_attention
        ranks = []
        for held in held_state(self.profile, split.tensor, shape.pipeline, experts, shape.two_way, self.rules):
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
