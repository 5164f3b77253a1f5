"""Queueing before the first token: mean and percentiles of TTFT at an arrival rate.

A replica is modelled as two queues in series. A request first waits for a slot of the continuous batch: each slot is a
server that is busy for a whole request. It then waits for the prefills before and beside its own. Arrivals are Poisson.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, inf, log
from typing import Final

from planner.plan.performance import Queueing
from planner.spec.serving_workload import SloPercentile

QUANTILE: Final[dict[SloPercentile, float]] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
STATISTICS: Final[tuple[SloPercentile, ...]] = ("mean", "p50", "p95", "p99")
NOTHING_ABOVE: Final = 1e15
"""Inverse blocking probability from which on the probability is rounded to 0."""
RELATIVE_PRECISION: Final = 1e-15
"""Relative size of a term below which the series of `erlang_c` ends."""
POISSON_SCV: Final = 1.0
"""Squared coefficient of variation of the times between arrivals of a Poisson process."""
CONSTANT_SCV: Final = 0.0
"""Squared coefficient of variation of prefill times: the spec gives one prompt length."""
OUTPUT_SCV: Final = 1.0
"""Squared coefficient of variation of the time that a request holds its slot. The standard deviation of output lengths
is about their mean (exponential). Estimate, 0.3 to 2: in published traces of chat services it is the mean or more."""


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability that an arrival finds all servers of M/M/c busy; 1 when the servers cannot keep up.

    This is Erlang's second formula (Erlang 1917), C = B / (1 - ρ·(1 - B)). B is that of the first formula,
    1/B = Σ c!/(c - k)! / a^k. Its terms either decrease, or their sum soon makes B negligible.

    Args:
        servers: c, at least one.
        offered: a, the arrival rate times the mean service time, in Erlang.
    """
    if offered >= servers:
        return 1.0
    if offered <= 0:
        return 0.0
    term = inverse = 1.0
    for k in range(servers, 0, -1):
        term *= k / offered
        inverse += term
        if inverse > NOTHING_ABOVE:
            return 0.0
        if term < inverse * RELATIVE_PRECISION:
            break
    blocking = 1 / inverse
    return blocking / (1 - offered / servers * (1 - blocking))


@dataclass(frozen=True)
class RequestQueue:
    """A first-come, first-served queue with `servers` servers (G/G/c)."""

    arrivals_per_s: float
    service_s: float
    servers: int = 1
    arrival_scv: float = POISSON_SCV
    service_scv: float = CONSTANT_SCV

    @property
    def load(self) -> float:
        """ρ, the utilisation of the servers."""
        return self.arrivals_per_s * self.service_s / self.servers

    @cached_property
    def waits(self) -> float:
        """Probability that an arrival waits at all."""
        return erlang_c(self.servers, self.arrivals_per_s * self.service_s)

    @cached_property
    def mean_wait_s(self) -> float:
        """Mean wait of all arrivals in seconds; infinite where the load is 1 or more.

        This is the Allen-Cunneen approximation (Allen 1990, Probability, Statistics, and Queueing Theory, chapter 5):
        the wait of M/M/c times the mean of the two squared coefficients of variation. It is exact for one server and
        Poisson arrivals (Pollaczek-Khinchine).
        """
        if self.load >= 1:
            return inf
        variation = (self.arrival_scv + self.service_scv) / 2
        return self.waits * self.service_s / (self.servers * (1 - self.load)) * variation

    def wait_at(self, statistic: SloPercentile) -> float:
        """Return the mean or a percentile of the wait in seconds."""
        return self.mean_wait_s if statistic == "mean" else self.wait_s(QUANTILE[statistic])

    def wait_s(self, quantile: float) -> float:
        """Return the wait in seconds that a share `quantile` of arrivals does not exceed.

        P(W > t) = C·exp(-C·t / E[W]) is exact for M/M/c and is the heavy-traffic limit of G/G/c (Kingman 1962). For
        constant service times at low load it overestimates the wait. It is infinite where the load is 1 or more.
        """
        if self.load >= 1:
            return inf
        if quantile <= 1 - self.waits or self.mean_wait_s == 0:
            return 0.0
        return self.mean_wait_s / self.waits * log(self.waits / (1 - quantile))


