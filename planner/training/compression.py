"""Gradient compression: traffic between replicas, cost in time and memory, and the layouts and software it needs."""

from dataclasses import dataclass, replace
from typing import Final

from planner.errors import SpecError
from planner.plan.layout import Layout, MemoryPerGpu
from planner.sizing.optimizer_state import WEIGHT_BYTES, StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import rank_parameters
from planner.spec import GradientCompression, Pin, TrainingWorkload
from planner.vocabulary import ZeroStage
from provider_catalog.hardware import NodeTopology


@dataclass(frozen=True, slots=True)
class Compression:
    """One compression method."""

    name: GradientCompression
    gradient_bits: float
    """Bits of one gradient on the network. For PowerSGD `compression_of` fills it in per model."""
    weight_bits: float = 16
    """Bits of one gathered weight on the network."""
    rounds: float = 1.0
    """Share of the steps that communicate at all."""
    warm_up: float = 0.0
    """Share of the steps that run uncompressed at the start."""
    overlaps: bool = True
    """Whether the backward pass hides the communication."""
    gathers_backward_inside: bool = False
    """Whether each node keeps all weights, so that the backward pass gathers them over NVLink only."""
    passes_bytes: float = 0.0
    """Memory traffic of packing and unpacking, in bytes per exchanged value. Estimate, half to twice."""
    kept_bytes: float = 0.0
    """Memory for error feedback, in bytes per value of a rank: packing errors are added to the next step."""
    zero_stages: tuple[ZeroStage, ...] = (0,)
    """ZeRO stages that the method runs with, the preferred one first."""
    replicas_only: bool = False
    """Whether the method supports data parallelism only."""
    pipelines: bool = True
    """Whether the method supports pipeline parallelism."""
    optimizers: tuple[str, ...] = ()
    """Optimizers that the method runs with; empty: any."""
    software: str = ""
    """Framework and option that implement the method."""
    caveat: str = ""
    """Risk to convergence, with its source."""


METHODS: Final[dict[GradientCompression, Compression]] = {
    # Both directions send the signs of the momentum and a scale. The first steps, 15 to 20 % in BERT's training, run
    # plain Adam. DeepSpeed communicates in the optimizer step, after the backward pass. Worker and server errors are
    # kept in fp32.
    "one_bit_adam": Compression(
        "one_bit_adam",
        gradient_bits=1,
        warm_up=0.15,
        overlaps=False,
        passes_bytes=24,
        kept_bytes=4,
        optimizers=("adamw",),
        software="DeepSpeed OneBitAdam (fp16), without ZeRO",
        caveat=(
            "the variance is frozen after a warm-up that has to be tuned; convergence is published for BERT and SQuAD"
            " only, and frequent loading of checkpoints hurts it (arXiv 2102.02888; DeepSpeed's tutorial)"
        ),
    ),
    # 0/1 Adam has no fixed warm-up and skips 54 % of the communication rounds (arXiv 2202.06009, abstract).
    "zero_one_adam": Compression(
        "zero_one_adam",
        gradient_bits=1,
        rounds=0.46,
        overlaps=False,
        passes_bytes=24,
        kept_bytes=4,
        optimizers=("adamw",),
        software="DeepSpeed ZeroOneAdam (fp16), without ZeRO",
        caveat=(
            "replicas take local steps between exchanges; convergence is published for BERT, GPT-2 and ImageNet only,"
            " and frequent loading of checkpoints hurts it (arXiv 2202.06009; DeepSpeed's tutorial)"
        ),
    ),
    # ZeRO++ gathers weights in int8 in the forward pass and inside the node in the backward pass, and reduces gradients
    # in int8 or int4. Traffic is M / 2 + 0 + M / 4 instead of 3 M (arXiv 2306.10209, section 3 and Table 1). Each node
    # keeps all 16-bit weights.
    "zero_pp_int8": Compression(
        "zero_pp_int8",
        gradient_bits=8.25,
        weight_bits=8.25,
        gathers_backward_inside=True,
        passes_bytes=11,
        zero_stages=(3,),
        pipelines=False,
        software="DeepSpeed ZeRO++ (zero_quantized_weights, zero_hpz_partition_size, zero_quantized_gradients)",
        caveat="blocks of weights and gradients are rounded to 8 bits; published on GPT of 350M to 13B parameters",
    ),
    "zero_pp_int4": Compression(
        "zero_pp_int4",
        gradient_bits=4.25,
        weight_bits=8.25,
        gathers_backward_inside=True,
        passes_bytes=11,
        zero_stages=(3,),
        pipelines=False,
        software="DeepSpeed ZeRO++ (zero_quantized_weights, zero_hpz_partition_size, zero_quantized_gradients)",
        caveat=(
            "gradients are rounded to 4 bits in blocks, without error feedback; loss curves are published for GPT of"
            " 350M and 13B parameters (arXiv 2306.10209, section 5.3)"
        ),
    ),
    # PowerSGD sends two low-rank factors of every matrix (arXiv 1905.13727, algorithm 1). The first 1,000 steps run
    # uncompressed.
    "powersgd": Compression(
        "powersgd",
        gradient_bits=32,
        passes_bytes=24,
        kept_bytes=4,
        replicas_only=True,
        pipelines=False,
        software="PyTorch DistributedDataParallel, powerSGD_hook, with a state that is not sharded",
        caveat=(
            "low-rank gradients with error feedback: published for SGD with momentum on ResNet-18 and an LSTM; with"
            " Adam on language models the rank has to be found (arXiv 1905.13727; DALL-E, arXiv 2102.12092, took ranks"
            " in the hundreds)"
        ),
    ),
}


