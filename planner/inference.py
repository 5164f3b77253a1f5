"""Inference engine: latency, throughput and fit of one layout by a roofline with continuous batching."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from planner.candidate import Candidate, Miss
from planner.errors import SpecError
from planner.layout import expert_count, legal_tensor_degrees
from planner.parallelism import Layout, MemoryPerGpu
from planner.plan import InferencePerformance
from planner.sizing.communication import Link, all_reduce_s, links
from planner.sizing.efficiency import MEMORY_BANDWIDTH_EFFICIENCY
from planner.sizing.kv_cache import kv_cache_bytes_per_gpu
from planner.sizing.overhead import CUDA_CONTEXT_BYTES, NCCL_BUFFER_BYTES, SERVING_WORKSPACE_BYTES
from planner.sizing.profile import ModelProfile
from planner.sizing.weights import bytes_per_value, weights_bytes_per_gpu
from planner.spec import Headroom, InferenceWorkload, Pin
from provider_catalog.hardware import Gpu, NodeTopology
from provider_catalog.precision import BITS_PER_VALUE, Precision

LAYER_OVERHEAD_S = 30e-6
"""Small kernels of one layer that neither roof explains (norms, rotary embedding, sampling share), under CUDA graphs.
Estimate, 15 to 60 us."""
EXPERT_GEMM_EFFICIENCY = 0.6
"""Rate of grouped expert GEMMs next to dense ones: small matrices and uneven routing. Estimate, 0.45 to 0.8."""
PREFILL_CHUNK_TOKENS = 8192
"""Tokens that a serving engine works on at once (vLLM's max_num_batched_tokens under chunked prefill)."""
MAX_BATCH = 4096
PIPELINES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)


@dataclass(frozen=True)
class InferenceEngine:
    """First-order analytic engine for one inference workload."""

    profile: ModelProfile
    workload: InferenceWorkload
    headroom: Headroom
    pin: Pin
    weights: Precision
    kv_cache: Precision
    may_widen: bool = False
    """Whether a GPU that lacks the format may serve 16-bit weights instead."""
    name: str = "analytic-inference-1"

    def candidates(self, node: NodeTopology, max_nodes: int, multi_node: bool) -> Iterator[Candidate | Miss]:
        """For each split of the model, the fleet that carries the load at the SLO, or why none does.

        Raises:
            SpecError: a pinned layout contradicts the model or the node.
        """
        arithmetic = arithmetic_precision(self.weights, node.gpu)
        if arithmetic is None and self.may_widen:
            yield from replace(self, weights="bf16", may_widen=False).candidates(node, max_nodes, multi_node)
            return
        if arithmetic is None:
            yield Miss(f"{node.gpu.name} has no {self.weights} arithmetic", float("inf"))
            return
        for layout in self._layouts(node, multi_node):
            yield self._fleet(Replica(self, node, layout, arithmetic), max_nodes)

    def _layouts(self, node: NodeTopology, multi_node: bool) -> Iterator[Layout]:
        fixed = self.pin.layout
        experts = expert_count(self.profile.architecture)
        layers = self.profile.architecture.layer_count
        tensors = [fixed.tensor] if fixed.tensor else legal_tensor_degrees(self.profile.architecture, node)
        pipelines = [fixed.pipeline] if fixed.pipeline else [p for p in PIPELINES if p <= layers]
        for tensor in tensors:
            for pipeline in pipelines:
                gpus = tensor * pipeline
                within = gpus <= node.gpus and node.gpus % gpus == 0
                across = multi_node and tensor == node.gpus
                pinned = bool(fixed.tensor and fixed.pipeline)
                too_large = self.pin.nodes is not None and gpus > self.pin.nodes * node.gpus
                if not pinned and (too_large or not (within or across)):
                    continue
                expert = fixed.expert or (tensor if experts and experts % tensor == 0 else 1)
                yield Layout(tensor=tensor, pipeline=pipeline, expert=expert)

    def _fleet(self, replica: "Replica", max_nodes: int) -> Candidate | Miss:
        """Number of replicas for the load, whole nodes filled."""
        layout, node = replica.layout, replica.node
        largest = replica.largest_batch()
        if isinstance(largest, Miss):
            return largest
        capacity_per_s = replica.requests_per_s(largest)
        concurrency, rate = self.workload.concurrency, self.workload.request_rate_per_s
        needed = ceil((rate or 1.0) / capacity_per_s) if concurrency is None else ceil(concurrency / largest)
        replicas = self._replicas(node, layout, needed)
        nodes = ceil(replicas * layout.gpus_per_replica / node.gpus)
        if nodes > max_nodes and self.pin.nodes is None:
            return Miss(
                f"{_split_name(layout)} carries the load on {nodes} nodes; {max_nodes} may be used",
                nodes / max_nodes,
                fits_memory=True,
            )
        if self.pin.batch is not None:
            batch = self.pin.batch
        elif concurrency is not None:
            batch = min(largest, ceil(concurrency / replicas))
        else:
            batch = replica.batch_at((rate or 1.0) / replicas, largest)
        fleet = replace(replica, layout=replace(layout, data=replicas))
        return Candidate(
            nodes=nodes,
            layout=fleet.layout,
            weights=self.weights,
            kv_cache=self.kv_cache,
            memory=fleet.memory(largest),
            performance=fleet.performance(batch, largest),
        )

    def _replicas(self, node: NodeTopology, layout: Layout, needed: int) -> int:
        """Replicas that fill the nodes of `needed`, or what is pinned."""
        per_replica = layout.gpus_per_replica
        if self.pin.layout.data is not None and self.pin.nodes is None:
            return self.pin.layout.data
        if self.pin.nodes is not None:
            fit = self.pin.nodes * node.gpus // per_replica
            if fit < 1:
                raise SpecError(
                    f"pin.nodes is {self.pin.nodes} ({self.pin.nodes * node.gpus} GPUs), but one replica takes"
                    f" {per_replica} GPUs; raise pin.nodes or lower pin.layout"
                )
            return min(fit, self.pin.layout.data or fit)
        if per_replica >= node.gpus:
            return needed
        per_node = node.gpus // per_replica
        return ceil(needed / per_node) * per_node


