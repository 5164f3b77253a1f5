"""Training memory of one GPU under a layout: the fullest rank decides."""

from planner.plan import Layout, MemoryPerGpu
from planner.sizing.overhead import CUDA_CONTEXT_BYTES, NCCL_BUFFER_BYTES
from planner.sizing.profile import ModelProfile, Stage

WEIGHT_BYTES = 2
"""bf16 weights."""
GRADIENT_BYTES = 4
"""fp32 main gradients, as Megatron-LM accumulates bf16 training (Korthikanti et al. 2022, arXiv 2205.05198: 18 bytes
a parameter in all); ZeRO's own 2-byte gradients (arXiv 1910.02054, section 3.1) would give 16."""
ADAMW_STATE_BYTES = 12
"""fp32 master weights and two fp32 moments (ZeRO, arXiv 1910.02054, section 3.1: K = 12)."""
LOGIT_BYTES = 6
"""Per vocabulary entry: bf16 logits and the fp32 copy that the loss is taken from."""


def in_flight_micro_batches(layout: Layout, micro_batches: int, stage_index: int = 0) -> float:
    """Micro-batches whose activations a stage holds at once.

    1F1B holds p - i on stage i. Interleaving with v chunks holds p·(1 + (p-1)/(p·v)) on the first (Korthikanti et
    al. 2022, arXiv 2205.05198, section 4.2.3). Never more than there are.
    """
    p, v = layout.pipeline, layout.virtual_stages
    held: float = p - stage_index
    if v > 1:
        held = held * (1 + (p - 1) / (p * v))
    return min(held, micro_batches)


def activation_bytes(
    stage: Stage, layout: Layout, sequence_length: int, hidden_size: int, micro_batches: int, flash_attention: bool
) -> float:
    """Activation bytes that one stage keeps for its backward pass.

    Korthikanti et al. 2022 (arXiv 2205.05198): eq. 2 (tensor parallel), eq. 4 (sequence parallel), section 5
    (selective recompute drops the scores, as FlashAttention does) and section 4.2 (2·s·b·h a layer under full
    recompute, with one layer's own activations live at a time).
    """
    t = layout.tensor
    tokens = sequence_length * layout.micro_batch / layout.context
    replicated = stage.replicated_activation_bytes / (t if layout.sequence_parallel else 1)
    per_token = replicated + stage.sharded_activation_bytes / t
    if layout.recompute == "none" and not flash_attention:
        per_token += stage.score_activation_bytes_per_context_token * sequence_length / t
    in_flight = in_flight_micro_batches(layout, micro_batches, stage.index)
    if layout.recompute != "full":
        return tokens * per_token * in_flight
    kept = 2 * hidden_size * stage.layers / (t if layout.sequence_parallel else 1)
    return tokens * (kept * in_flight + per_token / max(stage.layers, 1))


def training_memory(
    profile: ModelProfile,
    layout: Layout,
    sequence_length: int,
    micro_batches: int,
    capacity_bytes: int,
    flash_attention: bool = True,
) -> MemoryPerGpu:
    """Memory of the fullest GPU when training with AdamW in bf16 with fp32 master weights.

    Weights, gradients and optimizer state are divided by tensor and pipeline parallelism, experts also by expert
    parallelism; ZeRO stage 1, 2 and 3 further divide optimizer state, gradients and weights by the data-parallel
    degree (ZeRO, arXiv 1910.02054, section 5).
    """
    return max(
        (
            _stage_memory(profile, stage, layout, sequence_length, micro_batches, capacity_bytes, flash_attention)
            for stage in _extreme_stages(profile.stages(layout.pipeline))
        ),
        key=lambda memory: memory.total_bytes,
    )


def _extreme_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """First, last and heaviest: in between, stages hold fewer micro-batches than the first and no head."""
    heaviest = max(stages, key=lambda stage: stage.dense_parameters + stage.expert_parameters)
    return tuple({stage.index: stage for stage in (stages[0], heaviest, stages[-1])}.values())


def _stage_memory(
    profile: ModelProfile,
    stage: Stage,
    layout: Layout,
    sequence_length: int,
    micro_batches: int,
    capacity_bytes: int,
    flash_attention: bool,
) -> MemoryPerGpu:
    dense = stage.dense_parameters
    if stage.holds_embedding:
        dense += profile.embedding_stage_parameters
    if stage.holds_head:
        dense += profile.head_stage_parameters
        if stage.holds_embedding and profile.architecture.tied_embeddings:
            dense -= profile.embedding_stage_parameters
    dense_shard = dense / layout.tensor
    expert_shard = stage.expert_parameters / (layout.tensor * layout.expert)
    replicas = layout.data * layout.context
    expert_replicas = max(replicas / layout.expert, 1)

    def sharded(bytes_per_parameter: int, from_stage: int) -> float:
        if layout.zero_stage < from_stage:
            return bytes_per_parameter * (dense_shard + expert_shard)
        return bytes_per_parameter * (dense_shard / replicas + expert_shard / expert_replicas)

    weights = sharded(WEIGHT_BYTES, 3)
    if layout.zero_stage == 3:
        # The layer at work is gathered whole, and the next one is fetched ahead.
        weights += WEIGHT_BYTES * 2 * (dense_shard + expert_shard) / max(stage.layers, 1)
    activations = activation_bytes(
        stage, layout, sequence_length, profile.architecture.hidden_size, micro_batches, flash_attention
    )
    overhead = CUDA_CONTEXT_BYTES + NCCL_BUFFER_BYTES
    if stage.holds_head:
        tokens = sequence_length * layout.micro_batch / layout.context
        overhead += int(LOGIT_BYTES * tokens * profile.architecture.vocab_size / layout.tensor)
    parts = {
        "weights_bytes": int(weights),
        "kv_cache_bytes": 0,
        "activations_bytes": int(activations),
        "gradients_bytes": int(sharded(GRADIENT_BYTES, 2)),
        "optimizer_bytes": int(sharded(ADAMW_STATE_BYTES, 1)),
        "overhead_bytes": overhead,
    }
    return MemoryPerGpu(
        **parts,
        total_bytes=sum(parts.values()),
        capacity_bytes=capacity_bytes,
        rank=_rank_name(stage, layout.pipeline),
    )


def _rank_name(stage: Stage, pipeline: int) -> str:
    if pipeline == 1:
        return "every rank"
    place = "first" if stage.index == 0 else "last" if stage.index == pipeline - 1 else f"{stage.index + 1}."
    return f"{place} of {pipeline} pipeline stages"
