"""Published end-to-end measurements of servers, and our prediction of each at given constants."""

import csv
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from benchmarks.timing import ROOT
from planner.engine.candidate import Candidate
from planner.market.machines import machines
from planner.plan.layout import Layout
from planner.plan.performance import InferencePerformance
from planner.search.engines import engine_of
from planner.serving.engine import InferenceEngine
from planner.serving.forward import AnalyticTiming
from planner.serving.generation_rates import GenerationRates, rates_of
from planner.serving.host_time import SERVING_HOST, HostTime
from planner.spec.reader import read_spec
from planner.training.step_cache import StepCache
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import NodeTopology
from provider_catalog.models import load_model
from provider_catalog.precision import Precision

MEASUREMENTS: Final = ROOT / "tests" / "data" / "serving_e2e.csv"
MANY_USERS: Final = 1_000_000
"""Users that fill any batch."""
LIMITLESS_MS: Final = {"ttft_ms": 1e9, "tpot_ms": 1e7}
TIMES: Final = frozenset({"tpot_ms", "ttft_ms", "prefill_ms"})
"""Quantities that are better when they are smaller."""
Row = dict[str, str]


@dataclass(frozen=True)
class Constants:
    """Constants of the serving model that the measurements decide."""

    host: HostTime = SERVING_HOST
    rates: GenerationRates | None = None
    """Kernel constants of the row's GPU; None takes those of the catalog."""


def rows() -> list[Row]:
    """Return the measurements."""
    lines = [line for line in MEASUREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def mixture(row: Row) -> bool:
    """Return whether the model of a row has routed experts."""
    return bool(_model(row["model"]).routed_expert_parameters)


def rates(row: Row) -> GenerationRates:
    """Return the kernel constants of a row's GPU."""
    return rates_of(Catalog.load().gpu(row["gpu"]))


def speed(row: Row, constants: Constants) -> float:
    """Return our speed over the measured one; above 1 we promise more than was measured."""
    ours, measured = predicted(row, constants), float(row["measured"])
    return measured / ours if row["quantity"] in TIMES else ours / measured


def predicted(row: Row, constants: Constants) -> float:
    """Return what we predict of the quantity that a row measures."""
    found, output = _performance(row, constants), int(row["output_tokens"])
    if row["mode"] == "max":
        # All requests are there at once: full batches in the steady state, and what is left in a smaller one.
        requests = int(row["requests"])
        full, rest = divmod(requests, found.batch)
        seconds = full * found.batch * output / found.tokens_per_s
        if rest:
            seconds += rest * output / _performance(row, constants, batch=rest).tokens_per_s
        return requests * output / seconds
    if row["quantity"] == "output_tokens_per_s":
        return found.tokens_per_s
    return float(getattr(found, row["quantity"]))


def _performance(row: Row, constants: Constants, batch: int | None = None) -> InferencePerformance:
    engine = replace(_engine(_spec_text(row, batch), row["model"]), host=constants.host)
    if constants.rates is not None:
        engine = replace(engine, timing_of=_timing_of(constants.rates))
    node, nodes = _node(row["gpu"], int(row["gpus"])), int(row["nodes"])
    found = next(iter(engine.candidates(node, nodes, multi_node=True)))
    if not isinstance(found, Candidate) or not isinstance(found.performance, InferencePerformance):
        raise ValueError(f"{row['name']} was not planned: {found}")
    return found.performance


def _timing_of(constants: GenerationRates) -> Any:
    def build(
        model: ModelArchitecture, node: NodeTopology, layout: Layout, weights: Precision, kv_cache: Precision
    ) -> AnalyticTiming:
        return AnalyticTiming(model, node, layout, weights, kv_cache, constants)

    return build


def _spec_text(row: Row, batch: int | None) -> tuple[tuple[str, Any], ...]:
    """Return the parts of a row's spec, so that rows with the same spec share an engine."""
    static = batch or (int(row["load"]) if row["mode"] == "static" else None)
    load: tuple[str, float]
    if row["mode"] == "rate":
        load = ("request_rate_per_s", float(row["load"]))
    else:
        load = ("concurrency", static or int(row["load"] or MANY_USERS))
    names = ("prompt_tokens", "output_tokens", "nodes", "tensor", "pipeline", "expert", "attention_data")
    sizes = [(name, int(row[name])) for name in names if row[name]]
    texts = [(name, row[name]) for name in ("weights", "kv_cache")]
    return (*sizes, *texts, ("load", load), ("batch", static), ("memory", float(row["memory_fraction"] or 0.95)))


@cache
def _engine(parts: tuple[tuple[str, Any], ...], model: str) -> InferenceEngine:
    given = dict(parts)
    degrees = ("tensor", "pipeline", "expert", "attention_data")
    pin = {"nodes": given["nodes"], "layout": {name: given[name] for name in degrees if name in given}}
    if given["batch"]:
        pin["batch"] = given["batch"]
    workload = {name: given[name] for name in ("prompt_tokens", "output_tokens")}
    document = {
        "name": "replay",
        "model": model,
        "workload": {
            "kind": "inference",
            **workload,
            **dict([given["load"]]),
            "fleet": "aggregated",
            "slo": LIMITLESS_MS,
        },
        "precision": {"weights": given["weights"], "kv_cache": given["kv_cache"]},
        "pin": pin,
        # What was measured was pushed to the limit: nothing of the compute is kept free.
        "headroom": {"compute_fraction": 0.0, "memory_fraction": given["memory"]},
    }
    engine = engine_of(read_spec(document, "replay"), _model(model), StepCache())
    assert isinstance(engine, InferenceEngine)  # noqa: S101 - the workload is inference
    return engine


@cache
def _model(name: str) -> ModelArchitecture:
    return load_model(name, None)


@cache
def _node(gpu: str, gpus: int) -> NodeTopology:
    document = {
        "name": "replay",
        "model": "Qwen/Qwen3-8B",
        "workload": {"kind": "inference"},
        "pin": {"node": {"gpu": gpu, "gpus": gpus, "nic_gbit_per_s": 3200}},
    }
    return next(machines(read_spec(document, "replay"), Catalog.load())).node
