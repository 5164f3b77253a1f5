"""One serving replica: its step times, and its latency and throughput under continuous batching."""

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import NamedTuple, Protocol

from planner.engine.candidate import NearMiss
from planner.plan.layout import Layout
from planner.plan.performance import InferencePerformance
from planner.serving.bisection import largest
from planner.serving.forward import Pass
from planner.serving.host_time import SERVING_HOST, HostTime
from planner.serving.queueing import TtftModel
from planner.serving.replica_memory import MAX_BATCH, PREFILL_CHUNK_TOKENS, ReplicaMemory, ServedBy
from planner.serving.slo import latency
from planner.sizing.engine_settings import GIB
from planner.sizing.profile import ModelProfile
from planner.spec import Headroom, InferenceWorkload
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision

FULL_LOAD = 0.999
"""Load at which the mean wait of a saturated queue is computed, because it is infinite at a load of 1."""


class Timing(Protocol):
    """Predicts the time of forward passes, analytically or from measured kernels."""

    def parts_s(self, work: Pass) -> dict[str, float]:
        """Return the seconds of one pass by kind of work; they sum to the time of the pass."""
        ...


class _Running(NamedTuple):
    """Step times of a replica in the steady state, at a number of requests in flight."""

    decoding: float
    """Sequences that decode on one pipeline stage. The other requests in flight wait for their prefill, because the
    token budget of the steps is used up."""
    prompts: float
    """Prompts, or chunks of prompts, of a step with prompts under chunked prefill."""
    mixed_share: float
    """Share of the steps that carry prompts; 1 where the token budget is used up."""
    decode_s: float
    """Time of a step that decodes only."""
    mixed_s: float
    """Time of a step with prompts; equal to `decode_s` without chunked prefill."""


