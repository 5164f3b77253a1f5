"""The smallest number of each GPU that holds a model for serving and for training. Memory decides, not speed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Final

from planner.plan.layout import Layout
from planner.sizing.kv_cache import BLOCK_TOKENS, kv_cache_bytes_per_gpu
from planner.sizing.legal_layouts import MAX_PIPELINE, divisors, expert_count, head_count
from planner.sizing.overhead import (
    CUDA_CONTEXT_BYTES,
    NCCL_BUFFER_BYTES,
    NCCL_COMMUNICATOR_BYTES,
    SERVING_WORKSPACE_BYTES,
)
from planner.sizing.profile import ModelProfile
from planner.sizing.split_rules import legal_tensors
from planner.sizing.training_memory import communicators, training_memory
from planner.sizing.weights import weights_bytes_per_gpu
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.gpu_memory import NODE_GPUS, GpuMemory
from provider_catalog.precision import Precision

MAX_SERVING_GPUS: Final = 128
MAX_TRAINING_GPUS: Final = 4096
FINEST_STEP: Final = 64
"""From one count to the next, nodes grow by a 64th, rounded down, or by one node."""
WEIGHT_BYTES, GRADIENT_BYTES, ADAMW_STATE_BYTES = 2, 4, 12
"""Bytes per parameter in bf16 mixed precision with fp32 gradients and AdamW, 18 together (Narayanan et al. 2021, arXiv
2104.04473; ZeRO, arXiv 1910.02054, section 3.1). They only skip layouts that cannot fit; training_memory decides."""
MICRO_BATCHES_PER_STAGE: Final = 4
"""Enough micro-batches to fill the pipeline, so that the first stage holds as many as it ever does."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Formats and load that decide the memory of serving."""

    weights: Precision
    kv_cache: Precision
    context_tokens: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Fit:
    """The smallest number of one GPU that holds the model, and how."""

    gpus: int
    tensor: int
    pipeline: int
    data: int
    expert: int
    attention_data: int
    bytes_per_gpu: int
    """Bytes on the fullest GPU."""

    @property
    def short_name(self) -> str:
        """Degrees above 1, such as TP8 EP8."""
        layout = Layout(tensor=self.tensor, pipeline=self.pipeline, data=self.data, expert=self.expert)
        return layout.degree_names("tensor", "pipeline", "data", "expert")


def smallest_serving(architecture: ModelArchitecture, serving: Serving, gpu: GpuMemory) -> Fit | None:
    """The fewest GPUs that hold weights, KV cache and runtime; None if `MAX_SERVING_GPUS` are too few.

    Counts are 1, 2, 4, 8 and multiples of 8. GPUs of one node form a tensor-parallel group whose degree divides the
    heads; nodes form pipeline stages. Experts are divided whole where the degree divides them. Tensor parallelism
    repeats a latent cache on every rank; data-parallel attention is used instead where it takes less memory.
    """
    for gpus in _counts(1, MAX_SERVING_GPUS):
        limit = min(gpus, gpu.gpus_per_node, NODE_GPUS)
        degrees = [degree for degree in range(1, limit + 1) if gpus % degree == 0]
        tensor = max(legal_tensors(architecture, serving.weights, degrees), default=1)
        pipeline = gpus // tensor
        if pipeline > architecture.layer_count:
            continue
        best = min(
            (_serving_fit(architecture, serving, tensor, pipeline, groups) for groups in _groups(architecture, tensor)),
            key=lambda fit: fit.bytes_per_gpu,
        )
        if best.bytes_per_gpu <= gpu.usable_bytes:
            return best
    return None


def smallest_training(profile: ModelProfile, sequence_tokens: int, gpus: Iterable[GpuMemory]) -> dict[str, Fit | None]:
    """The fewest GPUs of each kind that train all weights, with the fewest pipeline stages among the layouts that fit.

    Training uses AdamW in bf16 mixed precision, ZeRO 1, full recompute and a micro-batch of 1. Tensor parallelism, with
    sequence parallelism, is as wide as the node and the heads allow, up to 8. The other GPUs form pipeline stages, data
    and expert parallelism. The value is None if `MAX_TRAINING_GPUS` are too few.
    """
    # Different GPUs are asked about the same layouts.
    known: dict[Layout, Fit] = {}

    def fit_of(layout: Layout) -> Fit:
        if layout not in known:
            known[layout] = _training_fit(profile, sequence_tokens, layout)
        return known[layout]

    floor = _StateFloor(profile.architecture)
    return {gpu.name: _smallest_training(profile.architecture, gpu, floor, fit_of) for gpu in gpus}


