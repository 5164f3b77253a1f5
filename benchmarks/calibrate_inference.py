"""Fit the constants of planner/serving/generation_rates.py to the measured kernels of aiconfigurator-core.

Needs the extra: `pip install 'llmcluster[silicon]'`. Prints for each kind of kernel, GPU generation and format the
constants in the order of their dataclass, the number of kernel times, and the relative error that remains, median and
nine in ten; beside it that of models which were left out of the fit, one after the other. Takes some ten minutes.
"""

import argparse
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import ceil, log
from typing import Any

from benchmarks.leave_one_out import eight_gpus
from planner.plan.layout import Layout
from planner.serving.collective_times import CollectiveRates, CollectiveTimes
from planner.serving.forward import peak_flops
from planner.serving.kernels import (
    AttentionRates,
    Device,
    Gemm,
    GemmRates,
    GroupedGemm,
    GroupedRates,
    decode_attention_s,
    prefill_attention_s,
)
from planner.serving.silicon import BACKENDS, SYSTEMS
from planner.sizing.weights import bytes_per_value
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.precision import Precision

MODELS = (
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-32B",
    "meta-llama/Meta-Llama-3.1-8B",
    "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Meta-Llama-3.1-405B",
    "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-235B-A22B",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct",
    "mistralai/Mixtral-8x7B-v0.1",
    "mistralai/Mixtral-8x22B-v0.1",
)
"""Models whose layers are all alike, with grouped-query attention: their operations map to kernels one to one."""
FORMATS: Mapping[str, tuple[str, Precision, Precision]] = {
    "bfloat16": ("16-bit", "bf16", "bf16"),
    "fp8": ("8-bit", "fp8", "fp8"),
    "fp8_block": ("8-bit", "fp8", "fp8"),
    "nvfp4": ("4-bit", "nvfp4", "nvfp4"),
    "int4_wo": ("weight-only", "int4", "bf16"),
    "int8_wo": ("weight-only", "int8", "bf16"),
}
"""Mode of the package to our kind of product, format of the weights and of the arithmetic."""
LEFT_ASIDE = {
    ("vllm", "fp8_block"),
    ("vllm", "fp8", "experts"),
    ("sglang", "fp8", "experts"),
    ("sglang", "bfloat16", "experts"),
}
"""Untuned in the versions measured, by a factor of two and more."""
POINTS = ((1, 512), (8, 2048), (32, 2048), (8, 8192), (1, 128), (64, 1024), (128, 512), (2, 16384), (256, 256))
MOST = 1500
"""The kernel times of one fit."""

Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Sample:
    """The time of one kernel: `shape` is read by the kind's own formula."""

    kind: str
    generation: str
    format: str
    model: str
    gpu: str
    mode: str
    shape: tuple[int, ...]
    seconds: float