@dataclass(frozen=True)
class Replica:
    """One copy of the model on its GPUs."""

    profile: ModelProfile
    workload: InferenceWorkload
    headroom: Headroom
    weights: Precision
    kv_cache: Precision
    node: NodeTopology
    layout: Layout
    timing: Timing
    engine: str
    """Name of the engine behind `timing`, as the plan shows it."""
    peak_flops: float
    """Dense peak of one GPU in the arithmetic of the weights."""
    host: HostTime = SERVING_HOST
    """Time that the serving engine's host adds to each step."""
    served_by: ServedBy = field(default=ServedBy())
    """Serving engine of the spec."""

    @cached_property
    def memory(self) -> ReplicaMemory:
        """Memory of the replica's GPUs."""
        return ReplicaMemory(
            self.profile,
            self.workload,
            self.headroom,
            self.weights,
            self.kv_cache,
            self.node,
            self.layout,
            self.served_by,
        )

    def largest_batch(self) -> int | NearMiss:
        """Return the largest continuous batch within memory and SLO, or the miss that names the limit."""
        return self._largest_batch

    @cached_property
    def _largest_batch(self) -> int | NearMiss:
        fits = self.memory.max_batch
        if fits < 1:
            return self._memory_miss()
        if not self.meets_slo(1):
            return self._slo_miss()
        return largest(self.meets_slo, fits)

    def _memory_miss(self) -> NearMiss:
        memory = self.memory
        needed, longest = memory.per_gpu(1), memory.workload.longest_context_tokens
        cache = memory.ledger.cache.request_bytes(longest)
        total = needed.total_bytes - needed.kv_cache_bytes + cache
        total += int(memory.settings.memory.margin_gib * GIB)
        fits = memory.longest_request_tokens if memory.longest_request_tokens < longest else 0
        shorter = f"; the longest request that fits has {fits:,} tokens" if fits else ""
        return NearMiss(
            f"{self.layout.serving_name} needs {total / GIB:.1f} GiB a GPU for one sequence of {longest:,} tokens,"
            f" {needed.capacity_bytes / GIB:.1f} GiB may be used{shorter}",
            max(total / needed.capacity_bytes, 1.0),
        )

    def meets_slo(self, batch: int) -> bool:
        """Return whether TTFT and mean TPOT hold with `batch` requests in flight.

        A percentile of TTFT is checked here only for a fixed number of users. For an arrival rate, the number of
        replicas is chosen so that the percentile holds.
        """
        slo = self.workload.slo
        if self.tpot_s(batch) * 1e3 > slo.tpot_ms:
            return False
        if slo.percentile == "mean" or self.workload.concurrency is None:
            return self.ttft_s(batch) * 1e3 <= slo.ttft_ms
        return self.ttft_model(self.requests_per_s(batch), None, batch).at(slo.percentile) * 1e3 <= slo.ttft_ms

    def _slo_miss(self) -> NearMiss:
        slo, ttft, tpot = self.workload.slo, self.ttft_s(1) * 1e3, self.tpot_s(1) * 1e3
        ratio, needed_ms, unit, slo_ms = max(
            (ttft / slo.ttft_ms, ttft, "to its first token", slo.ttft_ms),
            (tpot / slo.tpot_ms, tpot, "per output token", slo.tpot_ms),
        )
        return NearMiss(
            f"{self.layout.serving_name}: a single request already takes {latency(needed_ms)} {unit},"
            f" the SLO is {latency(slo_ms)}",
            ratio,
            fits_memory=True,
        )

    def prefill_s(self, batch: float) -> float:
        """Return the time of the kernels of one pass over `batch` prompts."""
        return sum(self.timing.parts_s(self._prompts(batch)).values())

    def prefill_step_s(self, batch: float) -> float:
        """Return the time of one pass over `batch` prompts with the host's part."""
        return self._step_s(self._prompts(batch))

    def decode_parts_s(self, batch: float) -> dict[str, float]:
        """Return the parts of one decode step of a static batch, with half of the output already decoded."""
        return self._parts_s(self._decodes(batch))

    def _parts_s(self, work: Pass) -> dict[str, float]:
        """Return the time of one pass by kind of work, with the drafts of its decoding sequences."""
        parts, speculation = self.timing.parts_s(work), self.workload.speculation
        if speculation is not None and work.decodes:
            # Each drafted token takes a pass of the draft model, which costs a known share of a full pass.
            step = sum(self.timing.parts_s(self._decodes(work.decodes, 1)).values())
            layers = self.profile.architecture.layer_count
            share = 1 / layers if speculation.draft_cost is None else speculation.draft_cost
            parts["drafting"] = speculation.draft_tokens * share * step
        return parts

    def decode_step_s(self, batch: float) -> float:
        """Return the time of one decode step of a static batch with the host's part."""
        return self._step_s(self._decodes(batch))

    def host_s(self, batch: float) -> float:
        """Return the time that the host adds to a decode step of `batch` sequences."""
        return self.host.seconds(self._decodes(batch), self.layout.attention_data)

    @cached_property
    def tokens_per_step(self) -> float:
        """Tokens that a step adds to a sequence: 1, or with drafts (1-a^(d+1))/(1-a) (arXiv 2211.17192, equation 1)."""
        speculation = self.workload.speculation
        return 1.0 if speculation is None else speculation.tokens_per_step

    def tpot_s(self, batch: int) -> float:
        """Return the mean time per output token with `batch` requests in flight.

        After a single output token no token follows that a prefill could delay.
        """
        delayed = self.workload.dynamic_batching and self.workload.output_tokens > 1
        step_s = self._mean_step_s(batch) if delayed else self._running(batch).decode_s
        return step_s / self.tokens_per_step

    def _mean_step_s(self, batch: int) -> float:
        """Return the mean step time under continuous batching.

        In the steady state batch / (output steps) requests finish at each step and as many start. With chunked prefill
        a step carries a chunk of their prompts beside the decoding sequences (Sarathi-Serve, arXiv 2403.02310, section
        4.2). Without it a prefill stops the decoding of all others. A pipeline divides the batch into as many groups as
        it has stages.
        """
        running = self._running(batch)
        if not self.workload.chunked_prefill:
            starts = running.decoding / self._output_steps
            return running.decode_s + starts * self._one_prefill_s
        return (1 - running.mixed_share) * running.decode_s + running.mixed_share * running.mixed_s

    def _running(self, batch: int) -> _Running:
        # Several searches over the batch ask for the same batches.
        if batch not in self._known:
            self._known[batch] = self._timed(batch)
        return self._known[batch]

    @cached_property
    def _known(self) -> dict[int, _Running]:
        return {}

    def _timed(self, batch: int) -> _Running:
        """Return the steady state with `batch` requests in flight.

        Each request passes the token budget with its prompt and its output. Where that takes more than the budget of
        every step, only as many sequences decode as the prefills keep up with; the others wait, which lengthens TTFT
        and not the steps.
        """
        group, steps = max(1.0, batch / self.layout.pipeline), self._output_steps
        if not self.workload.chunked_prefill:
            decode_s = self._step_s(self._decodes(group))
            return _Running(group, 1.0, 0.0, decode_s, decode_s)
        budget = float(self.layout.attention_data * PREFILL_CHUNK_TOKENS)
        chunk = self.workload.new_prompt_tokens / self._chunks
        most = max(1.0, budget / (chunk + steps / self._chunks))
        decoding = min(group, most * steps / self._chunks)
        wanted = decoding / steps * self._chunks
        # A fixed number of users with equal requests finish together, so all data-parallel groups prefill together.
        together = 1.0 if self.workload.concurrency is None else float(self.layout.attention_data)
        prompts = max(together, min(wanted, most))
        return _Running(
            decoding,
            prompts,
            min(1.0, wanted / prompts),
            self._step_s(self._decodes(decoding)),
            self._step_s(self._mixed(decoding, prompts)),
        )

    def _step_s(self, work: Pass) -> float:
        """Return the time of one step of a running engine: its kernels, drafts, and what the host adds to them."""
        return sum(self._parts_s(work).values()) + self.host.seconds(work, self.layout.attention_data)

    def requests_per_s(self, batch: int) -> float:
        """Return the requests per second that a replica sustains with `batch` in flight (Little's law)."""
        if not self.workload.dynamic_batching:
            return min(batch / self._static_run_s(batch), self._requests_per_s_at_headroom)
        sequences = self._decoding(batch)
        seconds = self._output_steps * (self._mean_step_s(batch) / self.tokens_per_step) * self.tokens_per_step
        return min(sequences / seconds, self._requests_per_s_at_headroom)

    def _decoding(self, batch: int) -> float:
        """Return how many of the requests in flight decode, on all pipeline stages together."""
        return min(float(batch), self._running(batch).decoding * self.layout.pipeline)

    def _static_run_s(self, batch: int) -> float:
        """Return the time of a static batch, from its prefill to the end of its longest output.

        The longest of n outputs is 1 + 1/2 + ... + 1/n times the mean when lengths are exponentially distributed. Orca
        (OSDI 2022, section 3.1) measures what waiting for the longest output costs.
        """
        longest = sum(1 / n for n in range(1, batch + 1))
        return self.prefill_step_s(batch) + longest * self._output_steps * self._running(batch).decode_s

    @cached_property
    def _requests_per_s_at_headroom(self) -> float:
        """Requests per second at which model FLOPs reach the usable share of the peak."""
        profile, workload = self.profile, self.workload
        tokens = workload.new_prompt_tokens + workload.output_tokens
        flops = tokens * (profile.matmul_flops_per_token - profile.head_flops_per_token)
        flops += workload.output_tokens * profile.head_flops_per_token
        peak = self.peak_flops * self.layout.gpus_per_replica
        return peak * (1 - self.headroom.compute_fraction) / flops

    def ttft_s(self, batch: int) -> float:
        """Return the mean time to first token: the wait for other prefills, the prefill, and one running step.

        The wait is that of an M/D/1 queue, rho/(2(1-rho)) service times (Pollaczek-Khinchine), and never longer than
        the prefills of all other requests in flight. Where requests wait because others use up the token budget,
        Little's law gives the time that they wait. A fixed number of users queues no more requests than there are
        users. With static batches a request waits for half of the running batch on average.
        """
        if not self.workload.dynamic_batching:
            return self.prefill_step_s(batch) + self._static_run_s(batch) / 2
        service, running, rate_per_s = self.prefill_service_s(batch), self._running(batch), self.requests_per_s(batch)
        load = min(FULL_LOAD, rate_per_s * service / running.prompts / self.layout.pipeline)
        ahead = max(1.0, (batch - 1) / running.prompts / self.layout.pipeline)
        queue_s = service * min(load / (2 * (1 - load)), ahead)
        saturated_s = (batch - self._decoding(batch)) / rate_per_s
        if self.workload.concurrency is None:
            wait_s = queue_s + saturated_s
        else:
            wait_s = max(min(queue_s, batch / (2 * running.prompts) * service), saturated_s)
        return wait_s + service + (1 - 1 / batch) * running.decode_s

    def prefill_service_s(self, batch: int) -> float:
        """Return the prefill time of one prompt while `batch` requests are in flight."""
        if not self.workload.chunked_prefill:
            return self._one_prefill_s
        return self._chunks * self._running(batch).mixed_s

    def ttft_model(self, rate_per_s: float, slots: int | None, batch: int | None = None) -> TtftModel:
        """Return the TTFT model of the replica at an arrival rate.

        Args:
            rate_per_s: Requests per second that arrive at the replica.
            slots: Requests that the batch holds; None: every arrival has a slot.
            batch: Requests in flight; None: the smallest batch that sustains the rate.
        """
        in_flight = batch or self.batch_at(rate_per_s, slots or MAX_BATCH)
        running, workload = self._running(in_flight), self.workload
        prefill_s, budget = self._one_prefill_s, float(workload.new_prompt_tokens)
        if workload.chunked_prefill:
            # The time that one prompt adds to the decode steps that carry its chunks
            prefill_s = max(0.0, running.mixed_s - running.decode_s) * self._chunks / running.prompts
            budget = PREFILL_CHUNK_TOKENS * self.layout.attention_data
        return TtftModel(
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
        """Return the smallest batch that sustains a rate, which is where a fleet with spare capacity settles."""
        below = largest(lambda batch: self.requests_per_s(batch) < rate_per_s, largest_batch)
        return min(largest_batch, below + 1)

    def performance(self, batch: int, largest_batch: int, replicas: int, *, static: bool) -> InferencePerformance:
        """Predict the performance of a fleet of replicas.

        Args:
            batch: Requests in flight on each replica.
            largest_batch: Most requests in flight on a replica within memory and SLO.
            replicas: Replicas of the fleet.
            static: Whether the batch is prefilled in one pass and decoded to its end, instead of continuously filled.
        """
        workload = self.workload
        parts = self.decode_parts_s(batch)
        step_s, prefill_s = sum(parts.values()), self.prefill_s(batch)
        if static:
            tpot_s, ttft_s = self.decode_step_s(batch) / self.tokens_per_step, prefill_s
            requests = batch / (ttft_s + workload.output_tokens * tpot_s)
        else:
            tpot_s, ttft_s, requests = self.tpot_s(batch), self.ttft_s(batch), self.requests_per_s(batch)
        tokens_per_s = replicas * requests * workload.output_tokens
        queueing = None
        if not static and workload.dynamic_batching:
            users = workload.concurrency is not None
            arrivals_per_s = requests if users else workload.offered_requests_per_s / replicas
            queueing = self.ttft_model(arrivals_per_s, None if users else largest_batch, batch).summary()
        return InferencePerformance(
            engine=self.engine,
            ttft_ms=ttft_s * 1e3,
            tpot_ms=tpot_s * 1e3,
            prefill_ms=prefill_s * 1e3,
            decode_step_ms=step_s * 1e3,
            host_ms=self.host_s(batch) * 1e3,
            batch=batch,
            max_concurrency=replicas * largest_batch,
            requests_per_s=replicas * requests,
            tokens_per_s=tokens_per_s,
            tokens_per_s_per_gpu=tokens_per_s / (replicas * self.layout.gpus_per_replica),
            breakdown_ms={name: seconds * 1e3 for name, seconds in parts.items()},
            cache=self.memory.capacity,
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
        return self.prefill_step_s(1)

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
        # The mean chunk lies in the middle of the prompt: half of the other chunks are in the KV cache.
        before = workload.cached_prompt_tokens + (workload.new_prompt_tokens - chunk) / 2
        return Pass(
            prompts=prompts,
            prompt_tokens=chunk,
            cached_tokens=before,
            decodes=decodes,
            context_tokens=alone.context_tokens,
            tokens_per_decode=alone.tokens_per_decode,
        )