@dataclass(frozen=True)
class TtftModel:
    """Time to first token of one replica under chunked prefill.

    An arrival waits for the running iteration to end and for the prefills ahead of it, and is then prefilled in chunks.
    Each iteration also carries one decode step of the running batch, so prefill and decode delay each other.
    """

    arrivals_per_s: float
    """Requests per second that arrive at this replica."""
    prefill_s: float
    """Prefill time of one prompt alone."""
    decode_step_s: float
    """Time of one decode step of the running batch."""
    prompt_tokens: float
    """Tokens of a prompt that are computed."""
    chunk_tokens: float
    """Most prompt tokens of one iteration."""
    stages: int = 1
    """Pipeline stages; each works on another prompt."""
    slots: int | None = None
    """Requests that the continuous batch holds; None: every arrival has a slot, as with a fixed number of users."""
    request_s: float = 0.0
    """Time that a request holds its slot."""

    @cached_property
    def prefill_queue(self) -> RequestQueue:
        """RequestQueue of prompts that are prefilled one by one, decode steps of their iterations included."""
        share = self.prompt_tokens / self.chunk_tokens
        service_s = (self.prefill_s + share * self.decode_step_s) / self.stages
        return RequestQueue(self.arrivals_per_s, service_s)

    @cached_property
    def slot_queue(self) -> RequestQueue | None:
        """RequestQueue of requests that wait for a slot of the batch; None where every arrival has a slot."""
        if self.slots is None:
            return None
        return RequestQueue(self.arrivals_per_s, self.request_s, servers=self.slots, service_scv=OUTPUT_SCV)

    @property
    def alone_s(self) -> float:
        """TTFT without any wait: the request's own prefill, with one decode step of the batch in each iteration."""
        return self.prefill_s + ceil(self.prompt_tokens / self.chunk_tokens) * self.decode_step_s

    def at(self, percentile: SloPercentile) -> float:
        """Return the mean or a percentile of TTFT in seconds; infinite where a queue grows without end.

        Prompts that fill an iteration are served one by one. Small prompts share an iteration and wait for it to start.
        Between the two cases the delay is interpolated by the part of the token budget that one prompt leaves free. The
        quantiles of the two waits are added, which is an upper bound; the wait for a slot is usually close to 0.
        """
        if not self._stable:
            return inf
        shared = max(0.0, 1 - self.prompt_tokens / self.chunk_tokens)
        delay = shared * self._gated_delay_s(percentile) + (1 - shared) * self._one_by_one_delay_s(percentile)
        slots = self.slot_queue
        return delay + self.alone_s + (0.0 if slots is None else slots.wait_at(percentile))

    def _one_by_one_delay_s(self, percentile: SloPercentile) -> float:
        """Return the wait for the rest of the running iteration, uniformly distributed, and for the prompts ahead."""
        return QUANTILE.get(percentile, 0.5) * self.decode_step_s + self.prefill_queue.wait_at(percentile)

    def _gated_delay_s(self, percentile: SloPercentile) -> float:
        """Return the wait for the rest of the running iteration and for the prompts that share the next one.

        An iteration lasts L = step + N·prefill, where N is the number of arrivals during the iteration before it
        (Poisson). In the steady state E[L] = step / (1 - ρ) and Var[L] = ρ·prefill·E[L] / (1 - ρ²), with
        ρ = rate·prefill. An arrival waits for the rest of an iteration, r = E[L²] / 2E[L] on average. Arrivals during
        that rest and during the equally long part before it share the next iteration, which makes r·(1 + 2ρ) in all.
        The tail of the distribution is taken as exponential.
        """
        prefill_s = self.prefill_s / self.stages
        load = self.arrivals_per_s * prefill_s
        rest_s = (self.decode_step_s / (1 - load) + load * prefill_s / (1 - load**2)) / 2
        mean_s = rest_s * (1 + 2 * load)
        return mean_s if percentile == "mean" else mean_s * -log(1 - QUANTILE[percentile])

    def summary(self) -> Queueing:
        """Return the queueing part of the plan."""
        slots = self.slot_queue
        return Queueing(
            requests_per_s_per_replica=self.arrivals_per_s,
            prefill_load=self.prefill_queue.load,
            slots=self.slots,
            slot_load=None if slots is None else slots.load,
            slot_wait_probability=None if slots is None else slots.waits,
            ttft_ms={name: self.at(name) * 1e3 if self._stable else None for name in STATISTICS},
        )

    @property
    def _stable(self) -> bool:
        return self.prefill_queue.load < 1 and (self.slot_queue is None or self.slot_queue.load < 1)
