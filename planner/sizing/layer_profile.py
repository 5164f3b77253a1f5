"""One layer in numbers: parameters by how they are divided, and what the layer keeps for its backward pass."""

from dataclasses import dataclass

from provider_catalog.architecture import Attention, FeedForward, LayerGroup

BF16_BYTES = 2
FP32_BYTES = 4


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """One layer in numbers. Activation bytes are per token, without recompute."""

    dense_parameters: int
    """Everything but routed experts."""
    expert_parameters: int
    """All routed experts together."""
    replicated_parameters: int
    """Dense parameters that every tensor-parallel rank holds whole: norms, router, latent down-projections."""
    key_value_parameters: int
    """Key and value projections, divided among at most kv_heads ranks."""
    parameters_per_key_value_head: float
    """Key and value projections of one head: the least that a rank holds."""
    vector_parameters: int
    """Norms, biases, convolutions, decay rates: what matrix optimizers and adapters leave alone."""
    router_parameters: int
    attention_edges: int
    """Sum of rows and columns over the matrices of the attention block: r times this are LoRA's parameters."""
    feed_forward_edges: int
    """The same of the dense or shared feed-forward block."""
    expert_edges: int
    """The same of all routed experts together."""
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
    """Attention scores and their dropout mask, per token of the sequence; kept only without FlashAttention."""
    cheap_replicated_activation_bytes: float
    """Of replicated_activation_bytes, what selective recompute drops beside scores: the outputs of norms."""
    cheap_sharded_activation_bytes: float
    """Of sharded_activation_bytes, the same: outputs of activation functions, and MLA's expanded queries, keys and
    values. What DeepSeek-V3 recomputes (arXiv 2412.19437, section 3.2.3) and Megatron-Core's --recompute-modules."""
    expert_tokens: int
    """Copies of each token that expert parallelism sends away: the top-k of a mixture-of-experts layer."""
    largest_matrix_parameters: int


def layer_profile(group: LayerGroup, hidden: int, operand_bytes: int = BF16_BYTES) -> LayerProfile:
    """Profile of one layer of a group.

    Args:
        group: layers of one shape.
        hidden: width of the model.
        operand_bytes: of a value kept as the input of a matrix product: 2, or 1 in 8-bit training, which keeps the
            cast that the product reads (DeepSeek-V3, arXiv 2412.19437, section 3.3.3; Transformer Engine).
    """
    attention, feed_forward = group.attention, group.feed_forward
    active = group.parameters - group.norm_parameters - feed_forward.routed_expert_parameters
    if feed_forward.experts:
        active += feed_forward.routed_expert_parameters * feed_forward.experts_per_token // feed_forward.experts
    attention_matrices = _attention_matrices(attention, hidden)
    matrices_per_expert = 3 if feed_forward.gated else 2
    dense_matrices = [(hidden, feed_forward.intermediate_size)] * matrices_per_expert
    if not feed_forward.intermediate_size:
        dense_matrices = []
    expert_edges = feed_forward.experts * matrices_per_expert * (hidden + feed_forward.expert_intermediate_size)
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
        attention_edges=sum(rows + columns for rows, columns in attention_matrices),
        feed_forward_edges=sum(rows + columns for rows, columns in dense_matrices),
        expert_edges=expert_edges,
        forward_matmul_flops=2.0 * active,
        attention_flops_per_context_token=attention_flops_per_context_token(attention),
        window=attention.window,
        replicated_activation_bytes=_replicated_activation_bytes(group, hidden, operand_bytes),
        sharded_activation_bytes=_attention_activation_bytes(attention, hidden, operand_bytes)
        + _feed_forward_activation_bytes(feed_forward, hidden, operand_bytes),
        score_activation_bytes_per_context_token=5.0 * attention.heads if _has_scores(attention) else 0.0,
        cheap_replicated_activation_bytes=float(
            operand_bytes * hidden * ((attention.kind != "none") + (feed_forward.kind != "none"))
        ),
        cheap_sharded_activation_bytes=_cheap_sharded_activation_bytes(attention, feed_forward, operand_bytes),
        expert_tokens=feed_forward.experts_per_token,
        largest_matrix_parameters=max(
            (rows * columns for rows, columns in (*attention_matrices, *dense_matrices)), default=0
        ),
    )


def attention_flops_per_context_token(attention: Attention) -> float:
    """Forward FLOPs per token and per token attended to: QK^T and the weighted sum of V, 2 FLOPs a multiply-add."""
    if not _has_scores(attention):
        return 0.0
    return 2.0 * attention.heads * (attention.head_dim + (attention.value_head_dim or attention.head_dim))


def _has_scores(attention: Attention) -> bool:
    return attention.kind in ("gqa", "mla")


def _value_width(attention: Attention) -> int:
    return attention.heads * (attention.value_head_dim or attention.head_dim)


