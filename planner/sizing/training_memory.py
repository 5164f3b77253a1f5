"""Training memory of one GPU under a layout: the fullest rank decides."""

from dataclasses import dataclass
from functools import lru_cache

from planner.plan.layout import Layout, MemoryPerGpu
from planner.sizing.activations import activation_bytes, in_flight_micro_batches, recomputed_bytes, tokens_per_rank
from planner.sizing.optimizer_state import (
    WEIGHT_BYTES,
    RankParameters,
    StateBytes,
    StateRules,
    adapter_parameters,
    state_bytes,
)
from planner.sizing.overhead import CUDA_CONTEXT_BYTES, FRAGMENTATION_FRACTION, NCCL_COMMUNICATOR_BYTES
from planner.sizing.profile import ModelProfile, Stage

LOGIT_BYTES = 6
"""Per vocabulary entry and token: bf16 logits, or their gradient, and the fp32 softmax, which Megatron-LM's
vocab-parallel cross entropy overwrites with its gradient."""
EAGER_LOGIT_BYTES = 10
"""Bytes of the same in eager PyTorch, which writes nothing in place: logits in 16 bits and in fp32, and fp32
probabilities. Adapter libraries run in this way (PEFT on transformers)."""
PREFETCHED_LAYERS = 2
"""Layers that ZeRO-3 holds whole: the current one and the next (FSDP, arXiv 2304.11277, section 3.3.2)."""

ADAMW = StateRules()

Rank = tuple[Stage, ...]
"""Stages on one rank: two under DualPipe, else one."""


@dataclass(frozen=True, slots=True)
class Held:
    """State that one rank holds between steps, before ZeRO."""

    rank: Rank
    state: StateBytes
    gathered_bytes: float
    """Weights that ZeRO-3 holds whole at a time."""
    gradient_bucket_bytes: float
    """Gradients that ZeRO-2 and 3 hold before they are scattered."""


def training_memory(
    profile: ModelProfile,
    layout: Layout,
    sequence_length: int,
    micro_batches: int,
    capacity_bytes: int,
    flash_attention: bool = True,
    rules: StateRules = ADAMW,
) -> MemoryPerGpu:
    """Memory of the fullest GPU when training in bf16.

    Weights, gradients and optimizer state are divided by tensor and pipeline parallelism, experts also by expert
    parallelism; ZeRO stage 1, 2 and 3 further divide optimizer state, gradients and weights by the data-parallel
    degree (ZeRO, arXiv 1910.02054, section 5). Activations of frozen layers are counted in full: an adapter's own
    weight gradient needs the same inputs. Expert load imbalance and multi-token-prediction layers are not counted.
    """
    ranks = held_state(profile, layout.tensor, layout.pipeline, expert_ranks(layout), _two_way(layout), rules)
    fullest, most, state, activations = ranks[0].rank, 0.0, (0.0, 0.0, 0.0), 0.0
    temporary: dict[str, float] = {}
    replicas = layout.data * layout.context
    for held in ranks:
        kept = zero_state(held, replicas, expert_ranks(layout), layout.zero_stage)
        passing, buffers = _passing(profile, held.rank, layout, sequence_length, micro_batches, flash_attention)
        if rules.method != "full" and "logits" in buffers:
            buffers["logits"] *= EAGER_LOGIT_BYTES / LOGIT_BYTES
        through = passing + sum(buffers.values())
        buffers["fragmentation"] = fragmented(through) - through
        if layout.zero_stage >= 2:
            buffers.update(zero_buffers(held, layout.zero_stage, kept))
        total = sum(kept) + passing + sum(buffers.values())
        if total > most:
            fullest, most, state, activations, temporary = held.rank, total, kept, passing, buffers
    weights, gradients, optimizer = state
    if rules.method == "qlora":
        temporary["dequantized_matrix"] = _dequantized_bytes(profile, layout.tensor)
    overhead = {
        "cuda_context": CUDA_CONTEXT_BYTES,
        "nccl_buffers": NCCL_COMMUNICATOR_BYTES * communicators(layout),
        **{name: int(size) for name, size in temporary.items()},
    }
    overhead = {name: size for name, size in overhead.items() if size}
    parts = {
        "weights_bytes": int(weights),
        "activations_bytes": int(activations),
        "gradients_bytes": int(gradients),
        "optimizer_bytes": int(optimizer),
        "overhead_bytes": sum(overhead.values()),
    }
    return MemoryPerGpu(
        **parts,
        kv_cache_bytes=0,
        total_bytes=sum(parts.values()),
        capacity_bytes=capacity_bytes,
        rank=_rank_name(fullest, layout),
        overhead=overhead,
        weights={},
    )


