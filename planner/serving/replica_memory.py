"""GPU memory of one serving replica: weights, KV cache, activations and runtime."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from planner.plan.layout import Layout, MemoryPerGpu
from planner.sizing.kv_cache import kv_cache_bytes_per_gpu
from planner.sizing.overhead import CUDA_CONTEXT_BYTES, NCCL_BUFFER_BYTES, SERVING_WORKSPACE_BYTES
from planner.sizing.profile import ModelProfile
from planner.sizing.weights import weights_bytes_per_gpu
from planner.spec import Headroom, InferenceWorkload
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision

PREFILL_CHUNK_TOKENS = 8192
"""Token budget of one iteration: vLLM's default max_num_batched_tokens under chunked prefill on H100 and newer."""
MAX_BATCH = 4096
"""Upper bound on the requests in flight on one replica. Our own choice: it ends searches for small models."""


@dataclass(frozen=True)
class ReplicaMemory:
    """Memory of the most loaded GPU of a replica."""

    profile: ModelProfile
    workload: InferenceWorkload
    headroom: Headroom
    weights: Precision
    kv_cache: Precision
    node: NodeTopology
    layout: Layout

    @cached_property
    def weights_bytes(self) -> int:
        """Weights on the GPU that holds most of them."""
        layout = self.layout
        return weights_bytes_per_gpu(
            self.profile.architecture,
            self.weights,
            layout.tensor,
            layout.pipeline,
            layout.expert,
            attention_data=layout.attention_data,
        )

    @cached_property
    def kv_bytes_per_group(self) -> int:
        """KV cache on the fullest GPU when every data-parallel attention group holds one sequence of full length."""
        workload, layout = self.workload, self.layout
        return kv_cache_bytes_per_gpu(
            self.profile.architecture,
            workload.prompt_tokens + workload.output_tokens,
            layout.attention_data,
            self.kv_cache,
            layout.tensor,
            layout.pipeline,
            attention_data=layout.attention_data,
        )

    @cached_property
    def activations_bytes(self) -> int:
        """Activations of one prefill chunk in the layer that needs most."""
        layers = self.profile.layers
        layer = max(x.replicated_activation_bytes + x.sharded_activation_bytes / self.layout.tensor for x in layers)
        return int(PREFILL_CHUNK_TOKENS * layer)

    @cached_property
    def capacity_bytes(self) -> int:
        """Usable memory of one GPU: its memory times the memory fraction of the spec."""
        return int(self.node.gpu_memory_bytes * self.headroom.memory_fraction)

    @cached_property
    def overhead_bytes(self) -> int:
        """Runtime of the serving engine, with NCCL buffers where a replica has several GPUs."""
        nccl = NCCL_BUFFER_BYTES if self.layout.gpus_per_replica > 1 else 0
        return CUDA_CONTEXT_BYTES + SERVING_WORKSPACE_BYTES + nccl

    def per_gpu(self, batch: int) -> MemoryPerGpu:
        """Memory of the fullest GPU when the KV cache holds `batch` sequences of full length."""
        parts = {
            "weights_bytes": self.weights_bytes,
            "kv_cache_bytes": ceil(batch / self.layout.attention_data) * self.kv_bytes_per_group,
            "activations_bytes": self.activations_bytes,
            "gradients_bytes": 0,
            "optimizer_bytes": 0,
            "overhead_bytes": self.overhead_bytes,
        }
        rank = "every rank" if self.layout.pipeline == 1 else f"heaviest of {self.layout.pipeline} pipeline stages"
        total = sum(parts.values())
        return MemoryPerGpu(**parts, overhead={}, total_bytes=total, capacity_bytes=self.capacity_bytes, rank=rank)

    @cached_property
    def max_batch(self) -> int:
        """Sequences of full length that fit beside the weights; 0 where not even one fits."""
        free = self.capacity_bytes - self.weights_bytes - self.activations_bytes - self.overhead_bytes
        groups = self.layout.attention_data
        return min(MAX_BATCH, max(0, free // max(self.kv_bytes_per_group, 1)) * groups)
