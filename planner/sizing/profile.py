"""ModelProfile: an architecture as the running sums that a layout search reads thousands of times."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from planner.sizing.stages import stage_sizes
from provider_catalog.architecture import Attention, FeedForward, LayerGroup, ModelArchitecture

BF16_BYTES = 2


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """One layer in numbers. Activation bytes are per token in 16-bit training without recompute."""

    dense_parameters: int
    """Everything but routed experts."""
    expert_parameters: int
    """All routed experts together."""
    forward_matmul_flops: float
    """Per token, active weights only."""
    attention_flops_per_context_token: float
    """Per token and token attended to, forward."""
    window: int | None
    replicated_activation_bytes: float
    """Not divided by tensor parallelism unless sequence parallelism is on."""
    sharded_activation_bytes: float
    """Divided by the tensor-parallel degree."""
    score_activation_bytes_per_context_token: float
    """Attention scores and their dropout mask, per token attended to; kept only without FlashAttention."""
    expert_tokens: int
    """Copies of each token that expert parallelism sends away: the top-k of a mixture-of-experts layer."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One pipeline stage as sums over its layers."""

    index: int
    layers: int
    dense_parameters: int
    expert_parameters: int
    replicated_activation_bytes: float
    sharded_activation_bytes: float
    score_activation_bytes_per_context_token: float
    holds_embedding: bool
    holds_head: bool


def attention_flops_per_context_token(attention: Attention) -> float:
    """Forward FLOPs per token and per token attended to: QK^T and the weighted sum of V, 2 FLOPs a multiply-add."""
    if attention.kind not in ("gqa", "mla"):
        return 0.0
    return 2.0 * attention.heads * (attention.head_dim + (attention.value_head_dim or attention.head_dim))


def _layer_profile(group: LayerGroup, hidden: int) -> LayerProfile:
    attention, feed_forward = group.attention, group.feed_forward
    value_width = attention.heads * (attention.value_head_dim or attention.head_dim)
    query_width = attention.heads * attention.head_dim
    # MLA expands its latent to full keys and values for every head when training.
    kv_heads = attention.heads if attention.kind == "mla" else attention.kv_heads
    key_value_width = kv_heads * (attention.head_dim + (attention.value_head_dim or attention.head_dim))
    active = group.parameters - group.norm_parameters - feed_forward.routed_expert_parameters
    if feed_forward.experts:
        active += feed_forward.routed_expert_parameters * feed_forward.experts_per_token // feed_forward.experts
    return LayerProfile(
        dense_parameters=group.parameters - feed_forward.routed_expert_parameters,
        expert_parameters=feed_forward.routed_expert_parameters,
        forward_matmul_flops=2.0 * active,
        attention_flops_per_context_token=attention_flops_per_context_token(attention),
        window=attention.window,
        replicated_activation_bytes=_replicated_activation_bytes(feed_forward, hidden),
        sharded_activation_bytes=BF16_BYTES * (query_width + key_value_width + value_width)
        + _feed_forward_activation_bytes(feed_forward, hidden),
        score_activation_bytes_per_context_token=5.0 * attention.heads if attention.kind in ("gqa", "mla") else 0.0,
        expert_tokens=feed_forward.experts_per_token,
    )


def _replicated_activation_bytes(feed_forward: FeedForward, hidden: int) -> float:
    """Inputs of both norms, of the attention block and of the MLP (2 bytes each), and two 1-byte dropout masks.

    The 10 of Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.1. Gated models train without dropout.
    """
    return float(hidden * (8 if feed_forward.gated else 10))


def _feed_forward_activation_bytes(feed_forward: FeedForward, hidden: int) -> float:
    """Inner activations per token: up and product (4f), plus gate (2f) when gated; experts also keep their input.

    Korthikanti et al. 2022 count 16 h for f = 4h ungated (section 4.1): GeLU input and output, 2 bytes each.
    """
    matrices = 3 if feed_forward.gated else 2
    inner = BF16_BYTES * matrices * feed_forward.intermediate_size
    routed = feed_forward.experts_per_token * BF16_BYTES
    return float(inner + routed * (matrices * feed_forward.expert_intermediate_size + 2 * hidden))