def compression_of(workload: TrainingWorkload, profile: ModelProfile, rules: StateRules) -> Compression | None:
    """Return the workload's compression method, with the traffic of its model; None where it has none."""
    method = METHODS.get(workload.gradient_compression)
    if method is None or method.name != "powersgd":
        return method
    return replace(method, gradient_bits=8 * power_sgd_bytes(profile, rules, workload.powersgd_rank))


def power_sgd_bytes(profile: ModelProfile, rules: StateRules, rank: int) -> float:
    """Return the fp32 bytes that PowerSGD sends for each parameter, at most those of the gradients themselves."""
    held = rank_parameters(profile, profile.stages(1), 1, 1)
    values = power_sgd_values(rank, held.dense_edges + held.expert_edges, held.vectors)
    return min(4 * values / (held.dense + held.expert), rules.gradient_bytes)


def power_sgd_values(rank: int, edges: float, vectors: float) -> float:
    """Return the number of values that PowerSGD sends: r·(n + m) for an n x m matrix; vectors are not compressed.

    Vogels et al. 2019 (arXiv 1905.13727), section 3.

    Args:
        rank: Rank r of the factors.
        edges: Sum of n + m over the matrices.
        vectors: Values of biases and norms.
    """
    return rank * edges + vectors


def kept_bytes(method: Compression, memory: MemoryPerGpu, layout: Layout, node: NodeTopology) -> int:
    """Return the extra bytes on the fullest GPU, for error feedback or for the node's copy of the weights."""
    whole_weights = memory.weights_bytes * (layout.data * layout.context if layout.zero_stage == 3 else 1)
    kept = method.kept_bytes * whole_weights / WEIGHT_BYTES
    if method.gathers_backward_inside:
        in_node = min(layout.data * layout.context, max(1, node.gpus // layout.tensor))
        kept += whole_weights / in_node - memory.weights_bytes
    return max(0, round(kept))


def constrained_pin(pin: Pin, workload: TrainingWorkload) -> Pin:
    """Return the pin, extended by the degrees and the ZeRO stage that the workload's compression method needs.

    Raises:
        SpecError: The optimizer, the training method or the pinned layout does not work with the compression method.
    """
    method = METHODS.get(workload.gradient_compression)
    if method is None:
        return pin
    field = f"workload.gradient_compression: {method.name} ({method.software})"
    if method.optimizers and workload.optimizer not in method.optimizers:
        raise SpecError(
            f"{field} replaces the optimizer, and workload.optimizer is {workload.optimizer}; allowed:"
            f" {', '.join(method.optimizers)}, or set gradient_compression: none"
        )
    if workload.method != "full":
        raise SpecError(
            f"{field} compresses the gradients of all weights, and workload.method is {workload.method}; adapters"
            " have little gradient traffic: set gradient_compression: none"
        )
    needed: dict[str, tuple[int, ...]] = {"zero_stage": method.zero_stages}
    if not method.pipelines:
        needed["pipeline"] = (1,)
    if method.replicas_only:
        needed |= {"tensor": (1,), "context": (1,), "expert": (1,)}
    fixed = {}
    for name, allowed in needed.items():
        pinned = getattr(pin.layout, name)
        if pinned not in (None, *allowed):
            raise SpecError(
                f"{field} runs with {name} {' or '.join(map(str, allowed))}, and pin.layout.{name} is {pinned}; change"
                " it, leave it out, or set gradient_compression: none"
            )
        fixed[name] = allowed[0]
    return pin.model_copy(update={"layout": pin.layout.model_copy(update=fixed)})