def _recurrent_input_width(attention: Attention, hidden: int) -> int:
    """Width of all input projections of a linear-attention or state-space block, gates included.

    Such a block is its input projections, one output projection from the value width, and small vectors.
    """
    matrices = attention.parameters - attention.high_precision_parameters
    return max(matrices // hidden - _value_width(attention), 0)


def _attention_matrices(attention: Attention, hidden: int) -> list[tuple[int, int]]:
    """(inputs, outputs) of every matrix of the block; shapes as in the DeepSeek-V2 paper, arXiv 2405.04434, 2.1."""
    if attention.kind == "none":
        return []
    value_width = _value_width(attention)
    if not _has_scores(attention):
        return [(hidden, _recurrent_input_width(attention, hidden)), (value_width, hidden)]
    query_width = attention.heads * attention.head_dim
    query = [(hidden, query_width)]
    if attention.q_lora_rank:
        query = [(hidden, attention.q_lora_rank), (attention.q_lora_rank, query_width)]
    if attention.kind == "mla":
        rope = attention.qk_rope_head_dim
        expanded = attention.heads * (attention.head_dim - rope) + value_width
        key_value = [(hidden, attention.kv_lora_rank + rope), (attention.kv_lora_rank, expanded)]
    else:
        value_dim = attention.value_head_dim or attention.head_dim
        key_value = [(hidden, attention.kv_heads * attention.head_dim), (hidden, attention.kv_heads * value_dim)]
    return [*query, *key_value, (value_width, hidden)]


def _replicated_activation_bytes(group: LayerGroup, hidden: int, operand_bytes: int) -> float:
    """The inputs of every norm and of the first matrix of every block (2 bytes each), and a 1-byte dropout mask each.

    The 10 of two blocks in Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.1. Gated models train without
    dropout; ungated ones are counted with it. Gated models may norm the output of a block too (Gemma 2, arXiv
    2408.00118, section 2) or share one norm between both; theirs are counted by their weights.

    Latents of low-rank projections are kept before and after their norm (DeepSeek-V2, arXiv 2405.04434, section
    2.1.2) and are whole on every tensor-parallel rank, as are the router's fp32 logits and probabilities.
    """
    attention, feed_forward = group.attention, group.feed_forward
    blocks = (attention.kind != "none") + (feed_forward.kind != "none")
    norms = blocks
    if feed_forward.kind != "none" and feed_forward.gated:
        norms = min(max(group.norm_parameters // hidden, 1), 2 * blocks)
    masks = 0 if feed_forward.gated else blocks
    kept = float(hidden * (BF16_BYTES * norms + operand_bytes * blocks + masks))
    latents = attention.q_lora_rank or 0
    if attention.kind == "mla":
        latents += attention.kv_lora_rank
        kept += BF16_BYTES * attention.qk_rope_head_dim
    return kept + (BF16_BYTES + operand_bytes) * latents + 2 * FP32_BYTES * feed_forward.experts


def _attention_activation_bytes(attention: Attention, hidden: int, operand_bytes: int) -> float:
    """What the block keeps beside its input and its scores.

    Softmax attention: queries, keys, values and the input of the output projection, the 8 h of Korthikanti et al.
    2022 (arXiv 2205.05198), section 4.1, with the width of each. MLA trains with its latent expanded to full keys
    and values of every head (DeepSeek-V2, arXiv 2405.04434, section 2.1.2). Attention needs its own output in 16
    bits, so that an 8-bit copy for the projection comes on top.

    State space: the projected input and the output of the scan; the fused kernels recompute states, convolution and
    gate (Mamba, arXiv 2312.00752, section 3.3.2; Mamba-2, arXiv 2405.21060). Linear attention runs as separate
    kernels: projections, the same after the convolution, the output before and after its gated norm; states of the
    chunks are recomputed (Gated DeltaNet, arXiv 2412.06464, section 3.3).
    """
    value_width = _value_width(attention)
    if attention.kind == "none":
        return 0.0
    copied = 0.0 if operand_bytes == BF16_BYTES else float(operand_bytes * value_width)
    if attention.kind == "ssm":
        return copied + BF16_BYTES * (_recurrent_input_width(attention, hidden) + value_width)
    if attention.kind == "linear":
        return copied + BF16_BYTES * 2 * (_recurrent_input_width(attention, hidden) + value_width)
    kv_heads = attention.heads if attention.kind == "mla" else attention.kv_heads
    key_value_width = kv_heads * (attention.head_dim + (attention.value_head_dim or attention.head_dim))
    return copied + BF16_BYTES * (attention.heads * attention.head_dim + key_value_width + value_width)


def _cheap_sharded_activation_bytes(attention: Attention, feed_forward: FeedForward, operand_bytes: int) -> float:
    width = feed_forward.intermediate_size + feed_forward.experts_per_token * feed_forward.expert_intermediate_size
    expanded = 0
    if attention.kind == "mla":
        expanded = attention.heads * (2 * attention.head_dim + (attention.value_head_dim or attention.head_dim))
    return float(operand_bytes * width + BF16_BYTES * expanded)


def _feed_forward_activation_bytes(feed_forward: FeedForward, hidden: int, operand_bytes: int) -> float:
    """Inner activations per token: up and product (4f), plus gate (2f) when gated; experts also input and output.

    Korthikanti et al. 2022 count 16 h for f = 4h ungated (section 4.1): GeLU input and output, 2 bytes each. A
    routed expert keeps the copy of the token sent to it, and its output, which the gradient of the routing weight
    needs. Routing is taken as balanced.
    """
    per_width = BF16_BYTES * (2 if feed_forward.gated else 1) + operand_bytes
    routed = per_width * feed_forward.expert_intermediate_size + (operand_bytes + BF16_BYTES) * hidden
    return float(per_width * feed_forward.intermediate_size + feed_forward.experts_per_token * routed)
