"""Legal parallel layouts of a model, and the nearest legal value for a pin that is not legal."""

from __future__ import annotations

from math import gcd, isqrt, log2
from typing import TYPE_CHECKING, Final

from planner.errors import SpecError
from planner.vocabulary import Schedule, ZeroStage

if TYPE_CHECKING:
    from planner.spec import Pin, TrainingWorkload
    from planner.vocabulary import Recompute
    from provider_catalog.architecture import ModelArchitecture
    from provider_catalog.hardware import NodeTopology


MAX_PIPELINE: Final = 64
"""Most pipeline stages that a search tries; a pin may have more."""
MAX_MICRO_BATCH: Final = 16
"""Largest micro-batch that a search tries where the number of replicas is free; a pin may be larger."""
MAX_CONTEXT: Final = 64
MIN_CONTEXT_TOKENS: Final = 2048
"""Fewest tokens of a sequence that context parallelism leaves on a rank; a pin may leave fewer."""
SPARE_LAYERS: Final = 3
"""Layers by which a model may fall short of equal stages: embedding, head and a multi-token-prediction layer take the
place of one layer each. Llama 3 405B lays 126 layers on 16 stages of 8 (arXiv 2407.21783, section 3.3.2), BLOOM 70 on
12 of 6 (arXiv 2211.05100, section 3.4), DeepSeek-V3 61 on 16 of 4."""
ROUNDED_BATCH: Final = 0.05
"""Papers round the tokens of a batch. A batch that is no whole number of sequences is read as a power of two if one is
this near, as a share."""


def batch_sequences(workload: TrainingWorkload) -> int:
    """Sequences of one optimizer step."""
    exact = workload.global_batch_tokens / workload.sequence_length
    power: int = 2 ** round(log2(exact))
    if exact != int(exact) and abs(power / exact - 1) <= ROUNDED_BATCH:
        return power
    return round(exact)


def divisors(number: int) -> list[int]:
    """All divisors of a number, smallest first."""
    small = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def head_count(architecture: ModelArchitecture) -> int:
    """Greatest common divisor of the attention heads of all layers, which the tensor-parallel degree must divide."""
    heads = 0
    for group in architecture.layers:
        heads = gcd(heads, group.attention.heads)
    return heads or 1


def expert_count(architecture: ModelArchitecture) -> int:
    """Most routed experts of a layer; 0 in a dense model."""
    return max(group.feed_forward.experts for group in architecture.layers)


def legal_tensor_degrees(architecture: ModelArchitecture, node: NodeTopology) -> list[int]:
    """Tensor-parallel degrees within one node that divide the attention heads.

    Beyond one node, the all-reduces would cross the fabric.
    """
    heads = head_count(architecture)
    return [t for t in divisors(node.gpus) if heads % t == 0]


