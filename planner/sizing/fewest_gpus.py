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
from planner.sizing.training_memory import communicators, training_memory
from planner.sizing.weights import weights_bytes_per_gpu
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.gpu_memory import NODE_GPUS, GpuMemory
from provider_catalog.precision import Precision

MAX_SERVING_GPUS: Final = 128
MAX_TRAINING_GPUS: Final = 4096
FINEST_STEP: Final = 64
"""Counts grow by a 64th at most finely, rounded to whole nodes: nodes one by one below 512 GPUs."""
WEIGHT_BYTES, GRADIENT_BYTES, ADAMW_STATE_BYTES = 2, 4, 12
"""A parameter in bf16 mixed precision with fp32 gradients and AdamW: 18 bytes (Narayanan et al. 2021, arXiv
2104.04473; ZeRO, arXiv 1910.02054, section 3.1). Only what cannot fit is left out by them; training_memory decides."""
MICRO_BATCHES_PER_STAGE: Final = 4
"""Enough that the pipeline is full, so that the first stage holds all that it ever will."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What is held in memory when serving."""

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
    """On the fullest one."""


def smallest_serving(architecture: ModelArchitecture, serving: Serving, gpu: GpuMemory) -> Fit | None:
    """The fewest GPUs that hold weights, KV cache and runtime; None where `MAX_SERVING_GPUS` do not.

    Counts are 1, 2, 4, 8 and multiples of 8. Within a node tensor parallelism, by a degree that divides the heads;
    beyond it pipeline stages. Experts are divided whole where the degree divides them. A latent cache, which tensor
    parallelism repeats, may be kept by data-parallel attention instead, whichever takes less.
    """
    for gpus in _counts(1, MAX_SERVING_GPUS):
        tensor = _tensor_degree(architecture, gpus, gpu.gpus_per_node)
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

    AdamW in bf16 mixed precision, ZeRO 1, full recompute, micro-batch 1. Tensor parallelism as wide as node and heads
    allow up to 8, with sequence parallelism; the rest pipeline stages, data and expert parallelism. None where
    `MAX_TRAINING_GPUS` do not hold it.
    """
    # Kinds of GPU meet the same layouts again and again
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
    """Less than which no layout holds, by weights, gradients and AdamW alone.

    The fullest GPU has at least an even share of everything, and at least as many of the smallest layers as the stage
    with the most layers has.
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
        """Bytes of state and of the runtime on the fullest GPU, or less."""
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
    """Groups of data-parallel attention to try: it pays where tensor parallelism repeats the cache."""
    latent = any(group.attention.kind == "mla" for group in architecture.layers)
    return (1, tensor) if latent and tensor > 1 else (1,)


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
