"""Queueing: closed forms against published values and against a discrete-event simulation of a serving engine."""

import random
import statistics
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.serving.queueing import QUANTILE, STATISTICS, RequestQueue, TtftModel, erlang_c


@pytest.mark.parametrize(
    ("servers", "offered", "probability"),
    [
        # Erlang C table: 10 agents at 8 Erlang 0.409, 5 at 4 Erlang 0.554, 100 at 90 Erlang 0.217; M/M/1: the load
        (10, 8.0, 0.4092),
        (5, 4.0, 0.5541),
        (100, 90.0, 0.2168),
        (1, 0.7, 0.7),
        (4, 4.0, 1.0),
    ],
)
def test_erlang_c_agrees_with_published_tables(servers: int, offered: float, probability: float) -> None:
    assert erlang_c(servers, offered) == pytest.approx(probability, abs=2e-4)


def test_one_server_is_pollaczek_khinchine() -> None:
    # M/D/1: rho / (2·(1 - rho)) service times; M/M/1: rho / (1 - rho)
    constant = RequestQueue(arrivals_per_s=0.8, service_s=1.0)
    exponential = RequestQueue(arrivals_per_s=0.8, service_s=1.0, service_scv=1.0)
    assert constant.mean_wait_s == pytest.approx(0.8 / 0.4)
    assert exponential.mean_wait_s == pytest.approx(0.8 / 0.2)
    # M/M/1: P(W > t) = rho·exp(-(1 - rho)·t)
    assert exponential.wait_s(0.95) == pytest.approx(13.863, abs=1e-3)
    assert exponential.wait_s(0.2) == 0.0


def _simulated_ttft_s(
    rate: float, prefill_s: float, step_s: float, prompt: int, output: int, chunk: int, slots: int, seed: int
) -> list[float]:
    """An engine with chunked prefill, iteration by iteration: prompts share a token budget, everyone else decodes."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    arrivals = deque[float]()
    at = 0.0
    for _ in range(6_000):
        at += draw.expovariate(rate)
        arrivals.append(at)
    now, found = 0.0, list[float]()
    waiting = deque[list[float]]()  # arrival, prompt tokens left
    running = list[int]()  # output tokens left
    while arrivals or waiting or running:
        while arrivals and arrivals[0] <= now:
            waiting.append([arrivals.popleft(), float(prompt)])
        if not waiting and not running:
            now = arrivals[0]
            continue
        budget, finished = float(chunk), list[float]()
        while waiting and budget > 0 and len(running) + len(finished) < slots:
            taken = min(budget, waiting[0][1])
            budget -= taken
            waiting[0][1] -= taken
            if waiting[0][1] <= 0:
                finished.append(waiting.popleft()[0])
        now += step_s + prefill_s * (chunk - budget) / prompt
        running = [left - 1 for left in running if left > 1]
        for arrival in finished:
            found.append(now - arrival)
            # exponential lengths, as the slot queue assumes
            running.append(max(1, round(draw.expovariate(1 / output))))
    return found[1_000:]


@pytest.mark.parametrize(
    ("load", "prompt", "chunk"),
    [(0.3, 1024, 8192), (0.6, 1024, 8192), (0.6, 4096, 8192), (0.8, 8192, 8192), (0.6, 16384, 8192)],
)
def test_percentiles_agree_with_a_simulated_engine(load: float, prompt: int, chunk: int) -> None:
    prefill_s, step_s = 0.1 * prompt / 2048, 0.02
    rate = load / (prefill_s + step_s * prompt / chunk)
    simulated = sorted(_simulated_ttft_s(rate, prefill_s, step_s, prompt, 200, chunk, 10_000, seed=7))
    model = TtftModel(
        arrivals_per_s=rate, prefill_s=prefill_s, decode_step_s=step_s, prompt_tokens=prompt, chunk_tokens=chunk
    )
    assert model.at("mean") == pytest.approx(statistics.fmean(simulated), rel=0.08)
    for percentile, quantile in QUANTILE.items():
        measured = simulated[int(quantile * len(simulated))]
        ours = model.at(percentile)
        assert 0.8 * measured < ours < 1.4 * measured, (percentile, ours, measured)


def test_a_full_batch_makes_requests_wait_as_erlang_c_says() -> None:
    step_s, output, slots = 0.02, 100, 20
    rate = 0.85 * slots / (output * step_s)
    simulated = _simulated_ttft_s(rate, 1e-4, step_s, 64, output, 8192, slots, seed=11)
    model = TtftModel(
        arrivals_per_s=rate,
        prefill_s=1e-4,
        decode_step_s=step_s,
        prompt_tokens=64,
        chunk_tokens=8192,
        slots=slots,
        request_s=output * (step_s + rate * 1e-4 * step_s),
    )
    assert model.at("mean") == pytest.approx(statistics.fmean(simulated), rel=0.25)
    measured = sorted(simulated)[int(0.95 * len(simulated))]
    assert model.at("p95") == pytest.approx(measured, rel=0.30)


@given(rate=st.floats(0.1, 50), prefill=st.floats(1e-3, 0.5), step=st.floats(1e-3, 0.1), slots=st.integers(1, 300))
def test_percentiles_are_ordered_and_grow_with_the_rate(rate: float, prefill: float, step: float, slots: int) -> None:
    def first(arrivals: float) -> TtftModel:
        return TtftModel(arrivals, prefill, step, 1000, 8192, slots=slots, request_s=200 * step)

    base, busier = first(rate), first(rate * 1.1)
    assert base.at("p50") <= base.at("p95") <= base.at("p99")
    for percentile in STATISTICS:
        assert busier.at(percentile) >= base.at(percentile) - 1e-12
