"""Fleets that prefill and decode on replicas of their own (DistServe, arXiv 2401.09670; Splitwise, arXiv 2311.18677).

Both pools split the model the same way, so that a cache moves rank to rank.
"""

from dataclasses import dataclass
from functools import cached_property

from planner.engine.candidate import NearMiss
from planner.plan.plan import InferencePerformance, Queueing, ServingPool
from planner.serving.queueing import STATISTICS, Queue
from planner.serving.replica import Replica, largest
from planner.sizing.communication import links
from planner.sizing.kv_cache import kv_cache_bytes
from planner.spec.workload import SloPercentile

BUSIEST = 0.9
"""Load that a prefill replica takes at most: beyond it the mean wait grows without bound. Estimate, 0.8 to 0.95."""
BISECTIONS = 40
ROUNDING = 1e-9
"""Kept between the wait that is left and the one that is used, so that a fleet at its limit holds the SLO."""


@dataclass(frozen=True)
class DisaggregatedFleet:
    """One replica of each pool, and what they sustain at the SLO."""

    replica: Replica

    @cached_property
    def transfer_s(self) -> float:
        """Time to move the cache of one prompt to the decode pool, over the network cards of its GPUs."""
        replica = self.replica
        cache = kv_cache_bytes(replica.profile.architecture, replica.workload.prompt_tokens, 1, replica.kv_cache)
        return cache / (links(replica.node)[1].bytes_per_s * replica.layout.gpus_per_replica)

    @cached_property
    def prefill_s(self) -> float:
        """Time of one prompt, while the other groups of data-parallel attention work on prompts of their own."""
        return self.replica.prefill_s(self.replica.layout.attention_data)

    def prefills_per_s(self) -> float | NearMiss:
        """Prompts a second at which TTFT holds: M/D/1, as with an aggregated fleet."""
        replica, slo_s = self.replica, self.replica.workload.slo.ttft_ms / 1e3
        left = slo_s - self.prefill_s - self.transfer_s
        if left < 0:
            needed_ms = (self.prefill_s + self.transfer_s) * 1e3
            return NearMiss(
                f"{replica.layout.serving_name}: prefill and the move of the cache take {needed_ms:.3g} ms,"
                f" the SLO is {slo_s * 1e3:g} ms",
                needed_ms / slo_s / 1e3,
                fits_memory=True,
            )
        percentile = replica.workload.slo.percentile
        if percentile != "mean":
            return self._rate_within(left, percentile)
        waits = left / self.prefill_s * (1 - ROUNDING)
        return min(BUSIEST, 2 * waits / (1 + 2 * waits)) * self.prefills_per_s_at_most

    def _rate_within(self, wait_s: float, percentile: SloPercentile) -> float:
        """Prompts a second at which the percentile of the wait is no longer than that, found by bisection."""
        low, high = 0.0, BUSIEST * self.prefills_per_s_at_most
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            if self._prefill_queue(middle).wait_at(percentile) <= wait_s:
                low = middle
            else:
                high = middle
        return low

    def _prefill_queue(self, arrivals_per_s: float) -> Queue:
        return Queue(arrivals_per_s, 1 / self.prefills_per_s_at_most)

    def _queueing(self, arrivals_per_s: float) -> Queueing:
        """Of one prefill replica; a request waits for a decode replica after its first token only."""
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
    def prefills_per_s_at_most(self) -> float:
        """Prompts a second of a replica that never rests: every group and every stage of a pipeline has one."""
        layout = self.replica.layout
        return layout.attention_data * layout.pipeline / self.prefill_s

    def largest_batch(self) -> int | NearMiss:
        """Sequences that a decode replica holds within memory and TPOT."""
        replica = self.replica
        fits = replica.batch_that_fits()
        slo_s = replica.workload.slo.tpot_ms / 1e3
        if fits < 1 or self.tpot_s(1) > slo_s:
            found = replica.largest_batch()
            if isinstance(found, NearMiss):
                return found
            return NearMiss(f"{replica.layout.serving_name} misses the TPOT", self.tpot_s(1) / slo_s, fits_memory=True)
        return largest(lambda batch: self.tpot_s(batch) <= slo_s, fits)

    def tpot_s(self, batch: int) -> float:
        """Time per output token of a decode replica: no prompt holds it up."""
        return self.replica.decode_step_s(max(1.0, batch / self.replica.layout.pipeline)) / (
            self.replica.tokens_per_step
        )

    def requests_per_s(self, batch: int) -> float:
        """Requests a second that a decode replica sustains (Little's law)."""
        return batch / (self.replica.workload.output_tokens * self.tpot_s(batch))

    def performance(self, prefills: int, decodes: int, batch: int, most: int) -> InferencePerformance:
        """What the fleet does with `batch` sequences on each decode replica."""
        replica, workload = self.replica, self.replica.workload
        rate = self.prefills_per_s()
        offered = decodes * self.requests_per_s(batch)
        sustained = min(offered, prefills * (0.0 if isinstance(rate, NearMiss) else rate))
        load = min(BUSIEST, sustained / prefills / self.prefills_per_s_at_most)
        parts = replica.decode_parts_s(batch)
        tokens_per_s = sustained * workload.output_tokens
        gpus = (prefills + decodes) * replica.layout.gpus_per_replica
        arrivals_per_s = sustained if workload.concurrency is not None else workload.request_rate_per_s or 1.0
        return InferencePerformance(
            engine=replica.engine,
            queueing=self._queueing(arrivals_per_s / prefills),
            ttft_ms=(self.prefill_s * (1 + load / (2 * (1 - load))) + self.transfer_s) * 1e3,
            tpot_ms=self.tpot_s(batch) * 1e3,
            prefill_ms=self.prefill_s * 1e3,
            decode_step_ms=sum(parts.values()) * 1e3,
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
