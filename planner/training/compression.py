"""Gradient compression: what it leaves of the traffic between replicas, what it costs, and where it runs."""

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
    """One method. Bits are those of one value as it crosses a link."""

    name: GradientCompression
    gradient_bits: float
    """PowerSGD: filled in for a model by `compression_of`."""
    weight_bits: float = 16
    rounds: float = 1.0
    """Share of the steps that exchange anything."""
    warm_up: float = 0.0
    """Share of the steps that run uncompressed at first."""
    overlaps: bool = True
    """Whether the backward pass hides the exchange."""
    gathers_backward_inside: bool = False
    """Whether each node keeps all weights, so that the backward pass gathers them over NVLink only."""
    passes_bytes: float = 0.0
    """Memory traffic of packing and unpacking, for each value exchanged. Estimate, half to twice."""
    kept_bytes: float = 0.0
    """Beside the usual state, for each value of a rank: what was lost in packing is added to the next step."""
    zero_stages: tuple[ZeroStage, ...] = (0,)
    replicas_only: bool = False
    """Whether it knows no other parallelism than data."""
    pipelines: bool = True
    optimizers: tuple[str, ...] = ()
    """Empty: any."""
    software: str = ""
    caveat: str = ""


METHODS: Final[dict[GradientCompression, Compression]] = {
    # Signs of the momentum and a scale, both ways; Adam for the first steps, 15 to 20 % of BERT's. DeepSpeed exchanges
    # in the optimizer's step, after the backward pass. Errors of worker and server are kept in fp32.
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
    # The same without a fixed warm-up, skipping 54 % of the rounds (arXiv 2202.06009, abstract).
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
    # Weights in int8, gathered inside the node going back, gradients in int8 or int4: arXiv 2306.10209, section 3
    # and Table 1: M / 2 + 0 + M / 4 instead of 3 M. Each node keeps a whole copy of the 16-bit weights.
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
    # Two thin factors of every matrix (arXiv 1905.13727, algorithm 1); the first 1,000 steps run uncompressed.
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
    """The method that a workload asks for, in the shapes of its model; None where it asks for none."""
    method = METHODS.get(workload.gradient_compression)
    if method is None or method.name != "powersgd":
        return method
    return replace(method, gradient_bits=8 * power_sgd_bytes(profile, rules, workload.powersgd_rank))


def power_sgd_bytes(profile: ModelProfile, rules: StateRules, rank: int) -> float:
    """Bytes that PowerSGD exchanges for each parameter, in fp32; no more than the gradients themselves."""
    held = rank_parameters(profile, profile.stages(1), 1, 1)
    values = power_sgd_values(rank, held.dense_edges + held.expert_edges, held.vectors)
    return min(4 * values / (held.dense + held.expert), rules.gradient_bytes)


def power_sgd_values(rank: int, edges: float, vectors: float) -> float:
    """Values that PowerSGD exchanges: r·(n + m) of a matrix of n x m, vectors as they are.

    Vogels et al. 2019 (arXiv 1905.13727), section 3.

    Args:
        rank: r.
        edges: n + m, summed over the matrices.
        vectors: biases and norms.
    """
    return rank * edges + vectors


def kept_bytes(method: Compression, memory: MemoryPerGpu, layout: Layout, node: NodeTopology) -> int:
    """What a method keeps on the fullest GPU beside the usual state: errors, or the node's own copy of the weights."""
    whole_weights = memory.weights_bytes * (layout.data * layout.context if layout.zero_stage == 3 else 1)
    kept = method.kept_bytes * whole_weights / WEIGHT_BYTES
    if method.gathers_backward_inside:
        in_node = min(layout.data * layout.context, max(1, node.gpus // layout.tensor))
        kept += whole_weights / in_node - memory.weights_bytes
    return max(0, round(kept))


def constrained_pin(pin: Pin, workload: TrainingWorkload) -> Pin:
    """A pin that also holds what the compression of a workload runs with.

    Raises:
        SpecError: the optimizer, the method or the pinned layout does not go together with it.
    """
    method = METHODS.get(workload.gradient_compression)
    if method is None:
        return pin
    field = f"workload.gradient_compression: {method.name} ({method.software})"
    if method.optimizers and workload.optimizer not in method.optimizers:
        raise SpecError(
            f"{field} is an optimizer of its own, and workload.optimizer is {workload.optimizer}; allowed is"
            f" {', '.join(method.optimizers)}, or set gradient_compression: none"
        )
    if workload.method != "full":
        raise SpecError(
            f"{field} compresses the gradients of all weights, and workload.method is {workload.method}; adapters"
            " exchange next to nothing: set gradient_compression: none"
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
