"""One copy of a model on its GPUs: what fits, how long steps take, and what continuous batching makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple, Protocol

from planner.engine.candidate import NearMiss
from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.plan import InferencePerformance
from planner.serving.forward import Pass
from planner.serving.queueing import FirstToken
from planner.sizing.kv_cache import kv_cache_bytes_per_gpu
from planner.sizing.overhead import CUDA_CONTEXT_BYTES, NCCL_BUFFER_BYTES, SERVING_WORKSPACE_BYTES
from planner.sizing.profile import ModelProfile
from planner.sizing.weights import weights_bytes_per_gpu
from planner.spec import Headroom, InferenceWorkload
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision

PREFILL_CHUNK_TOKENS = 8192
"""Tokens that a serving engine works on at once: vLLM's max_num_batched_tokens under chunked prefill, H100 and up."""
MAX_BATCH = 4096
FULL_LOAD = 0.999
"""A queue at full load never ends; its mean wait is taken here."""


class Timing(Protocol):
    """Predicts forward passes: the analytic engine, or one that looks up measured kernels."""

    def parts_s(self, work: Pass) -> dict[str, float]:
        """Seconds of one pass by kind of work; they sum to the whole."""
        ...


class _Running(NamedTuple):
    """Steps of a replica in the steady state, with a number of requests in flight."""

    prompts: float
    """Prompts, or chunks of one, that a step takes up beside them under chunked prefill."""
    decode_s: float
    """A step that decodes only."""
    mixed_s: float
    """A step that takes up prompts as well; without chunked prefill there is none."""


