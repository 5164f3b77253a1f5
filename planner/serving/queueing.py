"""Waiting before the first token: percentiles of TTFT at an arrival rate.

A replica is two queues one after the other. Requests wait for a slot of the continuous batch (as many servers as the
batch has slots, each busy for a whole request), then for the prefills before and beside theirs. Arrivals are Poisson.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, inf, log
from typing import Final

from planner.plan.plan import Queueing
from planner.spec.workload import SloPercentile

QUANTILE: Final[dict[SloPercentile, float]] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
STATISTICS: Final[tuple[SloPercentile, ...]] = ("mean", "p50", "p95", "p99")
NOTHING_ABOVE: Final = 1e15
RELATIVE_PRECISION: Final = 1e-15
POISSON_SCV: Final = 1.0
"""Squared coefficient of variation of the times between arrivals of a Poisson process."""
CONSTANT_SCV: Final = 0.0
"""Of prefill times: the spec gives one prompt length."""
OUTPUT_SCV: Final = 1.0
"""Of the time a request holds its slot: output lengths vary about as much as their mean (exponential). Estimate, 0.3 to
2: published traces of chat services scatter by their mean or more."""


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival finds all servers of M/M/c busy; 1 when the servers cannot keep up.

    Erlang's second formula (Erlang 1917): C = B / (1 - ρ·(1 - B)) of the first, 1/B = Σ c!/(c - k)! / a^k, whose terms
    either fall off or soon make B nothing.

    Args:
        servers: c, at least one.
        offered: a = arrival rate x mean service time, in Erlang.
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
class Queue:
    """First come, first served with `servers` servers (G/G/c)."""

    arrivals_per_s: float
    service_s: float
    servers: int = 1
    arrival_scv: float = POISSON_SCV
    service_scv: float = CONSTANT_SCV

    @property
    def load(self) -> float:
        """Utilisation of the servers, ρ."""
        return self.arrivals_per_s * self.service_s / self.servers

    @cached_property
    def waits(self) -> float:
        """Probability that an arrival waits at all."""
        return erlang_c(self.servers, self.arrivals_per_s * self.service_s)

    @cached_property
    def mean_wait_s(self) -> float:
        """Mean wait of all arrivals; infinite from a load of one on.

        Allen-Cunneen approximation (Allen 1990, Probability, Statistics, and Queueing Theory, chapter 5): that of M/M/c
        times the mean of the two squared coefficients of variation. For one server and Poisson arrivals this is exact
        (Pollaczek-Khinchine).
        """
        if self.load >= 1:
            return inf
        variation = (self.arrival_scv + self.service_scv) / 2
        return self.waits * self.service_s / (self.servers * (1 - self.load)) * variation

    def wait_at(self, statistic: SloPercentile) -> float:
        """Mean or percentile of the wait."""
        return self.mean_wait_s if statistic == "mean" else self.wait_s(QUANTILE[statistic])

    def wait_s(self, quantile: float) -> float:
        """The wait that a share `quantile` of arrivals does not exceed; infinite from a load of one on.

        P(W > t) = C·exp(-C·t / E[W]): exact for M/M/c, and the heavy-traffic limit of G/G/c (Kingman 1962). For
        constant service at low load it errs on the long side.
        """
        if self.load >= 1:
            return inf
        if quantile <= 1 - self.waits or self.mean_wait_s == 0:
            return 0.0
        return self.mean_wait_s / self.waits * log(self.waits / (1 - quantile))


@dataclass(frozen=True)
class FirstToken:
    """Time to first token of one replica under chunked prefill.

    An arrival finishes the running iteration, waits for the prefills ahead, and is prefilled in chunks; each iteration
    also carries one decode step of the running batch, which is how prefill and decode hold each other up.
    """

    arrivals_per_s: float
    """Of this replica."""
    prefill_s: float
    """Of one prompt alone."""
    decode_step_s: float
    """Of the running batch."""
    prompt_tokens: float
    chunk_tokens: float
    """Prompt tokens that one iteration takes on."""
    stages: int = 1
    """Pipeline stages, which work on as many prompts at a time."""
    slots: int | None = None
    """Requests that the continuous batch holds; None: enough for every arrival (a fixed number of users)."""
    request_s: float = 0.0
    """How long a request holds its slot."""

    @cached_property
    def prefill_queue(self) -> Queue:
        """Prompts one after the other, each with its share of the iterations' decode steps."""
        share = self.prompt_tokens / self.chunk_tokens
        service_s = (self.prefill_s + share * self.decode_step_s) / self.stages
        return Queue(self.arrivals_per_s, service_s)

    @cached_property
    def slot_queue(self) -> Queue | None:
        """Requests before a full batch."""
        if self.slots is None:
            return None
        return Queue(self.arrivals_per_s, self.request_s, servers=self.slots, service_scv=OUTPUT_SCV)

    @property
    def alone_s(self) -> float:
        """Own prefill, with one decode step of the others in each of its iterations."""
        return self.prefill_s + ceil(self.prompt_tokens / self.chunk_tokens) * self.decode_step_s

    def at(self, percentile: SloPercentile) -> float:
        """TTFT in seconds that the share of requests does not exceed, or its mean; infinite where a queue grows.

        Prompts that fill an iteration are served one by one, small ones together, gated by the iteration; between the
        two the delay is interpolated by the part of the token budget that one prompt leaves. The quantiles of the
        waits are added, an upper bound; that for a slot is next to nothing as a rule.
        """
        if not self._stable:
            return inf
        shared = max(0.0, 1 - self.prompt_tokens / self.chunk_tokens)
        delay = shared * self._gated_delay_s(percentile) + (1 - shared) * self._one_by_one_delay_s(percentile)
        slots = self.slot_queue
        return delay + self.alone_s + (0.0 if slots is None else slots.wait_at(percentile))

    def _one_by_one_delay_s(self, percentile: SloPercentile) -> float:
        """Rest of the running iteration, uniform over it, and the prompts ahead."""
        return QUANTILE.get(percentile, 0.5) * self.decode_step_s + self.prefill_queue.wait_at(percentile)

    def _gated_delay_s(self, percentile: SloPercentile) -> float:
        """Rest of the running iteration, and the prompts that share the next one.

        An iteration lasts L = step + N·prefill, N the arrivals during the one before (Poisson). In the steady state
        E[L] = step / (1 - ρ), Var[L] = ρ·prefill·E[L] / (1 - ρ²) with ρ = rate·prefill, and an arrival sees the rest
        r = E[L²] / 2E[L] of one, with as much gone: r·(1 + 2ρ) in all. Its tail is taken as exponential.
        """
        prefill_s = self.prefill_s / self.stages
        load = self.arrivals_per_s * prefill_s
        rest_s = (self.decode_step_s / (1 - load) + load * prefill_s / (1 - load**2)) / 2
        mean_s = rest_s * (1 + 2 * load)
        return mean_s if percentile == "mean" else mean_s * -log(1 - QUANTILE[percentile])

    def summary(self) -> Queueing:
        """For the plan."""
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