def main() -> None:
    """Fit each kind, generation and format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gpu", action="append", choices=sorted(SYSTEMS), help="only this one; may be repeated")
    chosen = parser.parse_args().gpu or list(SYSTEMS)
    groups: dict[tuple[str, str, str], dict[Sample, None]] = defaultdict(dict)
    for gpu in (name for name in chosen if name in {g.name for g in Catalog.load().gpus.values()}):
        for sample in samples(gpu):
            groups[sample.kind, sample.generation, sample.format].setdefault(sample)
    for (kind, generation, form), found in sorted(groups.items()):
        rows = list(found)
        random.Random(0).shuffle(rows)  # noqa: S311 - a fixed sample, nothing secret
        rows = rows[:MOST]
        constants = fit(kind, rows)
        errors = relative_errors(kind, constants, rows)
        held_out = [
            error
            for model in sorted({row.model for row in rows})
            if len(kept := [row for row in rows if row.model != model]) > len(START[kind])
            for error in relative_errors(kind, fit(kind, kept), [row for row in rows if row.model == model])
        ]
        shown = ", ".join(f"{constant:.3g}" for constant in constants)
        print(f"{kind} {generation} {form}: ({shown}) n {len(rows)}, {spread(errors)}, left out {spread(held_out)}")


def samples(gpu: str) -> Iterator[Sample]:
    """Yield kernel times on one GPU over backends, models, splits, formats and loads."""
    engine = import_module("aiconfigurator_core.sdk.engine").EngineHandle
    for backend in BACKENDS:
        for name in MODELS:
            mixture = bool(load_model(name).routed_expert_parameters)
            for tensor in (1, 2, 4, 8):
                for expert in sorted({1, tensor}) if mixture else [1]:
                    for mode in FORMATS:
                        if (backend, mode) in LEFT_ASIDE:
                            continue
                        try:
                            handle = engine.compile(
                                name,
                                SYSTEMS[gpu],
                                backend,
                                tp_size=tensor,
                                moe_tp_size=tensor // expert,
                                moe_ep_size=expert,
                                gemm_quant_mode=mode,
                                moe_quant_mode=mode,
                                kvcache_quant_mode="bfloat16",
                            )
                        except Exception:  # noqa: S112 - not measured
                            continue
                        yield from _operations(handle, gpu, backend, name, tensor, expert, mode)


def _operations(
    handle: Any, gpu: str, backend: str, name: str, tensor: int, expert: int, mode: str
) -> Iterator[Sample]:
    architecture = load_model(name)
    for batch, prompt in POINTS:
        for phase in ("static_ctx", "static_gen"):
            try:
                found = handle.run_static_per_op(batch_size=batch, isl=prompt, osl=2, mode=phase)
            except Exception:  # noqa: S112 - not measured
                continue
            prefill = phase == "static_ctx"
            tokens = batch * prompt if prefill else batch
            for operation, milliseconds, *_ in found[0 if prefill else 1]:
                what = operation.removeprefix("context_").removeprefix("generation_")
                described = _describe(architecture, what, tensor, expert, batch, prompt, tokens, prefill)
                if described is None or not milliseconds or (backend, mode, described[0]) in LEFT_ASIDE:
                    continue
                kind, shape = described
                generation = eight_gpus(gpu).gpu.generation
                form = FORMATS[mode][0] if kind in ("products", "experts") else ""
                seconds = milliseconds / 1e3 / architecture.layer_count
                yield Sample(kind, generation, form, name, gpu, mode, shape, seconds)


def _describe(
    architecture: ModelArchitecture,
    operation: str,
    tensor: int,
    expert: int,
    batch: int,
    prompt: int,
    tokens: int,
    prefill: bool,
) -> tuple[str, tuple[int, ...]] | None:
    """Return kind and shape of an operation of one layer; None for a kind that is not fitted."""
    group = architecture.layers[0]
    attention, feed_forward, hidden = group.attention, group.feed_forward, architecture.hidden_size
    heads, kv_heads, size = attention.heads // tensor, ceil(attention.kv_heads / tensor), attention.head_dim
    inner = feed_forward.intermediate_size // tensor
    products = {
        "qkv_gemm": (hidden, (heads + 2 * kv_heads) * size),
        "proj_gemm": (heads * size, hidden),
        "gate_ffn1_gemm": (hidden, 2 * inner),
        "ffn2_gemm": (inner, hidden),
    }
    if operation in products:
        return "products", (tokens, *products[operation])
    if operation == "moe":
        width = feed_forward.expert_intermediate_size // (tensor // expert)
        experts = (feed_forward.experts, feed_forward.experts_per_token, expert)
        return "experts", (tokens, hidden, width, *experts)
    if operation == "attention":
        return ("prefill" if prefill else "decode"), (batch, prompt, heads, kv_heads, size)
    if operation in ("ar_1", "moe_pre_dispatch") and tensor > 1:
        return "all-reduce", (tokens * hidden * 2, tensor)
    return None


def _products(vector: Vector) -> Callable[[Sample], float]:
    rates = GemmRates(*vector)

    def seconds(sample: Sample) -> float:
        (rows, inputs, outputs), device = sample.shape, _device(sample.gpu)
        _, weights, arithmetic = FORMATS[sample.mode]
        operand = bytes_per_value(arithmetic) if bytes_per_value(arithmetic) < 2 else 2
        peak = peak_flops(eight_gpus(sample.gpu).gpu, arithmetic)
        return Gemm(inputs, outputs, bytes_per_value(weights), operand, peak, rates).on(device).seconds(rows)

    return seconds


def _experts(vector: Vector) -> Callable[[Sample], float]:
    rates = GroupedRates(*vector)

    def seconds(sample: Sample) -> float:
        tokens, hidden, width, experts, chosen, ranks = sample.shape
        _, weights, arithmetic = FORMATS[sample.mode]
        peak = peak_flops(eight_gpus(sample.gpu).gpu, arithmetic)
        group = GroupedGemm(hidden, width, 3, experts, chosen, ranks, bytes_per_value(weights), peak, rates)
        return group.seconds(tokens, _device(sample.gpu))

    return seconds


def _prefill(vector: Vector) -> Callable[[Sample], float]:
    compute_share, memory_share, launch_s = vector
    rates = AttentionRates(compute_share, memory_share, launch_s, 1.0, 0.0, 0.0)

    def seconds(sample: Sample) -> float:
        batch, prompt, heads, _, size = sample.shape
        flops = 2 * batch * prompt**2 * heads * size
        return prefill_attention_s(flops, 8 * batch * prompt * heads * size, rates, _device(sample.gpu))

    return seconds


def _decode(vector: Vector) -> Callable[[Sample], float]:
    cache_share, launch_s, context_s = vector
    rates = AttentionRates(1.0, 1.0, 0.0, cache_share, launch_s, context_s)

    def seconds(sample: Sample) -> float:
        batch, context, heads, kv_heads, size = sample.shape
        flops, cache = 4 * batch * context * heads * size, 4 * batch * context * kv_heads * size
        return decode_attention_s(flops, cache, context, rates, _device(sample.gpu))

    return seconds


def _all_reduce(vector: Vector) -> Callable[[Sample], float]:
    def seconds(sample: Sample) -> float:
        payload, ranks = sample.shape
        return CollectiveTimes(eight_gpus(sample.gpu), Layout(), CollectiveRates(*vector)).all_reduce_s(payload, ranks)

    return seconds


FORMULAS = {
    "products": _products,
    "experts": _experts,
    "prefill": _prefill,
    "decode": _decode,
    "all-reduce": _all_reduce,
}
START: Mapping[str, Vector] = {
    "products": (0.7, 0.8, 4e-6, 100.0),
    "experts": (0.5, 0.7, 2e-5, 0.5, 0.2, 1.0),
    "prefill": (0.5, 0.8, 3e-5),
    "decode": (0.8, 1e-5, 5e-10),
    "all-reduce": (0.6, 3e-6, 3e-7, 0.7, 2e-5, 0.5),
}
HIGHEST: Mapping[str, Vector] = {
    "products": (1.0, 1.0, 4e-5, 3e3),
    "experts": (0.9, 0.95, 2e-4, 3.0, 1.0, 4.0),
    "prefill": (1.0, 2.0, 1e-4),
    "decode": (1.2, 5e-5, 5e-9),
    "all-reduce": (1.0, 2e-5, 5e-6, 1.0, 2e-4, 1.0),
}


def fit(kind: str, rows: Sequence[Sample]) -> list[float]:
    """Return the constants that minimise a robust sum of squared log errors."""
    scale = START[kind]

    def residuals(factors: Vector) -> list[float]:
        formula = FORMULAS[kind]([start * factor for start, factor in zip(scale, factors, strict=True)])
        return [log(formula(row) / row.seconds) for row in rows]

    most = [high / start for high, start in zip(HIGHEST[kind], scale, strict=True)]
    solve = import_module("scipy.optimize").least_squares
    found = solve(residuals, [1.0] * len(scale), bounds=([1e-3] * len(scale), most), loss="soft_l1", f_scale=0.1)
    return [start * factor for start, factor in zip(scale, found.x, strict=True)]


def relative_errors(kind: str, constants: Vector, rows: Sequence[Sample]) -> list[float]:
    """Return the absolute relative error of each kernel time."""
    formula = FORMULAS[kind](constants)
    return [abs(formula(row) / row.seconds - 1) for row in rows]


def spread(errors: Sequence[float]) -> str:
    """Return median and 90th percentile."""
    if not errors:
        return "no model to leave out"
    return f"{statistics.median(errors):.1%} / {sorted(errors)[int(0.9 * len(errors))]:.1%}"


@cache
def _device(gpu: str) -> Device:
    found = eight_gpus(gpu).gpu
    return Device(found.memory_bandwidth_gb_per_s * 1e9, peak_flops(found, "bf16"))


if __name__ == "__main__":
    main()