@dataclass(frozen=True)
class Replica:
    """One copy of the model on its GPUs, at some static or continuous batch."""

    profile: ModelProfile
    workload: InferenceWorkload
    headroom: Headroom
    weights: Precision
    kv_cache: Precision
    node: NodeTopology
    layout: Layout
    timing: Timing
    engine: str
    """Name of the engine that `timing` is, for the plan."""
    peak_flops: float
    """Dense peak of one GPU in the arithmetic of the weights."""

    @cached_property
    def weights_bytes(self) -> int:
        """Weights on the fullest GPU."""
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
        """KV cache on the fullest GPU of one full sequence in each group that attends apart."""
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
        """One layer's activations of a prefill chunk."""
        layers = self.profile.layers
        layer = max(x.replicated_activation_bytes + x.sharded_activation_bytes / self.layout.tensor for x in layers)
        return int(PREFILL_CHUNK_TOKENS * layer)

    @cached_property
    def capacity_bytes(self) -> int:
        """Memory of one GPU that may be used."""
        return int(self.node.gpu_memory_bytes * self.headroom.memory_fraction)

    @cached_property
    def overhead_bytes(self) -> int:
        """Runtime of the engine; the NCCL buffers only where GPUs work together."""
        nccl = NCCL_BUFFER_BYTES if self.layout.gpus_per_replica > 1 else 0
        return CUDA_CONTEXT_BYTES + SERVING_WORKSPACE_BYTES + nccl

    def memory(self, batch: int) -> MemoryPerGpu:
        """Memory of the fullest GPU with `batch` full sequences in the KV cache."""
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

    def batch_that_fits(self) -> int:
        """Full sequences that fit beside the weights."""
        free = self.capacity_bytes - self.weights_bytes - self.activations_bytes - self.overhead_bytes
        groups = self.layout.attention_data
        return min(MAX_BATCH, max(0, free // max(self.kv_bytes_per_group, 1)) * groups)

    def largest_batch(self) -> int | NearMiss:
        """The largest continuous batch within memory and SLO, or the miss that says what is short."""
        return self._largest_batch

    @cached_property
    def _largest_batch(self) -> int | NearMiss:
        fits = self.batch_that_fits()
        if fits < 1:
            needed = self.memory(1)
            return NearMiss(
                f"{self.layout.serving_name} needs {needed.total_bytes / 2**30:.1f} GiB a GPU for one sequence,"
                f" {self.capacity_bytes / 2**30:.1f} GiB may be used",
                needed.total_bytes / self.capacity_bytes,
            )
        if not self.meets_slo(1):
            return self._slo_miss()
        return largest(self.meets_slo, fits)

    def meets_slo(self, batch: int) -> bool:
        """Whether TTFT and mean TPOT hold with `batch` requests in flight.

        A percentile under a rate of arrivals is kept by the number of replicas, one under a number of users here.
        """
        slo = self.workload.slo
        if self.tpot_s(batch) * 1e3 > slo.tpot_ms:
            return False
        if slo.percentile == "mean" or self.workload.concurrency is None:
            return self.ttft_s(batch) * 1e3 <= slo.ttft_ms
        return self.first_token(self.requests_per_s(batch), None, batch).at(slo.percentile) * 1e3 <= slo.ttft_ms

    def _slo_miss(self) -> NearMiss:
        slo, ttft, tpot = self.workload.slo, self.ttft_s(1) * 1e3, self.tpot_s(1) * 1e3
        worst = max((ttft / slo.ttft_ms, "TTFT", ttft, slo.ttft_ms), (tpot / slo.tpot_ms, "TPOT", tpot, slo.tpot_ms))
        return NearMiss(
            f"{self.layout.serving_name}: {worst[1]} is {worst[2]:.3g} ms with one request in flight,"
            f" the SLO is {worst[3]:g} ms",
            worst[0],
            fits_memory=True,
        )

    def prefill_s(self, batch: float) -> float:
        """One static pass over `batch` prompts."""
        return sum(self.timing.parts_s(self._prompts(batch)).values())

    def decode_parts_s(self, batch: float) -> dict[str, float]:
        """Parts of one decode step of a static batch, half of the output already written."""
        parts = self.timing.parts_s(self._decodes(batch))
        speculation = self.workload.speculation
        if speculation is not None:
            # Drafting is a pass of its own for each drafted token, of a known share of the whole one.
            step = sum(self.timing.parts_s(self._decodes(batch, 1)).values())
            layers = self.profile.architecture.layer_count
            share = 1 / layers if speculation.draft_cost is None else speculation.draft_cost
            parts["drafting"] = speculation.draft_tokens * share * step
        return parts

    def decode_step_s(self, batch: float) -> float:
        """One decode step of a static batch."""
        return sum(self.decode_parts_s(batch).values())

    @cached_property
    def tokens_per_step(self) -> float:
        """Tokens a sequence gains in a step: 1, or with drafts (1-a^(d+1))/(1-a) (arXiv 2211.17192, equation 1)."""
        speculation = self.workload.speculation
        return 1.0 if speculation is None else speculation.tokens_per_step

    def tpot_s(self, batch: int) -> float:
        """Mean time per output token with `batch` requests in flight."""
        step_s = self._mean_step_s(batch) if self.workload.dynamic_batching else self._running(batch).decode_s
        return step_s / self.tokens_per_step

    def _mean_step_s(self, batch: int) -> float:
        """Mean step under continuous batching.

        In the steady state batch / output steps requests finish at each step and as many start. With chunked prefill
        their prompts ride along with the decoding sequences, a chunk a step (Sarathi-Serve, arXiv 2403.02310, section
        4.2); without it they hold up all others. A pipeline works on as many groups of the batch as it has stages.
        """
        running = self._running(batch)
        starts = batch / self._output_steps / self.layout.pipeline
        if not self.workload.chunked_prefill:
            return running.decode_s + starts * self._one_prefill_s
        mixed_share = starts * self._chunks / running.prompts
        return max(0.0, 1 - mixed_share) * running.decode_s + mixed_share * running.mixed_s

    def _running(self, batch: int) -> _Running:
        # The searches for a batch come back to the same ones.
        if batch not in self._known:
            self._known[batch] = self._timed(batch)
        return self._known[batch]

    @cached_property
    def _known(self) -> dict[int, _Running]:
        return {}

    def _timed(self, batch: int) -> _Running:
        group = max(1.0, batch / self.layout.pipeline)
        decode_s = self.decode_step_s(group)
        if not self.workload.chunked_prefill:
            return _Running(1.0, decode_s, decode_s)
        prompts = self._prompts_together(batch)
        return _Running(prompts, decode_s, self._mixed_step_s(group, prompts))

    def _prompts_together(self, batch: int) -> float:
        """Prompts, or chunks of one, that a step takes up: those that start, as far as the budget of tokens goes."""
        fit = self.layout.attention_data * PREFILL_CHUNK_TOKENS / self.workload.new_prompt_tokens
        starts = batch / self._output_steps / self.layout.pipeline
        return max(1.0, min(starts, fit))

    def requests_per_s(self, batch: int) -> float:
        """Requests a second that a replica sustains with `batch` in flight (Little's law)."""
        if not self.workload.dynamic_batching:
            return min(batch / self._static_run_s(batch), self._requests_per_s_at_headroom)
        decoding = self._output_steps * self.tpot_s(batch) * self.tokens_per_step
        return min(batch / decoding, self._requests_per_s_at_headroom)

    def _static_run_s(self, batch: int) -> float:
        """From the prefill of a static batch to its longest output.

        The longest of n outputs is 1 + 1/2 + ... + 1/n times the mean when lengths are memoryless (exponential order
        statistics); Orca (OSDI 2022, section 3.1) measures what this waste costs.
        """
        longest = sum(1 / n for n in range(1, batch + 1))
        return self.prefill_s(batch) + longest * self._output_steps * self._running(batch).decode_s

    @cached_property
    def _requests_per_s_at_headroom(self) -> float:
        """Where model FLOPs reach the share of the peak that may be used."""
        profile, workload = self.profile, self.workload
        tokens = workload.new_prompt_tokens + workload.output_tokens
        flops = tokens * (profile.matmul_flops_per_token - profile.head_flops_per_token)
        flops += workload.output_tokens * profile.head_flops_per_token
        peak = self.peak_flops * self.layout.gpus_per_replica
        return peak * (1 - self.headroom.compute_fraction) / flops

    def ttft_s(self, batch: int) -> float:
        """Mean time to first token: the prefill, one running step, and the wait behind other prefills.

        The wait is that of an M/D/1 queue, rho/(2(1-rho)) service times (Pollaczek-Khinchine). With static batches a
        request waits for half of the batch that is running.
        """
        if not self.workload.dynamic_batching:
            return self.prefill_s(batch) + self._static_run_s(batch) / 2
        service, running = self.prefill_service_s(batch), self._running(batch)
        load = min(FULL_LOAD, self.requests_per_s(batch) * service / running.prompts / self.layout.pipeline)
        return service * (1 + load / (2 * (1 - load))) + running.decode_s

    def prefill_service_s(self, batch: int) -> float:
        """Time that one request's prompt takes while `batch` requests are in flight."""
        if not self.workload.chunked_prefill:
            return self._one_prefill_s
        return self._chunks * self._running(batch).mixed_s

    def first_token(self, rate_per_s: float, slots: int | None, batch: int | None = None) -> FirstToken:
        """TTFT and its queues at an arrival rate, with `batch` in flight (what sustains the rate when None)."""
        in_flight = batch or self.batch_at(rate_per_s, slots or MAX_BATCH)
        running, workload = self._running(in_flight), self.workload
        prefill_s, budget = self._one_prefill_s, float(workload.new_prompt_tokens)
        if workload.chunked_prefill:
            # What a prompt adds to the decode steps that carry its chunks, beside the prompts it shares them with
            prefill_s = max(0.0, running.mixed_s - running.decode_s) * self._chunks / running.prompts
            budget = PREFILL_CHUNK_TOKENS * self.layout.attention_data
        return FirstToken(
            arrivals_per_s=rate_per_s,
            prefill_s=prefill_s,
            decode_step_s=running.decode_s,
            prompt_tokens=workload.new_prompt_tokens,
            chunk_tokens=budget,
            stages=self.layout.pipeline,
            slots=slots,
            request_s=in_flight / self.requests_per_s(in_flight),
        )

    def batch_at(self, rate_per_s: float, largest_batch: int) -> int:
        """The smallest batch that sustains a rate: where the fleet settles when it has room to spare."""
        below = largest(lambda batch: self.requests_per_s(batch) < rate_per_s, largest_batch)
        return min(largest_batch, below + 1)

    def performance(self, batch: int, largest_batch: int, replicas: int, *, static: bool) -> InferencePerformance:
        """What a fleet of replicas does with `batch` requests in flight on each.

        Static: a step serves the whole batch, which is prefilled in one pass and decoded to its end.
        """
        workload = self.workload
        parts = self.decode_parts_s(batch)
        step_s, prefill_s = sum(parts.values()), self.prefill_s(batch)
        if static:
            tpot_s, ttft_s = step_s / self.tokens_per_step, prefill_s
            requests = batch / (ttft_s + workload.output_tokens * tpot_s)
        else:
            tpot_s, ttft_s, requests = self.tpot_s(batch), self.ttft_s(batch), self.requests_per_s(batch)
        tokens_per_s = replicas * requests * workload.output_tokens
        queueing = None
        if not static and workload.dynamic_batching:
            users = workload.concurrency is not None
            arrivals_per_s = requests if users else (workload.request_rate_per_s or 1.0) / replicas
            queueing = self.first_token(arrivals_per_s, None if users else largest_batch, batch).summary()
        return InferencePerformance(
            engine=self.engine,
            ttft_ms=ttft_s * 1e3,
            tpot_ms=tpot_s * 1e3,
            prefill_ms=prefill_s * 1e3,
            decode_step_ms=step_s * 1e3,
            batch=batch,
            max_concurrency=replicas * largest_batch,
            requests_per_s=replicas * requests,
            tokens_per_s=tokens_per_s,
            tokens_per_s_per_gpu=tokens_per_s / (replicas * self.layout.gpus_per_replica),
            breakdown_ms={name: seconds * 1e3 for name, seconds in parts.items()},
            queueing=queueing,
        )

    @cached_property
    def _output_steps(self) -> float:
        return self.workload.output_tokens / self.tokens_per_step

    @cached_property
    def _chunks(self) -> float:
        """Steps that one prompt takes under chunked prefill."""
        return max(1, ceil(self.workload.new_prompt_tokens / PREFILL_CHUNK_TOKENS))

    @cached_property
    def _one_prefill_s(self) -> float:
        return self.prefill_s(1)

    def _mixed_step_s(self, decodes: float, prompts: float) -> float:
        """A step with a chunk of each of some prompts beside `decodes` decoding sequences."""
        return sum(self.timing.parts_s(self._mixed(decodes, prompts)).values())

    def _prompts(self, batch: float) -> Pass:
        workload = self.workload
        return Pass(
            prompts=batch, prompt_tokens=workload.new_prompt_tokens, cached_tokens=workload.cached_prompt_tokens
        )

    def _decodes(self, batch: float, tokens: float | None = None) -> Pass:
        workload = self.workload
        if tokens is None:
            tokens = 1 if workload.speculation is None else 1 + workload.speculation.draft_tokens
        context = workload.prompt_tokens + workload.output_tokens / 2
        return Pass(decodes=batch, context_tokens=context, tokens_per_decode=tokens)

    def _mixed(self, decodes: float, prompts: float) -> Pass:
        workload, alone = self.workload, self._decodes(decodes)
        chunk = workload.new_prompt_tokens / self._chunks
        # A chunk in the middle of the prompt: half of the other chunks are in the cache.
        before = workload.cached_prompt_tokens + (workload.new_prompt_tokens - chunk) / 2
        return Pass(
            prompts=prompts,
            prompt_tokens=chunk,
            cached_tokens=before,
            decodes=decodes,
            context_tokens=alone.context_tokens,
            tokens_per_decode=alone.tokens_per_decode,
        )


def largest(holds: Callable[[int], bool], highest: int) -> int:
    """The largest n in 0..highest for which `holds`, which is true up to some point and false after it."""
    if highest > 0 and holds(highest):
        return highest
    low, high = 0, highest
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
