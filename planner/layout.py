"""Parallel layouts: which splits of a model are legal, and which of them are worth evaluating."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, isqrt
from typing import TYPE_CHECKING, Literal

from planner.errors import SpecError
from planner.parallelism import Layout

if TYPE_CHECKING:
    from planner.spec import Pin, TrainingWorkload
    from provider_catalog.architecture import ModelArchitecture
    from provider_catalog.hardware import NodeTopology

ZeroStage = Literal[0, 1, 2, 3]
Recompute = Literal["none", "selective", "full"]

MICRO_BATCHES = (1, 2, 4, 8)
MAX_PIPELINE = 64


def divisors(number: int) -> list[int]:
    """All divisors, smallest first."""
    small = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def head_count(architecture: ModelArchitecture) -> int:
    """What the tensor-parallel degree must divide: the attention heads of every layer that has any."""
    heads = 0
    for group in architecture.layers:
        heads = gcd(heads, group.attention.heads)
    return heads or 1


def expert_count(architecture: ModelArchitecture) -> int:
    """Routed experts of a layer; 0 in a dense model."""
    return max(group.feed_forward.experts for group in architecture.layers)


def legal_tensor_degrees(architecture: ModelArchitecture, node: NodeTopology) -> list[int]:
    """Degrees within one node that divide the attention heads: beyond the node the all-reduces cross the fabric."""
    heads = head_count(architecture)
    return [t for t in divisors(node.gpus) if heads % t == 0]


def training_layouts(
    architecture: ModelArchitecture, node: NodeTopology, workload: TrainingWorkload, pin: Pin, max_nodes: int
) -> Iterator[Layout]:
    """Splits to evaluate, without their data-parallel degree.

    ZeRO stage 1 is always at least as good as 0 (same traffic, less memory), so 0 is reached by pinning only; stage
    3 is tried without pipeline parallelism, which it would make gather weights for every micro-batch.

    Raises:
        SpecError: a pinned degree does not divide what it splits.
    """
    _check_pins(architecture, pin)
    fixed = pin.layout
    layers, experts = architecture.layer_count, expert_count(architecture)
    tensors = [fixed.tensor] if fixed.tensor else legal_tensor_degrees(architecture, node)
    pipelines = [fixed.pipeline] if fixed.pipeline else [p for p in divisors_or_near(layers) if p <= MAX_PIPELINE]
    micro_batches = [fixed.micro_batch] if fixed.micro_batch else list(MICRO_BATCHES)
    for tensor in tensors:
        for pipeline in pipelines:
            context = fixed.context or 1
            if tensor * pipeline * context > max_nodes * node.gpus:
                continue
            for expert in _expert_degrees(experts, node, tensor, fixed.expert):
                for zero_stage in [fixed.zero_stage] if fixed.zero_stage is not None else _zero_stages(pipeline):
                    for recompute in _recompute_choices(workload, pin):
                        for micro_batch in micro_batches:
                            yield Layout(
                                tensor=tensor,
                                pipeline=pipeline,
                                expert=expert,
                                context=context,
                                micro_batch=micro_batch,
                                virtual_stages=fixed.virtual_stages or 1,
                                zero_stage=zero_stage,
                                recompute=recompute,
                                sequence_parallel=(
                                    tensor > 1 if fixed.sequence_parallel is None else fixed.sequence_parallel
                                ),
                                schedule=fixed.schedule
                                or ("interleaved" if (fixed.virtual_stages or 1) > 1 else "1f1b"),
                            )


def divisors_or_near(layers: int) -> list[int]:
    """Pipeline degrees: divisors of the layers, and powers of two, whose last stages are one layer shorter."""
    powers = {2**i for i in range(7) if 2**i <= layers}
    return sorted(set(divisors(layers)) | powers)


def _zero_stages(pipeline: int) -> list[ZeroStage]:
    return [1, 3] if pipeline == 1 else [1]


def _expert_degrees(experts: int, node: NodeTopology, tensor: int, fixed: int | None) -> list[int]:
    if fixed is not None:
        return [fixed]
    if experts == 0:
        return [1]
    return [e for e in (1, node.gpus // tensor, 8 * node.gpus // tensor) if e >= 1 and experts % e == 0] or [1]


def _recompute_choices(workload: TrainingWorkload, pin: Pin) -> list[Recompute]:
    if pin.layout.recompute:
        return [pin.layout.recompute]
    if workload.recompute != "auto":
        return [workload.recompute]
    # FlashAttention already drops what selective recompute would.
    return ["none", "full"] if workload.flash_attention else ["selective", "full"]


def _check_pins(architecture: ModelArchitecture, pin: Pin) -> None:
    fixed = pin.layout
    heads, experts = head_count(architecture), expert_count(architecture)
    if fixed.tensor and heads % fixed.tensor:
        raise SpecError(
            f"pin.layout.tensor is {fixed.tensor}; it must divide the {heads} attention heads of {architecture.name}:"
            f" nearest is {_nearest(divisors(heads), fixed.tensor)}"
        )
    if fixed.pipeline and fixed.pipeline > architecture.layer_count:
        raise SpecError(
            f"pin.layout.pipeline is {fixed.pipeline}; {architecture.name} has {architecture.layer_count} layers,"
            " so at most that many stages"
        )
    if fixed.expert and fixed.expert > 1 and (experts == 0 or experts % fixed.expert):
        what = f"divide the {experts} routed experts" if experts else "be 1: the model has no routed experts"
        raise SpecError(f"pin.layout.expert is {fixed.expert}; it must {what}")


def _nearest(allowed: list[int], given: int) -> int:
    return min(allowed, key=lambda value: (abs(value - given), value))
