"""Activation memory of a pipeline stage: bytes that its layers keep, times the micro-batches in flight."""

from math import ceil

from planner.plan.layout import Layout
from planner.sizing.layer_profile import LayerProfile
from planner.sizing.profile import Stage


def in_flight_micro_batches(layout: Layout, micro_batches: int, stage_index: int = 0) -> float:
    """Micro-batches that a stage of a layout holds at once (`in_flight`)."""
    return in_flight(layout.schedule, layout.pipeline, layout.virtual_stages, micro_batches, stage_index)


def in_flight(schedule: str, p: int, v: int, micro_batches: int, stage_index: int) -> float:
    """Micro-batches whose activations a stage holds at once; at most all micro-batches of a step.

    - 1F1B: p - i on stage i (Narayanan et al. 2021, arXiv 2104.04473, section 2.2.1).
    - Interleaved with v chunks: 2·(p-i-1) + (v-1)·p chunks of warm-up and the chunk that is computed, each 1/v of a
      stage (Megatron-LM, `get_pp_rank_microbatches`). On the first stage this is the p·(1 + (p-1)/(p·v)) of
      Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.3.
    - Zero bubble: p on every stage. Later stages need fewer for their input gradients, but keep nearly as much for
      the deferred weight gradients (Qi et al. 2023, arXiv 2401.10241, Table 2: 32 of 34 s·b·h).
    - DualPipe: a rank holds stages i and p-1-i with p-i and i+1 micro-batches in flight, p+1 together. Half of the
      micro-batches enter from each end (DeepSeek-V3, arXiv 2412.19437, Table 2 and Figure 5).
    """
    if p > 1 and schedule == "dualpipe":
        return min(p - stage_index, ceil(micro_batches / 2))
    if schedule == "zero-bubble":
        return min(p, micro_batches)
    if p == 1 or v == 1:
        return min(p - stage_index, micro_batches)
    return min((2 * (p - stage_index - 1) + (v - 1) * p + 1) / v, micro_batches)


def tokens_per_rank(layout: Layout, sequence_length: int) -> float:
    """Tokens of one micro-batch on one rank. Context parallelism divides the sequence."""
    return sequence_length * layout.micro_batch / layout.context


def activation_bytes(
    stage: Stage, layout: Layout, sequence_length: int, hidden_size: int, flash_attention: bool
) -> float:
    """Activation bytes that the layers of one stage keep for the backward pass of each micro-batch in flight.

    The formulas are those of Korthikanti et al. 2022 (arXiv 2205.05198): eq. 2 for tensor parallelism, eq. 4 for
    sequence parallelism, section 5 for selective recompute, which drops the scores as FlashAttention does, and section
    4.2 for full recompute, which keeps 2·s·b·h per layer. FlashAttention keeps no scores; with it, selective recompute
    drops the activations that are cheap to compute again.
    """
    if layout.recompute == "full":
        kept = _layer_input_bytes(layout, hidden_size) * stage.layers
    else:
        scores = layout.recompute == "none" and not flash_attention
        kept = _kept_bytes_per_token(stage, layout, sequence_length if scores else 0)
        if layout.recompute == "selective" and flash_attention:
            kept -= _cheap_bytes_per_token(stage, layout)
    return tokens_per_rank(layout, sequence_length) * kept


def recomputed_bytes(
    stage: Stage, layout: Layout, sequence_length: int, hidden_size: int, flash_attention: bool
) -> float:
    """Bytes that recomputation restores at a time: one layer under full, the dropped part of one under selective.

    The input of the layer is already part of `activation_bytes` and is not counted again.
    """
    if layout.recompute == "none":
        return 0.0
    context = 0 if flash_attention else sequence_length
    layer = stage.largest_layer
    if layout.recompute == "full":
        per_token = _kept_bytes_per_token(layer, layout, context) - _layer_input_bytes(layout, hidden_size)
    elif flash_attention:
        per_token = _cheap_bytes_per_token(layer, layout)
    else:
        per_token = layer.score_activation_bytes_per_context_token * context / layout.tensor
    return tokens_per_rank(layout, sequence_length) * max(per_token, 0.0)


def _layer_input_bytes(layout: Layout, hidden_size: int) -> float:
    return 2 * hidden_size / (layout.tensor if layout.sequence_parallel else 1)


def _cheap_bytes_per_token(part: Stage | LayerProfile, layout: Layout) -> float:
    replicated = part.cheap_replicated_activation_bytes / (layout.tensor if layout.sequence_parallel else 1)
    return replicated + part.cheap_sharded_activation_bytes / layout.tensor


def _kept_bytes_per_token(part: Stage | LayerProfile, layout: Layout, score_context: int) -> float:
    """Bytes kept per token. Scores cover the whole sequence even with a sliding window, which eager attention masks."""
    t = layout.tensor
    replicated = part.replicated_activation_bytes / (t if layout.sequence_parallel else 1)
    sharded = part.sharded_activation_bytes + part.score_activation_bytes_per_context_token * score_context
    return replicated + sharded / t
