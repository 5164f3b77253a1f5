"""Published end-to-end training runs, and our prediction of each."""

import statistics
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import yaml

from benchmarks.accuracy_training import CALIBRATED, FEWEST
from benchmarks.timing import ROOT
from planner.plan.performance import TrainingPerformance
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.model_config.reader import read_config
from provider_catalog.models import load_model

RUNS: Final = ROOT / "tests" / "data" / "training_e2e.yaml"
Run = dict[str, Any]


@cache
def _runs() -> tuple[Run, ...]:
    return tuple(yaml.safe_load(RUNS.read_text(encoding="utf-8"))["runs"])


def training_rows() -> list[Run]:
    """Return the runs."""
    return list(_runs())


def kind(run: Run) -> tuple[str, str]:
    """Return GPU generation and number format of a run, for which a rate is calibrated."""
    return Catalog.load().gpu(run["gpu"]).generation, run.get("precision", "bf16")


def training_speed(run: Run) -> float:
    """Return our speed over the measured one; above 1 we promise more than was measured."""
    (quantity, measured), performance = next(iter(run["measured"].items())), _performance(run["name"])
    if quantity == "tokens_per_s_per_gpu":
        return float(performance.tokens_per_s_per_gpu / measured)
    if quantity == "gpu_hours":
        ours = run["tokens"] / performance.tokens_per_s_per_gpu / performance.goodput / 3600
        return float(measured / ours)
    return float(measured / performance.step_time_s)


def left_out_speeds(runs: Sequence[Run]) -> list[float]:
    """Return our speed for each run if the calibrated rate of its kind were refitted on the other families."""
    found = []
    for run in runs:
        others = [one for one in runs if kind(one) == kind(run) and one["family"] != run["family"]]
        factor = _refitted(others) if len(others) >= FEWEST else 1.0
        found.append(_speed_at(run, factor))
    return found


def _refitted(runs: Sequence[Run]) -> float:
    """Return the factor on the calibrated rate at which the median speed of some runs is as measured, by bisection."""
    low, high = 0.5, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        if statistics.median(_speed_at(run, middle) for run in runs) < 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _speed_at(run: Run, factor: float) -> float:
    parts = _performance(run["name"]).breakdown_s
    share = sum(parts[name] for name in CALIBRATED) / sum(v for k, v in parts.items() if k != "stragglers")
    return training_speed(run) / (1 + share * (1 / factor - 1))


@cache
def _performance(name: str) -> TrainingPerformance:
    run = next(one for one in _runs() if one["name"] == name)
    model = run["model"]
    architecture = read_config(model, name) if isinstance(model, dict) else load_model(model)
    found = plan(read_spec(_spec(run), name), architecture, Catalog.load()).performance
    if not isinstance(found, TrainingPerformance):
        raise TypeError(f"{name} was planned as {found.kind}")
    return found


def _spec(run: Run) -> dict[str, Any]:
    method = run.get("method", "full")
    workload = {
        "kind": "training" if method == "full" else "finetuning",
        "tokens": run.get("tokens", 1e11),
        "sequence_length": run["sequence"],
        "global_batch_tokens": run["batch"] * run["sequence"],
        "deadline_days": 3650,
        **run.get("workload", {}),
    }
    if method != "full":
        workload |= {
            "method": method,
            "lora_rank": run.get("rank", 16),
            "lora_targets": run.get("targets", "attention"),
        }
    pin = {"nodes": run["nodes"], "layout": run["layout"]}
    placement: dict[str, Any] = {"max_nodes": 16384}
    if "instance_type" in run:
        pin["instance_type"], placement["providers"] = run["instance_type"], [run["provider"]]
    else:
        pin["node"] = {"gpu": run["gpu"], "gpus": run["gpus_per_node"], "nic_gbit_per_s": run["nic_gbit_per_s"]}
        if "nvlink_gb_per_s" in run:
            pin["node"]["nvlink_gb_per_s"] = run["nvlink_gb_per_s"]
    return {
        "name": "replay",
        "model": "replayed",
        "workload": workload,
        "pin": pin,
        "placement": placement,
        "precision": {"weights": run.get("precision", "bf16")},
    }
