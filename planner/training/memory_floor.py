"""Less memory than which no layout takes: a bound that spares the search most of the exact answers."""

from dataclasses import dataclass
from functools import cached_property

from planner.sizing.optimizer_state import OPTIMIZERS, WEIGHT_BYTES, StateRules
from planner.sizing.profile import ModelProfile
from planner.training.layer_time import Recompute
from planner.training.shape import Shape


@dataclass(frozen=True)
class MemoryFloor:
    """Training state divided evenly, and activations of the layers in 1F1B; nothing else."""

    profile: ModelProfile
    rules: StateRules
    sequence_length: int
    flash_attention: bool

    def bytes(self, shape: Shape, data: int, zero_stage: int, micro_batches: int) -> float:
        """Bytes on the fullest GPU, or less. Frozen weights are not counted."""
        return self._state_bytes(shape, data, zero_stage) + self._activation_bytes(shape, micro_batches)

    def _state_bytes(self, shape: Shape, data: int, zero_stage: int) -> float:
        if self.rules.method != "full":
            return 0.0
        split = shape.split
        dense, experts = self._parameters
        holders = data * split.context
        ranks = split.tensor * shape.pipeline
        whole = (dense + experts / min(split.expert, holders)) / ranks
        shared = (dense + experts) / (ranks * holders)
        states = OPTIMIZERS[self.rules.optimizer]
        optimizer = min(states.matrix, states.embedding, states.vector)
        return (
            WEIGHT_BYTES * (shared if zero_stage == 3 else whole)
            + self.rules.gradient_bytes * (shared if zero_stage >= 2 else whole)
            + optimizer * (shared if zero_stage >= 1 else whole)
        )

    def _activation_bytes(self, shape: Shape, micro_batches: int) -> float:
        split = shape.split
        whole = split.tensor if split.sequence_parallel else 1
        tokens = split.micro_batch * self.sequence_length / split.context
        most = 0.0
        for index, layers, replicated, sharded in self._kept(shape.pipeline, split.recompute):
            if split.recompute == "full":
                per_token = 2 * self.profile.architecture.hidden_size * layers / whole
            else:
                per_token = replicated / whole + sharded / split.tensor
            most = max(most, min(shape.pipeline - index, micro_batches) * per_token)
        return most * tokens

    @cached_property
    def _parameters(self) -> tuple[int, int]:
        architecture = self.profile.architecture
        experts = architecture.routed_expert_parameters
        return architecture.total_parameters - experts, experts

    def _kept(self, pipeline: int, recompute: Recompute) -> list[tuple[int, int, float, float]]:
        """(index, layers, replicated and sharded activation bytes of a token) of the stages that can be the fullest."""
        key = (pipeline, recompute == "selective" and self.flash_attention)
        if key not in self._kept_by_stage:
            cheap = float(key[1])
            self._kept_by_stage[key] = [
                (
                    stage.index,
                    stage.layers,
                    stage.replicated_activation_bytes - cheap * stage.cheap_replicated_activation_bytes,
                    stage.sharded_activation_bytes - cheap * stage.cheap_sharded_activation_bytes,
                )
                for stage in self.profile.extreme_stages(pipeline)
            ]
        return self._kept_by_stage[key]

    @cached_property
    def _kept_by_stage(self) -> dict[tuple[int, bool], list[tuple[int, int, float, float]]]:
        return {}