def fragmented(passing_bytes: float) -> float:
    """Memory of activations and temporary buffers, with the share that the allocator cannot use."""
    return (1 + FRAGMENTATION_FRACTION) * passing_bytes


def constant_bytes(profile: ModelProfile, rules: StateRules, tensor: int, groups: int) -> float:
    """Memory of every rank: CUDA context, buffers of `groups` communicators, and the matrix that QLoRA expands."""
    matrix = _dequantized_bytes(profile, tensor) if rules.method == "qlora" else 0.0
    return CUDA_CONTEXT_BYTES + NCCL_COMMUNICATOR_BYTES * groups + matrix


def _dequantized_bytes(profile: ModelProfile, tensor: int) -> float:
    """The matrix that bitsandbytes expands to 16 bits at a time (QLoRA, arXiv 2305.14314, section 3, eq. 5)."""
    return WEIGHT_BYTES * profile.largest_matrix_parameters / tensor


def trainable_parameters(profile: ModelProfile, rules: StateRules) -> tuple[float, float]:
    """Parameters with a gradient: (without routed experts, routed experts)."""
    architecture = profile.architecture
    if rules.method == "full":
        experts = architecture.routed_expert_parameters
        return architecture.total_parameters - experts, experts
    return adapter_parameters(rank_parameters(profile, profile.stages(1), 1, 1), rules)


def expert_ranks(layout: Layout) -> int:
    """Ranks that share the experts beside tensor parallelism; at most those of data and context parallelism."""
    return min(layout.expert, layout.data * layout.context)


def _two_way(layout: Layout) -> bool:
    """Whether every stage lies on two ranks, which share the state that ZeRO divides."""
    return layout.schedule == "dualpipe" and layout.pipeline > 1


