"""One layer in numbers: parameters by how they are divided, and activations kept for the backward pass."""

from collections.abc import Iterable
from dataclasses import dataclass

from provider_catalog.architecture import LayerGroup
from provider_catalog.attention.base import Attention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.matrices import Matrix

BF16_BYTES = 2
FP32_BYTES = 4


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """One layer in numbers. Activation bytes are per token, without recompute."""

    dense_parameters: int
    """All parameters without routed experts."""
    expert_parameters: int
    """All routed experts together."""
    replicated_parameters: int
    """Dense parameters that every tensor-parallel rank holds whole: norms, router, latent down-projections."""
    key_value_parameters: int
    """Key and value projections, divided among at most kv_heads ranks."""
    parameters_per_key_value_head: float
    """Key and value projections of one head, which every rank holds at least."""
    vector_parameters: int
    """Norms, biases, convolutions and decay rates, which matrix optimizers and adapters leave alone."""
    router_parameters: int
    attention_edges: int
    """Rows and columns of all matrices of the attention block. LoRA of rank r has r times as many parameters."""
    feed_forward_edges: int
    """Rows and columns of the dense or shared feed-forward block."""
    expert_edges: int
    """Rows and columns of all routed experts together."""
    forward_matmul_flops: float
    """Forward FLOPs of products with active weights, per token."""
    attention_flops_per_context_token: float
    """Forward FLOPs per token and per token that it attends to."""
    window: int | None
    replicated_activation_bytes: float
    """Activations that tensor parallelism divides only together with sequence parallelism."""
    sharded_activation_bytes: float
    """Activations that tensor parallelism divides."""
    score_activation_bytes_per_context_token: float
    """Attention scores and their dropout mask, per token of the sequence; kept only without FlashAttention."""
    cheap_replicated_activation_bytes: float
    """Part of replicated_activation_bytes that selective recompute drops beside scores: the outputs of norms."""
    cheap_sharded_activation_bytes: float
    """Part of sharded_activation_bytes that selective recompute drops: outputs of activation functions, and MLA's
    expanded queries, keys and values. DeepSeek-V3 recomputes them (arXiv 2412.19437, section 3.2.3), as does
    Megatron-Core with --recompute-modules."""
    expert_tokens: int
    """Copies of each token that expert parallelism sends away: the top-k of a mixture-of-experts layer, else 0."""
    largest_matrix_parameters: int


def layer_profile(group: LayerGroup, hidden: int, operand_bytes: int = BF16_BYTES) -> LayerProfile:
    """Profile of one layer of a group.

    Args:
        group: Layers of one shape.
        hidden: Width of the residual stream.
        operand_bytes: Bytes of a value kept as the input of a product: 2, or 1 in 8-bit training, which keeps the cast
            that the product reads (DeepSeek-V3, arXiv 2412.19437, section 3.3.3; Transformer Engine).
    """
    attention, feed_forward = group.attention, group.feed_forward
    active = group.parameters - group.norm_parameters - feed_forward.routed_expert_parameters
    if feed_forward.experts:
        active += feed_forward.routed_expert_parameters * feed_forward.experts_per_token // feed_forward.experts
    projections, dense_matrices = attention.projections, feed_forward.dense_matrices
    small = feed_forward.router_parameters + feed_forward.high_precision_parameters
    return LayerProfile(
        dense_parameters=group.parameters - feed_forward.routed_expert_parameters,
        expert_parameters=feed_forward.routed_expert_parameters,
        replicated_parameters=attention.replicated_parameters + small + group.norm_parameters,
        key_value_parameters=attention.key_value_parameters,
        parameters_per_key_value_head=attention.key_value_parameters / max(attention.kv_heads, 1),
        vector_parameters=(
            group.norm_parameters + attention.high_precision_parameters + feed_forward.high_precision_parameters
        ),
        router_parameters=feed_forward.router_parameters,
        attention_edges=_edges(projections),
        feed_forward_edges=_edges(dense_matrices),
        expert_edges=feed_forward.experts * _edges(feed_forward.expert_matrices),
        forward_matmul_flops=2.0 * active,
        attention_flops_per_context_token=attention.score_flops_per_context_token,
        window=attention.window,
        replicated_activation_bytes=_replicated_activation_bytes(group, hidden, operand_bytes),
        sharded_activation_bytes=_attention_activation_bytes(attention, operand_bytes)
        + _feed_forward_activation_bytes(feed_forward, hidden, operand_bytes),
        score_activation_bytes_per_context_token=5.0 * attention.score_heads,
        cheap_replicated_activation_bytes=float(
            operand_bytes * hidden * (attention.mixes_tokens + feed_forward.exists)
        ),
        cheap_sharded_activation_bytes=_cheap_sharded_activation_bytes(attention, feed_forward, operand_bytes),
        expert_tokens=feed_forward.experts_per_token,
        largest_matrix_parameters=max(
            (matrix.inputs * matrix.outputs for matrix in (*projections, *dense_matrices)), default=0
        ),
    )