def divides_layers(layers: int, chunks: int) -> bool:
    """Whether chunks of equal size hold the layers, with up to `SPARE_LAYERS` places for embedding and head."""
    return -(-layers // chunks) * chunks - layers <= SPARE_LAYERS and chunks <= layers + SPARE_LAYERS


def pipeline_degrees(layers: int) -> list[int]:
    """Numbers of stages to try: divisors of the layers, with or without embedding and head, and powers of two."""
    even = {*divisors(layers), *divisors(layers + 1), *divisors(layers + 2), *(2**i for i in range(7))}
    return sorted(p for p in even if p <= min(layers, MAX_PIPELINE) and divides_layers(layers, p))


def virtual_degrees(layers: int, pipeline: int) -> list[int]:
    """Numbers of chunks per stage, above one, that divide the layers."""
    most = (layers + SPARE_LAYERS) // pipeline
    return [v for v in range(2, most + 1) if divides_layers(layers, pipeline * v)]


def schedules(layers: int, pipeline: int, pin: Pin) -> list[tuple[Schedule, int]]:
    """Pairs (schedule, chunks per stage) to try on a pipeline; the most chunks first.

    Zero-bubble and DualPipe are tried only where a pin asks for them. Common frameworks run 1F1B and interleaved
    stages, and a deadline must not rest on a schedule that they do not run.
    """
    fixed = pin.layout
    if pipeline == 1:
        return [(fixed.schedule or "1f1b", fixed.virtual_stages or 1)]
    found: list[tuple[Schedule, int]] = []
    if fixed.virtual_stages in (None, 1):
        found.append(("1f1b", 1))
    chunks = [fixed.virtual_stages] if fixed.virtual_stages else virtual_degrees(layers, pipeline)[::-1]
    found += [("interleaved", v) for v in chunks if v > 1]
    if fixed.schedule is None:
        return found
    matching = [choice for choice in found if choice[0] == fixed.schedule]
    return matching or [(fixed.schedule, fixed.virtual_stages or 1)]


def context_degrees(sequence_length: int, pin: Pin) -> list[int]:
    """Context-parallel degrees to try: powers of two that leave each rank two blocks of a sequence.

    Two blocks make the causal work even. Shorter shares than `MIN_CONTEXT_TOKENS` do not pay.
    """
    if pin.layout.context:
        return [pin.layout.context]
    degrees = (2, 4, 8, 16, 32, MAX_CONTEXT)
    return [1, *(c for c in degrees if sequence_length % (2 * c) == 0 and sequence_length >= c * MIN_CONTEXT_TOKENS)]


def expert_degrees(architecture: ModelArchitecture, node: NodeTopology, tensor: int, pin: Pin) -> list[int]:
    """Divisors of the routed experts such that tensor x expert ranks lie in one node or fill 2, 4 or 8 nodes."""
    if pin.layout.expert:
        return [pin.layout.expert]
    experts = expert_count(architecture) or 1
    inside = divisors(max(node.gpus // tensor, 1))
    degrees = {*inside, *(count * inside[-1] for count in (2, 4, 8))}
    return sorted(degree for degree in degrees if experts % degree == 0)


def micro_batch_sizes(batch_sequences: int, pin: Pin) -> list[int]:
    """Micro-batches to try: powers of two, which divide the batch where the number of replicas is free."""
    if pin.layout.micro_batch:
        return [pin.layout.micro_batch]
    free = pin.nodes is None and pin.layout.data is None
    powers = (1, 2, 4, 8, MAX_MICRO_BATCH) if free else (1, 2, 4, 8, 16, 32)
    return [size for size in powers if not free or batch_sequences % size == 0]


def zero_stages(pin: Pin) -> list[ZeroStage]:
    """ZeRO stages to try. Stage 0 is left out: stage 1 has less traffic and takes less memory."""
    return [1, 2, 3] if pin.layout.zero_stage is None else [pin.layout.zero_stage]


def recompute_choices(workload: TrainingWorkload, pin: Pin) -> list[Recompute]:
    """Kinds of recompute to try, the fastest first."""
    if pin.layout.recompute:
        return [pin.layout.recompute]
    return ["none", "selective", "full"] if workload.recompute == "auto" else [workload.recompute]


def check_pins(architecture: ModelArchitecture, workload: TrainingWorkload, pin: Pin, batch_sequences: int) -> None:
    """Refuses pinned degrees that do not divide what they split.

    Raises:
        SpecError: A pin is not legal. The message names the field, what it must divide and the nearest legal value.
    """
    fixed, name, layers = pin.layout, architecture.name, architecture.layer_count
    heads, experts = head_count(architecture), expert_count(architecture)
    if fixed.tensor and heads % fixed.tensor:
        raise SpecError(
            f"pin.layout.tensor is {fixed.tensor}; it must divide the {heads} attention heads of {name}:"
            f" nearest is {_nearest(divisors(heads), fixed.tensor)}"
        )
    if fixed.pipeline and fixed.pipeline > layers:
        raise SpecError(
            f"pin.layout.pipeline is {fixed.pipeline}; {name} has {layers} layers, so at most that many stages:"
            f" nearest is {layers}"
        )
    if fixed.pipeline and not divides_layers(layers, fixed.pipeline):
        even = [p for p in range(1, layers + 1) if divides_layers(layers, p)]
        raise SpecError(
            f"pin.layout.pipeline is {fixed.pipeline}; the {layers} layers of {name} do not divide into as many equal"
            f" stages (up to {SPARE_LAYERS} layers fewer are allowed): nearest is {_nearest(even, fixed.pipeline)}"
        )
    _check_schedule(architecture, pin)
    if fixed.expert and fixed.expert > 1 and (experts == 0 or experts % fixed.expert):
        what = (
            f"divide the {experts} routed experts: nearest is {_nearest(divisors(experts), fixed.expert)}"
            if experts
            else "be 1: the model has no routed experts"
        )
        raise SpecError(f"pin.layout.expert is {fixed.expert}; it must {what}")
    if fixed.context and fixed.context > 1 and workload.sequence_length % (2 * fixed.context):
        legal = [c for c in divisors(workload.sequence_length) if workload.sequence_length % (2 * c) == 0]
        raise SpecError(
            f"pin.layout.context is {fixed.context}; the sequence of {workload.sequence_length} tokens must divide into"
            f" twice as many blocks: nearest is {_nearest(legal or [1], fixed.context)}"
        )
    _check_micro_batch(pin, batch_sequences)
    least = (fixed.data or 1) * (fixed.micro_batch or 1)
    if least > batch_sequences:
        field = "pin.layout.data" if fixed.data else "pin.layout.micro_batch"
        limit = batch_sequences // (fixed.micro_batch or 1) if fixed.data else batch_sequences
        raise SpecError(
            f"{field} is {fixed.data or fixed.micro_batch}; a batch of {batch_sequences} sequences"
            f" (workload.global_batch_tokens) is less than a micro-batch for each replica: nearest is {max(limit, 1)}"
        )


def _check_micro_batch(pin: Pin, batch_sequences: int) -> None:
    """Checks that the micro-batch divides the sequences that each replica has of the batch."""
    size, data = pin.layout.micro_batch, pin.layout.data or 1
    if size is None or size * data > batch_sequences:
        return
    share = batch_sequences // data if batch_sequences % data == 0 else batch_sequences
    if share % size:
        of = f"that each of {data} replicas has of the batch" if share < batch_sequences else "of the batch"
        raise SpecError(
            f"pin.layout.micro_batch is {size}; it must divide the {share} sequences {of}"
            f" (workload.global_batch_tokens): nearest is {_nearest(divisors(share), size)}"
        )


def _check_schedule(architecture: ModelArchitecture, pin: Pin) -> None:
    fixed, layers = pin.layout, architecture.layer_count
    if fixed.schedule == "dualpipe" and fixed.pipeline and fixed.pipeline % 2:
        even = [p for p in range(2, layers + 1, 2) if divides_layers(layers, p)]
        raise SpecError(
            f"pin.layout.pipeline is {fixed.pipeline}; DualPipe lays stages i and p-1-i on one rank and takes an even"
            f" number of them: nearest is {_nearest(even or [2], fixed.pipeline)}"
        )
    chunks = fixed.virtual_stages or 1
    if fixed.schedule == "interleaved" and fixed.virtual_stages == 1 and fixed.pipeline != 1:
        raise SpecError(
            "pin.layout.virtual_stages is 1, but pin.layout.schedule is interleaved, which has several chunks a stage:"
            " nearest is 2, or schedule 1f1b"
        )
    if chunks == 1:
        return
    if fixed.pipeline == 1:
        raise SpecError(
            f"pin.layout.virtual_stages is {chunks}, but pin.layout.pipeline is 1: chunks are parts of a pipeline"
            " stage: nearest is 1, or a pipeline of 2 stages or more"
        )
    if fixed.schedule not in (None, "interleaved"):
        raise SpecError(
            f"pin.layout.virtual_stages is {chunks}, but pin.layout.schedule is {fixed.schedule}; only interleaved has"
            " several chunks a stage: nearest is 1"
        )
    if fixed.pipeline and fixed.pipeline > 1 and not divides_layers(layers, fixed.pipeline * chunks):
        legal = [1, *virtual_degrees(layers, fixed.pipeline)]
        raise SpecError(
            f"pin.layout.virtual_stages is {chunks}; the {layers} layers do not divide into {fixed.pipeline} x {chunks}"
            f" chunks: nearest is {_nearest(legal, chunks)}"
        )


def _nearest(allowed: list[int], given: int) -> int:
    return min(allowed, key=lambda value: (abs(value - given), value))