@dataclass(frozen=True)
class ModelProfile:
    """Per-layer numbers of a model and their sums for any pipeline split."""

    architecture: ModelArchitecture
    layers: tuple[LayerProfile, ...]

    @classmethod
    def of(cls, architecture: ModelArchitecture) -> "ModelProfile":
        """Profile of an architecture, layer by layer."""
        groups = [_layer_profile(group, architecture.hidden_size) for group in architecture.layers]
        return cls(architecture, tuple(groups[index] for index in architecture.layer_sequence))

    @cached_property
    def head_flops_per_token(self) -> float:
        """Forward FLOPs of the output projection, tied or not."""
        return 2.0 * self.architecture.vocab_size * self.architecture.hidden_size

    @cached_property
    def matmul_flops_per_token(self) -> float:
        """Forward FLOPs per token of all weights a token passes through; the embedding is a look-up and costs none."""
        return sum(layer.forward_matmul_flops for layer in self.layers) + self.head_flops_per_token

    @cached_property
    def expert_flops_per_token(self) -> float:
        """Forward FLOPs per token of the routed experts it is sent to; part of matmul_flops_per_token."""
        return sum(
            2.0 * group.count * block.routed_expert_parameters * block.experts_per_token / block.experts
            for group in self.architecture.layers
            if (block := group.feed_forward).experts
        )

    def mean_expert_share(self, tokens: int) -> float:
        """Expected share of the routed experts that `tokens` evenly routed tokens touch: 1 - (1 - k/E)^tokens."""
        block = self._expert_block
        if block is None:
            return 0.0
        return 1 - (1 - block.experts_per_token / block.experts) ** max(tokens, 1)

    @cached_property
    def _expert_block(self) -> FeedForward | None:
        return next((g.feed_forward for g in self.architecture.layers if g.feed_forward.experts), None)

    @cached_property
    def embedding_stage_parameters(self) -> int:
        """What the first stage holds beside its layers."""
        return self.architecture.embedding_parameters

    @cached_property
    def head_stage_parameters(self) -> int:
        """What the last stage holds beside its layers; a tied head is a copy there when the pipeline splits."""
        architecture = self.architecture
        return (architecture.head_parameters or architecture.embedding_parameters) + architecture.other_parameters

    def attention_flops_per_token(self, context_tokens: float) -> float:
        """Forward attention FLOPs per token when each attends to `context_tokens` tokens, windows respected."""
        return sum(
            flops * (context_tokens if window is None else min(context_tokens, window))
            for window, flops in self._attention_by_window
        )

    def causal_attention_flops_per_token(self, sequence_length: int) -> float:
        """Mean forward attention FLOPs per token of a causal sequence: half of it is visible on average."""
        total = 0.0
        for window, flops in self._attention_by_window:
            visible = sequence_length / 2
            if window is not None and window < sequence_length:
                visible = window * (1 - window / (2 * sequence_length))
            total += flops * visible
        return total

    @cached_property
    def _attention_by_window(self) -> tuple[tuple[int | None, float], ...]:
        """Attention FLOPs per token and context token, summed over the layers that see equally far."""
        sums: dict[int | None, float] = {}
        for layer in self.layers:
            sums[layer.window] = sums.get(layer.window, 0.0) + layer.attention_flops_per_context_token
        return tuple(sums.items())

    @cached_property
    def _sums(self) -> tuple[tuple[float, ...], ...]:
        columns = zip(
            *(
                (
                    layer.dense_parameters,
                    layer.expert_parameters,
                    layer.replicated_activation_bytes,
                    layer.sharded_activation_bytes,
                    layer.score_activation_bytes_per_context_token,
                )
                for layer in self.layers
            ),
            strict=True,
        )
        return tuple(tuple(accumulate(column, initial=0)) for column in columns)

    def stages(self, pipeline: int) -> tuple[Stage, ...]:
        """The pipeline stages, contiguous.

        Raises:
            ValueError: fewer layers than stages, or no stage.
        """
        if pipeline in self._stages:
            return self._stages[pipeline]
        stages, start = [], 0
        for index, size in enumerate(stage_sizes(len(self.layers), pipeline)):
            end = start + size
            dense, expert, replicated, sharded, score = (column[end] - column[start] for column in self._sums)
            stages.append(
                Stage(
                    index=index,
                    layers=end - start,
                    dense_parameters=int(dense),
                    expert_parameters=int(expert),
                    replicated_activation_bytes=replicated,
                    sharded_activation_bytes=sharded,
                    score_activation_bytes_per_context_token=score,
                    holds_embedding=index == 0,
                    holds_head=index == pipeline - 1,
                )
            )
            start = end
        self._stages[pipeline] = tuple(stages)
        return self._stages[pipeline]

    @cached_property
    def _stages(self) -> dict[int, tuple[Stage, ...]]:
        return {}
