"""ModelProfile: running sums over the layers of a model, which a layout search reads thousands of times."""

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter, le

from planner.sizing.layer_profile import BF16_BYTES, LayerProfile, layer_profile
from planner.sizing.stages import stage_sizes
from provider_catalog.architecture import ModelArchitecture

SUMMED = (
    "dense_parameters",
    "expert_parameters",
    "replicated_parameters",
    "key_value_parameters",
    "parameters_per_key_value_head",
    "vector_parameters",
    "router_parameters",
    "attention_edges",
    "feed_forward_edges",
    "expert_edges",
    "replicated_activation_bytes",
    "sharded_activation_bytes",
    "score_activation_bytes_per_context_token",
    "cheap_replicated_activation_bytes",
    "cheap_sharded_activation_bytes",
)
"""Fields of a LayerProfile that a Stage holds as sums over its layers."""

_summed = attrgetter(*SUMMED)


@dataclass(frozen=True, slots=True)
class Stage:
    """One pipeline stage as sums over its layers. The fields have the meaning of those in LayerProfile."""

    index: int
    layers: int
    holds_embedding: bool
    holds_head: bool
    dense_parameters: float
    expert_parameters: float
    replicated_parameters: float
    key_value_parameters: float
    parameters_per_key_value_head: float
    vector_parameters: float
    router_parameters: float
    attention_edges: float
    feed_forward_edges: float
    expert_edges: float
    replicated_activation_bytes: float
    sharded_activation_bytes: float
    score_activation_bytes_per_context_token: float
    cheap_replicated_activation_bytes: float
    cheap_sharded_activation_bytes: float
    largest_layer: LayerProfile
    """Greatest value of each number over the layers of the stage."""
    magnitudes: tuple[float, ...]
    """All sums, then the same numbers of the largest layer."""