def _ranks(profile: ModelProfile, pipeline: int, two_way: bool) -> tuple[Rank, ...]:
    """Ranks that can be the fullest."""
    if two_way:
        stages = profile.stages(pipeline)
        return tuple((stages[i], stages[pipeline - 1 - i]) for i in range((pipeline + 1) // 2))
    return tuple((stage,) for stage in profile.extreme_stages(pipeline))


def zero_state(held: Held, replicas: int, experts: int, stage: int) -> tuple[float, float, float]:
    """Weights, gradients and optimizer state that a ZeRO stage leaves on a rank, in bytes.

    Args:
        held: State of the rank before ZeRO.
        replicas: Data-parallel degree times context-parallel degree.
        experts: Ranks that share the experts.
        stage: ZeRO stage, 0 to 3.
    """
    replicas *= len(held.rank)
    expert_replicas = max(replicas / experts, 1)
    weights, gradients, optimizer = held.state.weights, held.state.gradients, held.state.optimizer
    return (
        weights[0] + weights[1] if stage < 3 else weights[0] / replicas + weights[1] / expert_replicas,
        gradients[0] + gradients[1] if stage < 2 else gradients[0] / replicas + gradients[1] / expert_replicas,
        optimizer[0] + optimizer[1] if stage < 1 else optimizer[0] / replicas + optimizer[1] / expert_replicas,
    )


def zero_buffers(held: Held, stage: int, state: tuple[float, float, float]) -> dict[str, float]:
    """Bytes of layers that ZeRO-3 gathers, and of gradients that ZeRO-2 and 3 have not yet scattered.

    Neither exceeds the weights or gradients of the rank.
    """
    weights, gradients, _ = state
    buffers = {"gradient_bucket": min(held.gradient_bucket_bytes, sum(held.state.gradients) - gradients)}
    if stage == 3:
        buffers["gathered_weights"] = min(held.gathered_bytes, sum(held.state.weights) - weights)
    return buffers


@lru_cache(maxsize=2048)
def held_state(
    profile: ModelProfile, tensor: int, pipeline: int, experts: int, two_way: bool, rules: StateRules
) -> tuple[Held, ...]:
    """State of every rank that can be the fullest. Results are cached, because searches repeat the same splits."""
    held = []
    for rank in _ranks(profile, pipeline, two_way):
        parameters = rank_parameters(profile, rank, tensor, experts)
        state = state_bytes(parameters, rules)
        largest = [stage.largest_layer for stage in rank]
        dense = max(layer.dense_parameters for layer in largest) / tensor
        expert = max(layer.expert_parameters for layer in largest) / (tensor * experts)
        units = []
        for parts, layers in ((state.weights, PREFETCHED_LAYERS), (state.gradients, 1)):
            per_dense = parts[0] / parameters.dense if parameters.dense else 0.0
            per_expert = parts[1] / parameters.expert if parameters.expert else 0.0
            in_layers = layers * (per_dense * dense + per_expert * expert)
            units.append(max(in_layers, per_dense * parameters.embedding))
        held.append(Held(rank, state, *units))
    return tuple(held)


def rank_parameters(profile: ModelProfile, rank: Rank, tensor: int, experts: int) -> RankParameters:
    """Parameters on one rank after tensor, pipeline and expert parallelism.

    Tensor parallelism divides matrices, but key and value projections among at most kv_heads ranks. Norms, routers and
    latent down-projections are whole on every rank. Experts lie on tensor x `experts` ranks, as whole experts where
    there are enough (Megatron's parallel folding, arXiv 2504.14960).
    """
    dense = expert = vectors = routers = attention = feed_forward = expert_edges = 0.0
    for stage in rank:
        divided = stage.dense_parameters - stage.replicated_parameters - stage.key_value_parameters
        key_value = max(stage.key_value_parameters / tensor, stage.parameters_per_key_value_head)
        dense += divided / tensor + stage.replicated_parameters + key_value
        expert += stage.expert_parameters / (tensor * experts)
        vectors += stage.vector_parameters
        routers += stage.router_parameters
        attention += stage.attention_edges / tensor
        feed_forward += stage.feed_forward_edges / tensor
        expert_edges += stage.expert_edges / (tensor * experts)
    vectors = min(vectors, dense)
    embedding = _embedding_parameters(profile, rank) / tensor
    hidden = profile.architecture.hidden_size
    return RankParameters(
        dense=dense + embedding,
        expert=expert,
        embedding=embedding,
        vectors=vectors,
        unquantized=embedding + min(vectors + routers, dense),
        dense_edges=attention + feed_forward + (embedding / hidden + hidden if embedding else 0.0),
        expert_edges=expert_edges,
        attention_edges=attention,
        feed_forward_edges=feed_forward,
    )


def _embedding_parameters(profile: ModelProfile, rank: Rank) -> float:
    first = any(stage.holds_embedding for stage in rank)
    last = any(stage.holds_head for stage in rank)
    if first and last and profile.architecture.tied_embeddings:
        return profile.head_stage_parameters
    return first * profile.embedding_stage_parameters + last * profile.head_stage_parameters


def _passing(
    profile: ModelProfile,
    rank: Rank,
    layout: Layout,
    sequence_length: int,
    micro_batches: int,
    flash_attention: bool,
) -> tuple[float, dict[str, float]]:
    """Activations that the layers of one rank keep, and temporary buffers by name, in bytes."""
    hidden = profile.architecture.hidden_size
    tokens = tokens_per_rank(layout, sequence_length)
    activations = outside = 0.0
    temporary: dict[str, float] = {}
    for stage in rank:
        in_flight = in_flight_micro_batches(layout, micro_batches, stage.index)
        activations += in_flight * activation_bytes(stage, layout, sequence_length, hidden, flash_attention)
        per_token, logits = outside_bytes_per_token(profile, stage, layout)
        outside += per_token * in_flight
        if logits:
            temporary["logits"] = tokens * logits
    if outside:
        temporary["outside_layers"] = tokens * outside
    if layout.recompute != "none":
        temporary["recomputed_layer"] = max(
            recomputed_bytes(stage, layout, sequence_length, hidden, flash_attention) for stage in rank
        )
    return activations, temporary


def outside_bytes_per_token(profile: ModelProfile, stage: Stage, layout: Layout) -> tuple[float, float]:
    """Bytes per token outside the layers: (of each micro-batch in flight, logits of the current micro-batch).

    Korthikanti et al. 2022 (arXiv 2205.05198), section 4.3, count 2·s·b·h each for the inputs of final norm and head,
    and s·b·h·p for the dropout mask of the embedding.
    """
    architecture = profile.architecture
    hidden, outside, logits = architecture.hidden_size, 0.0, 0.0
    if stage.holds_head:
        logits = LOGIT_BYTES * architecture.vocab_size / layout.tensor
        outside += 4 * hidden
    if stage.holds_embedding and not architecture.layers[0].feed_forward.gated:
        outside += hidden
    return outside / (layout.tensor if layout.sequence_parallel else 1), logits


def communicators(layout: Layout) -> int:
    """Number of process groups with more than one rank to which a rank belongs."""
    return (layout.tensor > 1) + (layout.pipeline > 1) + (layout.data > 1) + (layout.context > 1) + (layout.expert > 1)


def _rank_name(rank: Rank, layout: Layout) -> str:
    p = layout.pipeline
    if p == 1:
        return "every rank"
    if len(rank) == 2:
        return f"stages {rank[0].index + 1} and {rank[1].index + 1} of {p} (DualPipe)"
    index = rank[0].index
    if 0 < index < p - 1:
        return f"stage {index + 1} of {p} pipeline stages"
    return f"{'last' if index else 'first'} of {p} pipeline stages"