def _smallest_training(
    architecture: ModelArchitecture, gpu: GpuMemory, floor: "_StateFloor", fit_of: Callable[[Layout], Fit]
) -> Fit | None:
    usable_bytes = gpu.usable_bytes
    state_bytes = architecture.total_parameters * (WEIGHT_BYTES + GRADIENT_BYTES + ADAMW_STATE_BYTES)
    for gpus in _counts(-(-state_bytes // usable_bytes), MAX_TRAINING_GPUS):
        tensor = _tensor_degree(architecture, gpus, gpu.gpus_per_node)
        for layout in _training_layouts(architecture, gpus, tensor):
            if floor.bytes_per_gpu(layout) > usable_bytes:
                continue
            fit = fit_of(layout)
            if fit.bytes_per_gpu <= usable_bytes:
                return fit
    return None


class _StateFloor:
    """Lower bound on the memory of the fullest GPU, by weights, gradients and AdamW alone.

    The fullest GPU has at least an even share of everything. It also has at least as many layers as an even split gives
    its stage, and these are no smaller than the smallest layers of the model.
    """

    def __init__(self, architecture: ModelArchitecture) -> None:
        layers = [
            (group.feed_forward.routed_expert_parameters, group.parameters)
            for group in architecture.layers
            for _ in range(group.count)
        ]
        self._routed = architecture.routed_expert_parameters
        self._dense = architecture.total_parameters - self._routed
        self._routed_of_layers = tuple(accumulate(sorted(routed for routed, _ in layers), initial=0))
        self._dense_of_layers = tuple(accumulate(sorted(every - routed for routed, every in layers), initial=0))

    def bytes_per_gpu(self, layout: Layout) -> float:
        """Lower bound in bytes on state and runtime of the fullest GPU."""
        most = -(-(len(self._dense_of_layers) - 1) // layout.pipeline)
        dense = max(self._dense / layout.pipeline, self._dense_of_layers[most])
        routed = max(self._routed / layout.pipeline, self._routed_of_layers[most])
        state = (WEIGHT_BYTES + GRADIENT_BYTES) * (dense + routed / layout.expert)
        state += ADAMW_STATE_BYTES * (dense + routed) / layout.data
        return CUDA_CONTEXT_BYTES + NCCL_COMMUNICATOR_BYTES * communicators(layout) + state / layout.tensor


def _counts(least: int, most: int) -> Iterator[int]:
    yield from (count for count in (1, 2, 4) if least <= count)
    nodes = -(-max(least, NODE_GPUS) // NODE_GPUS)
    while nodes * NODE_GPUS <= most:
        yield nodes * NODE_GPUS
        nodes += max(1, nodes // FINEST_STEP)


def _tensor_degree(architecture: ModelArchitecture, gpus: int, gpus_per_node: int) -> int:
    heads = head_count(architecture)
    limit = min(gpus, gpus_per_node, NODE_GPUS)
    return max(degree for degree in range(1, limit + 1) if gpus % degree == 0 and heads % degree == 0)


def _groups(architecture: ModelArchitecture, tensor: int) -> tuple[int, ...]:
    """Group counts of data-parallel attention to try. It pays only where tensor parallelism repeats the cache."""
    return (1, tensor) if architecture.has_latent_cache and tensor > 1 else (1,)


@lru_cache(maxsize=4096)
def _serving_fit(
    architecture: ModelArchitecture, serving: Serving, tensor: int, pipeline: int, attention_data: int
) -> Fit:
    experts = expert_count(architecture)
    expert = tensor if experts and experts % tensor == 0 else 1
    weights = weights_bytes_per_gpu(
        architecture, serving.weights, tensor, pipeline, expert, attention_data=attention_data
    )
    cache = kv_cache_bytes_per_gpu(
        architecture,
        serving.context_tokens,
        serving.concurrency,
        serving.kv_cache,
        tensor,
        pipeline,
        attention_data=attention_data,
        block_tokens=BLOCK_TOKENS,
    )
    runtime = CUDA_CONTEXT_BYTES + SERVING_WORKSPACE_BYTES + (NCCL_BUFFER_BYTES if tensor * pipeline > 1 else 0)
    return Fit(tensor * pipeline, tensor, pipeline, 1, expert, attention_data, weights + cache + runtime)


def _training_layouts(architecture: ModelArchitecture, gpus: int, tensor: int) -> Iterator[Layout]:
    experts = expert_count(architecture)
    for pipeline in divisors(gpus // tensor):
        if pipeline > min(architecture.layer_count, MAX_PIPELINE):
            return
        data = gpus // (tensor * pipeline)
        expert = max((degree for degree in divisors(data) if experts and experts % degree == 0), default=1)
        yield Layout(
            tensor=tensor,
            pipeline=pipeline,
            data=data,
            expert=expert,
            zero_stage=1,
            recompute="full",
            sequence_parallel=tensor > 1,
        )


def _training_fit(profile: ModelProfile, sequence_tokens: int, layout: Layout) -> Fit:
    memory = training_memory(profile, layout, sequence_tokens, MICRO_BATCHES_PER_STAGE * layout.pipeline, 0)
    return Fit(layout.gpus, layout.tensor, layout.pipeline, layout.data, layout.expert, 1, memory.total_bytes)
