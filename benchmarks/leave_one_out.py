"""Cross-validation of the analytic engine: it is calibrated on some reference points and tested on the others.

A search by steps over the rates that decide these latencies, one GPU generation at a time, from the same start for
all: round figures that belong to no generation. A generation without points takes the mean of the others.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from planner.plan.layout import Layout
from planner.serving.collective_times import CollectiveRates
from planner.serving.forward import AnalyticTiming, Pass
from planner.serving.generation_rates import GenerationRates
from planner.serving.kernels import AttentionRates, GemmRates, GroupedRates
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import NodeTopology
from provider_catalog.models import load_model
from provider_catalog.precision import Precision

Vector = tuple[float, ...]

START: Vector = (0.7, 0.75, 5e-6, 0.5, 0.8, 30e-6, 1.0, 0.6, 0.75, 40e-6, 12e-6, 0.6, 12e-6)
"""Dense products: compute, memory, launch; experts: the same and imbalance; attention: compute, cache, launches;
collectives: share, latency."""
STEPS = (1.3, 1.1, 1.03)
HIGHEST = (1.0, 1.0, 1e-4, 1.0, 1.0, 1e-3, 4.0, 1.0, 1.0, 1e-3, 1e-3, 1.0, 1e-3)


@dataclass(frozen=True, slots=True)
class Point:
    """One reference latency."""

    model: str
    gpu: str
    tensor: int
    expert: int
    prompt_tokens: int
    output_tokens: int
    batch: int
    weights: Any
    kv_cache: Any
    phase: str
    latency_ms: float


def held_out_errors(points: Sequence[Point], group: Callable[[Point], str]) -> list[float]:
    """Return the relative error of each point by a calibration on the points outside its group."""
    predicted: dict[int, float] = {}
    for name in dict.fromkeys(map(group, points)):
        kept = [point for point in points if group(point) != name]
        fitted = {generation: _fit(_of(kept, generation)) for generation in dict.fromkeys(map(_generation, kept))}
        mean = tuple(
            math.exp(sum(map(math.log, column)) / len(column)) for column in zip(*fitted.values(), strict=True)
        )
        for index, point in enumerate(points):
            if group(point) == name:
                predicted[index] = _latency_ms(point, fitted.get(_generation(point), mean))
    return [predicted[index] / point.latency_ms - 1 for index, point in enumerate(points)]


def _of(points: Sequence[Point], generation: str) -> tuple[Point, ...]:
    return tuple(point for point in points if _generation(point) == generation)


@cache
def _fit(points: tuple[Point, ...]) -> Vector:
    """Minimise the mean robust log error by coordinate descent; it is quadratic near zero and linear far from it."""
    best, least = START, _loss(points, START)
    for step in STEPS:
        for _ in range(3):
            before = least
            for index in range(len(START)):
                for factor in (step, 1 / step):
                    moved = min(best[index] * factor, HIGHEST[index])
                    trial = (*best[:index], moved, *best[index + 1 :])
                    loss = _loss(points, trial)
                    if loss < least:
                        best, least = trial, loss
            if least > 0.99 * before:
                break
    return best


def _loss(points: Sequence[Point], vector: Vector) -> float:
    logs = (math.log(_latency_ms(point, vector) / point.latency_ms) for point in points)
    return sum(math.sqrt(1 + (10 * x) ** 2) - 1 for x in logs) / len(points)


def _latency_ms(point: Point, vector: Vector) -> float:
    work = Pass(decodes=point.batch, context_tokens=point.prompt_tokens + point.output_tokens / 2)
    if point.phase == "prefill":
        work = Pass(prompts=point.batch, prompt_tokens=point.prompt_tokens)
    split = (point.model, point.gpu, point.tensor, point.expert, point.weights, point.kv_cache)
    return _forward(split, vector).seconds(work) * 1e3


@cache
def _forward(split: tuple[str, str, int, int, Precision, Precision], vector: Vector) -> AnalyticTiming:
    name, gpu, tensor, expert, weights, kv_cache = split
    layout = Layout(tensor=tensor, expert=expert)
    return AnalyticTiming(load_model(name, None), eight_gpus(gpu), layout, weights, kv_cache, _rates(vector))


@cache
def eight_gpus(gpu: str) -> NodeTopology:
    """Return a node of eight GPUs of one type."""
    found = Catalog.load().gpu(gpu)
    return NodeTopology(
        gpu=found,
        gpus=8,
        gpu_memory_bytes=int(found.memory_gb * 1e9),
        nvlink_gb_per_s=found.nvlink_gb_per_s,
        nic_gbit_per_s=3200,
        fabric="infiniband",
    )


def _generation(point: Point) -> str:
    return eight_gpus(point.gpu).gpu.generation


@cache
def _rates(vector: Vector) -> GenerationRates:
    dense, memory, launch, grouped, grouped_memory, grouped_launch, imbalance = vector[:7]
    attention, cached, prefill_launch, decode_launch, link, latency = vector[7:]
    products = GemmRates(dense, memory, launch, 0)
    experts = GroupedRates(grouped, grouped_memory, grouped_launch, imbalance, 0.7, 2.0)
    return GenerationRates(
        gemms={"16-bit": products, "8-bit": products},
        groups={"16-bit": experts, "8-bit": experts},
        attention=AttentionRates(attention, 0.6, prefill_launch, cached, decode_launch, 0.0),
        collectives=CollectiveRates(link, 4e-6, 0.2e-6, link, latency, 0.5),
    )
