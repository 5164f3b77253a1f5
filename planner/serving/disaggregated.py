"""Disaggregated fleets: one pool of replicas prefills, another one decodes.

The design is that of DistServe (arXiv 2401.09670) and Splitwise (arXiv 2311.18677). Both pools use the same layout, so
that each rank sends its part of a KV cache to one rank of the other pool.
"""

from dataclasses import dataclass
from functools import cached_property

from planner.engine.candidate import NearMiss
from planner.plan.performance import InferencePerformance, Queueing, ServingPool
from planner.serving.bisection import largest
from planner.serving.queueing import STATISTICS, RequestQueue
from planner.serving.replica import Replica
from planner.serving.slo import latency
from planner.sizing.communication import links
from planner.sizing.kv_cache import kv_cache_bytes
from planner.spec.serving_workload import SloPercentile

MAX_PREFILL_LOAD = 0.9
"""Highest load of a prefill replica; close to 1 the mean wait grows without bound. Estimate, 0.8 to 0.95."""
BISECTIONS = 40
"""Steps of the bisection over arrival rates. They leave a relative error of 1e-12."""
ROUNDING = 1e-9
"""Relative margin below the permitted wait, so that rounding cannot push a fleet over its SLO."""


@dataclass(frozen=True)
class DisaggregatedFleet:
    """Latency and sustained rate of the two pools at the SLO."""

    replica: Replica
    """One replica; those of both pools are alike."""

    @cached_property
    def transfer_s(self) -> float:
        """Time to move the KV cache of one prompt to the decode pool over the network cards of the replica's GPUs."""
        replica = self.replica
        cache = kv_cache_bytes(replica.profile.architecture, replica.workload.prompt_tokens, 1, replica.kv_cache)
        return cache / (links(replica.node)[1].bytes_per_s * replica.layout.gpus_per_replica)

    @cached_property
    def prefill_s(self) -> float:
        """Prefill time of one prompt while every other data-parallel attention group prefills a prompt as well."""
        return self.replica.prefill_step_s(self.replica.layout.attention_data)

    def prefills_per_s(self) -> float | NearMiss:
        """Return the highest prompts per second of a prefill replica at which TTFT holds (M/D/1), or the miss."""
        replica, slo_s = self.replica, self.replica.workload.slo.ttft_ms / 1e3
        left = slo_s - self.prefill_s - self.transfer_s
        if left < 0:
            needed_ms = (self.prefill_s + self.transfer_s) * 1e3
            return NearMiss(
                f"{replica.layout.serving_name}: prefill and KV cache transfer take {latency(needed_ms)},"
                f" the SLO is {latency(slo_s * 1e3)}",
                needed_ms / slo_s / 1e3,
                fits_memory=True,
            )
        percentile = replica.workload.slo.percentile
        if percentile != "mean":
            return self._rate_within(left, percentile)
        waits = left / self.prefill_s * (1 - ROUNDING)
        return min(MAX_PREFILL_LOAD, 2 * waits / (1 + 2 * waits)) * self.max_prefills_per_s

    def _rate_within(self, wait_s: float, percentile: SloPercentile) -> float:
        """Return the highest prompts per second at which the percentile of the wait stays within `wait_s`."""
        low, high = 0.0, MAX_PREFILL_LOAD * self.max_prefills_per_s
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            if self._prefill_queue(middle).wait_at(percentile) <= wait_s:
                low = middle
            else:
                high = middle
        return low

    def _prefill_queue(self, arrivals_per_s: float) -> RequestQueue:
        return RequestQueue(arrivals_per_s, 1 / self.max_prefills_per_s)

    def _queueing(self, arrivals_per_s: float) -> Queueing:
        """Return the queueing of one prefill replica; waits for a decode replica come after the first token."""
        queue, alone_s = self._prefill_queue(arrivals_per_s), self.prefill_s + self.transfer_s
        return Queueing(
            requests_per_s_per_replica=arrivals_per_s,
            prefill_load=queue.load,
            slots=None,
            slot_load=None,
            slot_wait_probability=None,
            ttft_ms={name: None if queue.load >= 1 else (alone_s + queue.wait_at(name)) * 1e3 for name in STATISTICS},
        )

    @cached_property
    def max_prefills_per_s(self) -> float:
        """Prompts per second at full load, where each attention group and each pipeline stage has a prompt."""
        layout = self.replica.layout
        return layout.attention_data * layout.pipeline / self.prefill_s

    def largest_batch(self) -> int | NearMiss:
        """Return the most sequences on a decode replica within memory and TPOT, or the miss."""
        replica = self.replica
        fits = replica.memory.max_batch
        slo_s = replica.workload.slo.tpot_ms / 1e3
        if fits < 1 or self.tpot_s(1) > slo_s:
            found = replica.largest_batch()
            if isinstance(found, NearMiss):
                return found
            return NearMiss(f"{replica.layout.serving_name} misses the TPOT", self.tpot_s(1) / slo_s, fits_memory=True)
        return largest(lambda batch: self.tpot_s(batch) <= slo_s, fits)

    def tpot_s(self, batch: int) -> float:
        """Return the time per output token of a decode replica, which no prefill interrupts."""
        return self.replica.decode_step_s(max(1.0, batch / self.replica.layout.pipeline)) / (
            self.replica.tokens_per_step
        )

    def requests_per_s(self, batch: int) -> float:
        """Return the requests per second that a decode replica sustains (Little's law)."""
        return batch / (self.replica.workload.output_tokens * self.tpot_s(batch))

    def performance(self, prefills: int, decodes: int, batch: int, most: int) -> InferencePerformance:
        """Predict the performance of the whole fleet.

        Args:
            prefills: Prefill replicas.
            decodes: Decode replicas.
            batch: Sequences in flight on each decode replica.
            most: Most sequences that a decode replica can hold.
        """
        replica, workload = self.replica, self.replica.workload
        rate = self.prefills_per_s()
        offered = decodes * self.requests_per_s(batch)
        sustained = min(offered, prefills * (0.0 if isinstance(rate, NearMiss) else rate))
        load = min(MAX_PREFILL_LOAD, sustained / prefills / self.max_prefills_per_s)
        parts = replica.decode_parts_s(batch)
        tokens_per_s = sustained * workload.output_tokens
        gpus = (prefills + decodes) * replica.layout.gpus_per_replica
        arrivals_per_s = sustained if workload.concurrency is not None else workload.offered_requests_per_s
        return InferencePerformance(
            engine=replica.engine,
            queueing=self._queueing(arrivals_per_s / prefills),
            cache=replica.memory.capacity,
            ttft_ms=(self.prefill_s * (1 + load / (2 * (1 - load))) + self.transfer_s) * 1e3,
            tpot_ms=self.tpot_s(batch) * 1e3,
            prefill_ms=replica.prefill_s(replica.layout.attention_data) * 1e3,
            decode_step_ms=sum(parts.values()) * 1e3,
            host_ms=replica.host_s(max(1.0, batch / replica.layout.pipeline)) * 1e3,
            batch=batch,
            max_concurrency=decodes * most,
            requests_per_s=sustained,
            tokens_per_s=tokens_per_s,
            tokens_per_s_per_gpu=tokens_per_s / gpus,
            breakdown_ms={name: seconds * 1e3 for name, seconds in parts.items()},
            pools=(
                ServingPool(role="prefill", replicas=prefills, batch=1),
                ServingPool(role="decode", replicas=decodes, batch=batch),
            ),
        )