@dataclass(frozen=True, eq=False)
class ModelProfile:
    """Per-layer numbers of a model and their sums for any pipeline split. It is hashed by identity, for caches."""

    architecture: ModelArchitecture
    layers: tuple[LayerProfile, ...]

    @classmethod
    def of(cls, architecture: ModelArchitecture, operand_bytes: int = BF16_BYTES) -> "ModelProfile":
        """Profile of an architecture, layer by layer.

        Args:
            architecture: The model.
            operand_bytes: Bytes of a value kept as the input of a matrix product (`layer_profile`).
        """
        groups = [layer_profile(group, architecture.hidden_size, operand_bytes) for group in architecture.layers]
        return cls(architecture, tuple(groups[index] for index in architecture.layer_sequence))

    @cached_property
    def head_flops_per_token(self) -> float:
        """Forward FLOPs of the output projection per token, tied or not."""
        return 2.0 * self.architecture.vocab_size * self.architecture.hidden_size

    @cached_property
    def matmul_flops_per_token(self) -> float:
        """Forward FLOPs per token of all active weights. The embedding is a look-up and costs none."""
        return sum(layer.forward_matmul_flops for layer in self.layers) + self.head_flops_per_token

    @cached_property
    def expert_flops_per_token(self) -> float:
        """Forward FLOPs per token of the routed experts that it uses; part of matmul_flops_per_token."""
        return sum(
            2.0 * group.count * block.routed_expert_parameters * block.experts_per_token / block.experts
            for group in self.architecture.layers
            if (block := group.feed_forward).experts
        )

    @cached_property
    def embedding_stage_parameters(self) -> int:
        """Parameters that the first stage holds beside its layers."""
        return self.architecture.embedding_parameters

    @cached_property
    def head_stage_parameters(self) -> int:
        """Parameters that the last stage holds beside its layers. With several stages a tied head is a copy."""
        architecture = self.architecture
        return (architecture.head_parameters or architecture.embedding_parameters) + architecture.other_parameters

    def causal_attention_flops_per_token(self, sequence_length: int) -> float:
        """Mean forward attention FLOPs per token of a causal sequence, of which a token sees half on average."""
        total = 0.0
        for window, flops in self._attention_by_window:
            visible = sequence_length / 2
            if window is not None and window < sequence_length:
                visible = window * (1 - window / (2 * sequence_length))
            total += flops * visible
        return total

    @cached_property
    def _attention_by_window(self) -> tuple[tuple[int | None, float], ...]:
        """Attention FLOPs per token and context token, summed over the layers with the same window."""
        sums: dict[int | None, float] = {}
        for layer in self.layers:
            sums[layer.window] = sums.get(layer.window, 0.0) + layer.attention_flops_per_context_token
        return tuple(sums.items())

    @cached_property
    def largest_matrix_parameters(self) -> int:
        """Parameters of the largest matrix of a layer, routed experts aside."""
        return max(layer.largest_matrix_parameters for layer in self.layers)

    @cached_property
    def _sums(self) -> tuple[tuple[float, ...], ...]:
        columns = ([getattr(layer, name) for layer in self.layers] for name in SUMMED)
        return tuple(tuple(accumulate(column, initial=0)) for column in columns)

    def stages(self, pipeline: int) -> tuple[Stage, ...]:
        """The pipeline stages, contiguous.

        Raises:
            ValueError: fewer layers than stages, or no stage.
        """
        if pipeline not in self._stages:
            spans = self._spans(pipeline)
            self._stages[pipeline] = tuple(
                self._stage(index, pipeline, start, end, self._magnitudes(start, end))
                for index, (start, end) in enumerate(spans)
            )
        return self._stages[pipeline]

    def extreme_stages(self, pipeline: int) -> tuple[Stage, ...]:
        """Stages that can be the fullest under some layout: no earlier stage exceeds them in every number.

        Raises:
            ValueError: fewer layers than stages, or no stage.
        """
        if pipeline not in self._extreme_stages:
            kept: list[Stage] = []
            for index, (start, end) in enumerate(self._spans(pipeline)):
                sums = self._magnitudes(start, end)
                outdone = any(all(map(le, sums, earlier.magnitudes)) for earlier in kept)
                if index == pipeline - 1 or not outdone:
                    kept.append(self._stage(index, pipeline, start, end, sums))
            self._extreme_stages[pipeline] = tuple(kept)
        return self._extreme_stages[pipeline]

    def _spans(self, pipeline: int) -> tuple[tuple[int, int], ...]:
        """First layer of every stage, and the first beyond it."""
        bounds = tuple(accumulate(stage_sizes(len(self.layers), pipeline), initial=0))
        return tuple(pairwise(bounds))

    def _magnitudes(self, start: int, end: int) -> tuple[float, ...]:
        """Every sum over some layers, then the same of the largest layer."""
        largest = self._largest(start, end)
        sums = [column[end] - column[start] for column in self._sums]
        return (*sums, *_summed(largest))

    def _stage(self, index: int, pipeline: int, start: int, end: int, magnitudes: tuple[float, ...]) -> Stage:
        return Stage(
            index=index,
            layers=end - start,
            holds_embedding=index == 0,
            holds_head=index == pipeline - 1,
            largest_layer=self._largest(start, end),
            magnitudes=magnitudes,
            **dict(zip(SUMMED, magnitudes, strict=False)),
        )

    def _largest(self, start: int, end: int) -> LayerProfile:
        """A layer made of the greatest of each number over some layers."""
        shapes = tuple(dict.fromkeys(self.architecture.layer_sequence[start:end]))
        if shapes not in self._largest_of:
            self._largest_of[shapes] = _greatest([self._layer_of[shape] for shape in shapes])
        return self._largest_of[shapes]

    @cached_property
    def _layer_of(self) -> dict[int, LayerProfile]:
        return dict(zip(self.architecture.layer_sequence, self.layers, strict=True))

    @cached_property
    def _largest_of(self) -> dict[tuple[int, ...], LayerProfile]:
        return {}

    @cached_property
    def _stages(self) -> dict[int, tuple[Stage, ...]]:
        return {}

    @cached_property
    def _extreme_stages(self) -> dict[int, tuple[Stage, ...]]:
        return {}


def _greatest(shapes: list[LayerProfile]) -> LayerProfile:
    if len(shapes) == 1:
        return shapes[0]
    return LayerProfile(
        **{
            field.name: max(getattr(shape, field.name) for shape in shapes)
            for field in fields(LayerProfile)
            if field.name != "window"
        },
        window=None,
    )
