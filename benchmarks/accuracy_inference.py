"""Comparison of the analytic engine with kernel-level reference latencies and published serving runs.

Every point is replayed through `pin:`, as a user would. Beside each group stands the error that remains when its
points are left out of the calibration.
"""

import csv
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.leave_one_out import Point, held_out_errors
from benchmarks.timing import ROOT
from planner.plan.performance import InferencePerformance
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

REFERENCE = ROOT / "tests" / "data" / "kernel_latencies.csv"
RUNS = ROOT / "tests" / "data" / "serving_runs.yaml"
HOLDS = 0.30


def main() -> None:
    """Print the tables of docs/inference.md."""
    points = list(read_points(REFERENCE))
    errors = [replay(point) / point.latency_ms - 1 for point in points]
    by_gpu = held_out_errors(points, lambda point: point.gpu)
    by_family = held_out_errors(points, lambda point: family(point.model))
    groups: list[Callable[[Point], str]] = [
        lambda point: "all",
        lambda point: point.phase,
        lambda point: f"{point.phase}, {'mixture of experts' if is_mixture(point.model) else 'dense'}",
        lambda point: point.gpu,
        lambda point: family(point.model),
    ]
    print("| points | n | median | nine in ten | within 30 % | GPU left out | family left out |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for group in groups:
        for name in dict.fromkeys(map(group, points)):
            chosen = [i for i, point in enumerate(points) if group(point) == name]
            cells = (summary(values[i] for i in chosen) for values in (errors, by_gpu, by_family))
            (median, ninth, within), gpu, fam = cells
            held = " | ".join(f"{m:.1%} / {n:.1%}" for m, n, _ in (gpu, fam))
            print(f"| {name} | {len(chosen)} | {median:.1%} | {ninth:.1%} | {within:.0%} | {held} |")
    print("\n| published run | measured tokens/s a node | ours | error |\n|---|---:|---:|---:|")
    for run in yaml.safe_load(RUNS.read_text(encoding="utf-8"))["runs"]:
        measured, ours = run["measured_tokens_per_s_per_node"], replay_run(run)
        print(f"| {run['name']} | {measured:,} | {ours:,.0f} | {ours / measured - 1:+.0%} |")


def read_points(path: Path) -> Iterator[Point]:
    """Return the reference latencies."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        yield Point(
            model=row["model"],
            gpu=row["gpu"],
            tensor=int(row["tensor"]),
            expert=int(row["tensor"]) if is_mixture(row["model"]) else 1,
            prompt_tokens=int(row["prompt_tokens"]),
            output_tokens=int(row["output_tokens"]),
            batch=int(row["batch"]),
            weights=row["weights"],
            kv_cache=row["kv_cache"],
            phase=row["phase"],
            latency_ms=float(row["latency_ms"]),
        )


def replay(point: Point) -> float:
    """Return our latency of a point in milliseconds."""
    found = serve(
        point.model,
        {"concurrency": 1, "prompt_tokens": point.prompt_tokens, "output_tokens": point.output_tokens},
        {"weights": point.weights, "kv_cache": point.kv_cache},
        {
            "node": {"gpu": point.gpu, "gpus": 8, "nic_gbit_per_s": 3200},
            "nodes": 1,
            "batch": point.batch,
            "layout": {"tensor": point.tensor, "pipeline": 1, "expert": point.expert},
        },
    )
    return found.prefill_ms if point.phase == "prefill" else found.decode_step_ms


def replay_run(run: Mapping[str, Any]) -> float:
    """Return our tokens per second and node for a published run."""
    workload = {key: run[key] for key in ("prompt_tokens", "output_tokens", "prefix_cache_hit_rate")}
    pin = {key: run[key] for key in ("node", "nodes", "layout", "batch")}
    found = serve(run["model"], {"concurrency": 1, **workload}, {}, pin)
    if run["phase"] == "prefill":
        return float(run["batch"] * run["prompt_tokens"] / found.prefill_ms * 1e3 / run["nodes"])
    return float(run["batch"] / found.decode_step_ms * 1e3 / run["nodes"])


def serve(
    name: str, workload: Mapping[str, Any], precision: Mapping[str, Any], pin: Mapping[str, Any]
) -> InferencePerformance:
    """Return the planner's prediction for one pinned configuration."""
    document = {
        "name": "replay",
        "model": name,
        "workload": {"kind": "inference", **workload},
        "precision": precision,
        "pin": pin,
    }
    found = plan(read_spec(document, "replay"), model(name), Catalog.load()).performance
    assert isinstance(found, InferencePerformance)  # noqa: S101 - the workload is inference
    return found


@cache
def model(name: str) -> ModelArchitecture:
    """Return a model of the catalog."""
    return load_model(name, None)


def is_mixture(name: str) -> bool:
    """Return whether a model has routed experts."""
    return bool(model(name).routed_expert_parameters)


def family(name: str) -> str:
    """Return the group that is left out together: a model family, split into dense models and mixtures."""
    return name.split("/")[1].split("-")[0].replace("Meta", "Llama") + (" MoE" if is_mixture(name) else "")


def summary(errors: Iterable[float]) -> tuple[float, float, float]:
    """Return median and 90th percentile of the absolute errors, and the share within 30 %."""
    found = sorted(map(abs, errors))
    return statistics.median(found), found[int(0.9 * len(found))], sum(x <= HOLDS for x in found) / len(found)


if __name__ == "__main__":
    main()