def _edges(matrices: Iterable[Matrix]) -> int:
    """Rows plus columns of all matrices."""
    return sum(matrix.inputs + matrix.outputs for matrix in matrices)


def _replicated_activation_bytes(group: LayerGroup, hidden: int, operand_bytes: int) -> float:
    """Inputs of every norm and of the first matrix of every block (2 bytes each), and a 1-byte dropout mask each.

    For two blocks these are the 10 bytes of Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.1. Gated models
    train without dropout; ungated ones are counted with it. Gated models may also norm the output of a block (Gemma 2,
    arXiv 2408.00118, section 2) or share one norm between both blocks, so their norms are counted by their weights.

    Latents of low-rank projections are kept before and after their norm (DeepSeek-V2, arXiv 2405.04434, section
    2.1.2). They are whole on every tensor-parallel rank, as are the fp32 logits and probabilities of the router.
    """
    attention, feed_forward = group.attention, group.feed_forward
    blocks = attention.mixes_tokens + feed_forward.exists
    norms = blocks
    if feed_forward.exists and feed_forward.gated:
        norms = min(max(group.norm_parameters // hidden, 1), 2 * blocks)
    masks = 0 if feed_forward.gated else blocks
    kept = float(hidden * (BF16_BYTES * norms + operand_bytes * blocks + masks))
    kept += BF16_BYTES * attention.shared_key_width
    return kept + (BF16_BYTES + operand_bytes) * attention.latent_width + 2 * FP32_BYTES * feed_forward.experts


def _attention_activation_bytes(attention: Attention, operand_bytes: int) -> float:
    """Bytes that the block keeps beside its input, its latents and its scores.

    Attention needs its own output in 16 bits, so that 8-bit training keeps a copy for the output projection on top.
    """
    copied = 0 if operand_bytes == BF16_BYTES else operand_bytes * attention.value_width
    return float(copied + BF16_BYTES * attention.kept_values_per_token)


def _cheap_sharded_activation_bytes(attention: Attention, feed_forward: FeedForward, operand_bytes: int) -> float:
    width = feed_forward.intermediate_size + feed_forward.experts_per_token * feed_forward.expert_intermediate_size
    return float(operand_bytes * width + BF16_BYTES * attention.rebuilt_values_per_token)


def _feed_forward_activation_bytes(feed_forward: FeedForward, hidden: int, operand_bytes: int) -> float:
    """Bytes of inner activations per token: up and product (4f), plus gate (2f) when gated.

    Korthikanti et al. 2022 count 16 h for f = 4h ungated (section 4.1): GeLU input and output, 2 bytes each. A
    routed expert also keeps the copy of the token sent to it, and its output, which the gradient of the routing weight
    needs. Routing is taken as balanced.
    """
    per_width = BF16_BYTES * feed_forward.up_matrices + operand_bytes
    routed = per_width * feed_forward.expert_intermediate_size + (operand_bytes + BF16_BYTES) * hidden
    return float(per_width * feed_forward.intermediate_size + feed_forward.experts_per_token * routed)