@dataclass(frozen=True)
class Replica:
    """One copy of the model on its GPUs, at some static or continuous batch."""

    engine: InferenceEngine
    node: NodeTopology
    layout: Layout
    arithmetic: Precision

    @cached_property
    def weights_bytes(self) -> int:
        """Weights on the fullest GPU."""
        layout = self.layout
        return weights_bytes_per_gpu(
            self.engine.profile.architecture, self.engine.weights, layout.tensor, layout.pipeline, layout.expert
        )

    @cached_property
    def kv_bytes_per_sequence(self) -> int:
        """KV cache of one full sequence on the fullest GPU."""
        workload, layout = self.engine.workload, self.layout
        return kv_cache_bytes_per_gpu(
            self.engine.profile.architecture,
            workload.prompt_tokens + workload.output_tokens,
            1,
            self.engine.kv_cache,
            layout.tensor,
            layout.pipeline,
        )

    @cached_property
    def activations_bytes(self) -> int:
        """One layer's activations of a prefill chunk, and the fp32 logits of a sampled batch."""
        profile = self.engine.profile
        layer = max(
            x.replicated_activation_bytes + x.sharded_activation_bytes / self.layout.tensor for x in profile.layers
        )
        return int(PREFILL_CHUNK_TOKENS * layer)

    @cached_property
    def capacity_bytes(self) -> int:
        """Memory of one GPU that may be used."""
        return int(self.node.gpu_memory_bytes * self.engine.headroom.memory_fraction)

    @cached_property
    def overhead_bytes(self) -> int:
        """Runtime of the engine; the NCCL buffers only where GPUs work together."""
        nccl = NCCL_BUFFER_BYTES if self.layout.gpus_per_replica > 1 else 0
        return CUDA_CONTEXT_BYTES + SERVING_WORKSPACE_BYTES + nccl

    def memory(self, batch: int) -> MemoryPerGpu:
        """Memory of the fullest GPU with `batch` full sequences in the KV cache."""
        parts = {
            "weights_bytes": self.weights_bytes,
            "kv_cache_bytes": batch * self.kv_bytes_per_sequence,
            "activations_bytes": self.activations_bytes,
            "gradients_bytes": 0,
            "optimizer_bytes": 0,
            "overhead_bytes": self.overhead_bytes,
        }
        rank = "every rank" if self.layout.pipeline == 1 else f"heaviest of {self.layout.pipeline} pipeline stages"
        total = sum(parts.values())
        return MemoryPerGpu(**parts, overhead={}, total_bytes=total, capacity_bytes=self.capacity_bytes, rank=rank)

    def batch_that_fits(self) -> int:
        """Full sequences that fit beside the weights."""
        free = self.capacity_bytes - self.weights_bytes - self.activations_bytes - self.overhead_bytes
        return min(MAX_BATCH, max(0, free // max(self.kv_bytes_per_sequence, 1)))

    def largest_batch(self) -> int | Miss:
        """The largest continuous batch within memory and SLO, or the miss that says what is short."""
        if self.engine.pin.batch is not None:
            return self.engine.pin.batch
        fits = self.batch_that_fits()
        if fits < 1:
            needed = self.memory(1)
            return Miss(
                f"{_split_name(self.layout)} needs {needed.total_bytes / 2**30:.1f} GiB a GPU for one sequence,"
                f" {self.capacity_bytes / 2**30:.1f} GiB may be used",
                needed.total_bytes / self.capacity_bytes,
            )
        slo = self.engine.workload.slo
        if not self._meets_slo(1):
            ttft, tpot = self.ttft_s(1) * 1e3, self.tpot_s(1) * 1e3
            worst = max(
                (ttft / slo.ttft_ms, "TTFT", ttft, slo.ttft_ms), (tpot / slo.tpot_ms, "TPOT", tpot, slo.tpot_ms)
            )
            if self.engine.pin.nodes is not None:
                return 1
            return Miss(
                f"{_split_name(self.layout)}: {worst[1]} is {worst[2]:.3g} ms with one request in flight,"
                f" the SLO is {worst[3]:g} ms",
                worst[0],
                fits_memory=True,
            )
        return _largest(self._meets_slo, fits)

    def _meets_slo(self, batch: int) -> bool:
        slo = self.engine.workload.slo
        return self.tpot_s(batch) * 1e3 <= slo.tpot_ms and self.ttft_s(batch) * 1e3 <= slo.ttft_ms

    @cached_property
    def _one_prefill_s(self) -> float:
        return self.prefill_s(1)

    def prefill_s(self, batch: int) -> float:
        """One static pass over `batch` prompts: compute-bound, plus two all-reduces a layer."""
        profile, workload = self.engine.profile, self.engine.workload
        tokens = batch * workload.prompt_tokens
        body = profile.matmul_flops_per_token - profile.head_flops_per_token
        attention = profile.causal_attention_flops_per_token(workload.prompt_tokens)
        body += profile.expert_flops_per_token * (1 / EXPERT_GEMM_EFFICIENCY - 1)
        flops = tokens * body + batch * profile.head_flops_per_token
        compute = flops / self._flops(self.arithmetic) + tokens * attention / self._flops("bf16")
        read = self._weights_read_s(tokens)
        return max(compute, read) + self._collectives_s(tokens) + self._overhead_s

    def decode_parts_s(self, batch: int) -> dict[str, float]:
        """Parts of one decode step of a static batch, half of the output already written."""
        profile, workload = self.engine.profile, self.engine.workload
        context = workload.prompt_tokens + workload.output_tokens / 2
        flops = batch * profile.matmul_flops_per_token
        attention = batch * profile.attention_flops_per_token(context)
        compute = flops / self._flops(self.arithmetic) + attention / self._flops("bf16")
        kv_share = context / (workload.prompt_tokens + workload.output_tokens)
        kv_read = self.layout.pipeline * batch * self.kv_bytes_per_sequence * kv_share / self._bandwidth
        memory = self._weights_read_s(batch) + kv_read
        return {
            "weights_and_kv_reads": memory,
            "compute_beyond_reads": max(0.0, compute - memory),
            "collectives": self._collectives_s(batch),
            "overhead": self._overhead_s,
        }

    def decode_step_s(self, batch: int) -> float:
        """One decode step of a static batch."""
        return sum(self.decode_parts_s(batch).values())

    def tpot_s(self, batch: int) -> float:
        """Time per output token under continuous batching: a step, plus the prefills of the requests that start.

        In the steady state batch / output_tokens requests finish at each step and as many start. A pipeline works on
        as many groups of the batch as it has stages.
        """
        group = max(1, ceil(batch / self.layout.pipeline))
        starts_per_step = batch / self.engine.workload.output_tokens
        return self.decode_step_s(group) + starts_per_step * self._one_prefill_s / self.layout.pipeline

    def requests_per_s(self, batch: int) -> float:
        """Requests a second that a replica sustains with `batch` in flight (Little's law)."""
        return batch / (self.engine.workload.output_tokens * self.tpot_s(batch))

    def ttft_s(self, batch: int) -> float:
        """Mean time to first token: own prefill, one running step, and the wait behind other prefills.

        The wait is that of an M/D/1 queue, rho/(2(1-rho)) service times (Pollaczek-Khinchine).
        """
        prefill = self._one_prefill_s
        load = min(0.999, self.requests_per_s(batch) * prefill / self.layout.pipeline)
        return prefill * (1 + load / (2 * (1 - load))) + self.decode_step_s(max(1, ceil(batch / self.layout.pipeline)))

    def batch_at(self, rate_per_s: float, largest: int) -> int:
        """The smallest batch that sustains a rate: where the fleet settles when it has room to spare."""
        return min(largest, _largest(lambda batch: self.requests_per_s(batch) < rate_per_s, largest) + 1)

    def performance(self, batch: int, largest: int) -> InferencePerformance:
        """What the whole fleet does with `batch` requests in flight on each replica."""
        replicas, workload = self.layout.data, self.engine.workload
        parts = self.decode_parts_s(batch)
        if self.engine.pin.batch is not None:
            # A pinned batch is a static one: a step serves it whole.
            tpot_s, ttft_s = self.decode_step_s(batch), self.prefill_s(batch)
            requests = batch / (ttft_s + workload.output_tokens * tpot_s)
        else:
            tpot_s, ttft_s, requests = self.tpot_s(batch), self.ttft_s(batch), self.requests_per_s(batch)
        tokens_per_s = replicas * requests * workload.output_tokens
        return InferencePerformance(
            engine=self.engine.name,
            ttft_ms=ttft_s * 1e3,
            tpot_ms=tpot_s * 1e3,
            prefill_ms=self.prefill_s(batch) * 1e3,
            decode_step_ms=sum(parts.values()) * 1e3,
            batch=batch,
            max_concurrency=replicas * largest,
            requests_per_s=replicas * requests,
            tokens_per_s=tokens_per_s,
            tokens_per_s_per_gpu=tokens_per_s / self.layout.gpus,
            breakdown_ms={name: seconds * 1e3 for name, seconds in parts.items()},
        )

    def _flops(self, precision: Precision) -> float:
        """FLOP/s that the GPUs of one tensor-parallel group reach; stages of a pipeline work one after the other."""
        peak = self.node.gpu.peak_tflops.get(precision) or self.node.gpu.peak_tflops["fp16"]
        return peak * 1e12 * (1 - self.engine.headroom.compute_fraction) * self.layout.tensor

    @cached_property
    def _bandwidth(self) -> float:
        return self.node.gpu.memory_bandwidth_gb_per_s * 1e9 * MEMORY_BANDWIDTH_EFFICIENCY

    @cached_property
    def _bytes_per_weight(self) -> float:
        return bytes_per_value(self.engine.weights)

    def _weights_read_s(self, tokens: int) -> float:
        """Weights that `tokens` tokens touch, read once: of the experts, those that at least one token chose."""
        profile = self.engine.profile
        experts_share = profile.mean_expert_share(tokens)
        architecture = profile.architecture
        dense = (
            architecture.total_parameters - architecture.routed_expert_parameters - architecture.embedding_parameters
        )
        if not architecture.head_parameters:
            dense += architecture.embedding_parameters
        touched = dense + architecture.routed_expert_parameters * experts_share
        return touched * self._bytes_per_weight / self.layout.tensor / self._bandwidth

    @cached_property
    def _links(self) -> tuple[Link, Link]:
        return links(self.node)

    def _collectives_s(self, tokens: int) -> float:
        """Two all-reduces a layer among the tensor-parallel ranks, and the hand-over between stages."""
        inside, between = self._links
        payload = 2.0 * tokens * self.engine.profile.architecture.hidden_size
        layout = self.layout
        total = 0.0
        if layout.tensor > 1:
            link = inside if layout.tensor <= self.node.gpus else between
            total += 2 * len(self.engine.profile.layers) * all_reduce_s(payload, layout.tensor, link)
        if layout.pipeline > 1:
            link = between if layout.gpus_per_replica > self.node.gpus else inside
            total += (layout.pipeline - 1) * (payload / layout.tensor / link.bytes_per_s + link.hop_latency_s)
        return total

    @property
    def _overhead_s(self) -> float:
        return LAYER_OVERHEAD_S * len(self.engine.profile.layers)


def arithmetic_precision(weights: Precision, gpu: Gpu) -> Precision | None:
    """The format the GPU multiplies in, None when it cannot. 4-bit weights are widened to 16 bits where need be."""
    if weights in gpu.peak_tflops:
        return weights
    if BITS_PER_VALUE[weights] == 4:
        return "bf16" if "bf16" in gpu.peak_tflops else "fp16"
    return None


def _largest(holds: Callable[[int], bool], highest: int) -> int:
    """The largest n in 0..highest for which `holds`, which is true up to some point and false after it."""
    low, high = 0, highest
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _split_name(layout: Layout) -> str:
    expert = f" EP{layout.expert}" if layout.expert > 1 else ""
    return f"TP{layout.tensor} PP{layout.pipeline}{expert}"
