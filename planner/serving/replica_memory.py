"""GPU memory of one serving replica: what the engine loads and reserves, and the requests that its KV cache holds."""

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import Final, Literal

from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.performance import CacheCapacity
from planner.serving.bisection import largest
from planner.sizing.engine_ledger import EngineLedger
from planner.sizing.engine_settings import GIB, EngineSettings, engine_settings
from planner.sizing.profile import ModelProfile
from planner.spec import Headroom, InferenceWorkload
from planner.spec.engine import DEFAULT_ENGINE, ServingEngineChoice
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision
from provider_catalog.software_matrix import ServingEngineName

PREFILL_CHUNK_TOKENS = 8192
"""Token budget of one iteration: vLLM's default max_num_batched_tokens under chunked prefill on H100 and newer."""
MAX_BATCH = 4096
"""Upper bound on the requests in flight on one replica. Our own choice: it ends searches for small models."""
LONGEST_REQUEST: Final = 10_000_000
"""Tokens of the longest request of a model that states no limit."""


@dataclass(frozen=True)
class ServedBy:
    """The serving engine of a spec."""

    choice: ServingEngineChoice = field(default=DEFAULT_ENGINE)
    name: ServingEngineName | Literal["auto"] = "auto"


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
    served_by: ServedBy = field(default=ServedBy())

    @cached_property
    def settings(self) -> EngineSettings:
        """Settings with which launch commands start the engine."""
        gpu, given = self.node.gpu, self.served_by.choice.gpu_memory_utilization
        return engine_settings(
            self.served_by.choice,
            self.served_by.name,
            gpu=gpu.name,
            generation=gpu.generation,
            visible_bytes=self.node.visible_memory_bytes,
            memory_fraction=None if given is not None else self.headroom.memory_fraction,
            batched_tokens=batched_tokens(self.served_by.choice, self.workload),
            ranks=self.layout.gpus_per_replica,
        )

    @cached_property
    def ledger(self) -> EngineLedger:
        """Memory beside the KV cache."""
        return EngineLedger(
            self.profile.architecture,
            self.weights,
            self.kv_cache,
            self.layout,
            self.settings,
            self.workload.speculation is not None,
        )

    @property
    def capacity_bytes(self) -> int:
        """Memory of one GPU that the engine may use."""
        return self.settings.capacity_bytes

    def per_gpu(self, batch: int) -> MemoryPerGpu:
        """Memory of the fullest GPU when the KV cache holds `batch` sequences of full length."""
        ledger, each = self.ledger, ceil(batch / self.layout.attention_data)
        parts = {
            "weights_bytes": ledger.weights_bytes,
            "kv_cache_bytes": each * ledger.cache.request_bytes(self.workload.context_tokens),
            "activations_bytes": ledger.activations_bytes(each),
            "gradients_bytes": 0,
            "optimizer_bytes": 0,
            "overhead_bytes": sum(ledger.runtime.values()),
        }
        rank = "every rank" if self.layout.pipeline == 1 else f"heaviest of {self.layout.pipeline} pipeline stages"
        return MemoryPerGpu(
            **parts,
            overhead=ledger.runtime,
            weights=ledger.weights,
            total_bytes=sum(parts.values()),
            capacity_bytes=self.capacity_bytes,
            rank=rank,
        )

    @cached_property
    def max_batch(self) -> int:
        """Sequences of full length that fit beside the weights; 0 where not even the longest allowed one fits."""
        groups, pool = self.layout.attention_data, self.ledger.pool_bytes()
        needed = self.ledger.cache.request_bytes(self.workload.longest_context_tokens)
        if pool < needed + self.settings.memory.margin_gib * GIB:
            return 0
        bound = self.served_by.choice.max_num_seqs or ceil(MAX_BATCH / groups)
        return min(MAX_BATCH, largest(self._holds, bound) * groups)

    def _holds(self, each: int) -> bool:
        """Whether the cache of every group holds `each` requests of planned length."""
        ledger = self.ledger
        return ledger.cache.in_flight(ledger.pool_bytes(each), self.workload.context_tokens) >= each

    @cached_property
    def longest_request_tokens(self) -> int:
        """Tokens of the longest request that the cache holds, at most the positions of the model."""
        limit = self.profile.architecture.max_position_embeddings or LONGEST_REQUEST
        limit = max(limit, self.workload.context_tokens)
        return self.ledger.cache.longest_request(self.ledger.pool_bytes(), limit)

    @cached_property
    def capacity(self) -> CacheCapacity:
        """What the KV cache of the replica holds."""
        ledger, settings, groups = self.ledger, self.settings, self.layout.attention_data
        longest = self.workload.longest_context_tokens
        pool = ledger.pool_bytes()
        bound = self.served_by.choice.max_num_seqs or MAX_BATCH
        return CacheCapacity(
            engine=settings.memory.engine,
            version=settings.version,
            memory_setting=settings.share,
            max_num_batched_tokens=settings.batched_tokens,
            max_num_seqs=ledger.sequences(),
            pool_bytes_per_gpu=pool,
            outside_bytes_per_gpu=ledger.outside_bytes,
            tokens=ledger.cache.tokens(pool, longest) * groups,
            longest_request_tokens=self.longest_request_tokens,
            requests_at_planned_length=min(bound, ledger.cache.in_flight(pool, self.workload.context_tokens)) * groups,
            max_context_tokens=longest,
            requests_at_max_context=min(bound, ledger.cache.in_flight(pool, longest)) * groups,
        )


def batched_tokens(choice: ServingEngineChoice, workload: InferenceWorkload) -> int:
    """Return the token budget of one iteration with which launch commands start the engine."""
    if choice.max_num_batched_tokens is not None:
        return choice.max_num_batched_tokens
    if workload.chunked_prefill:
        return PREFILL_CHUNK_TOKENS
    return max(PREFILL_CHUNK_TOKENS, workload.longest_context_tokens)
