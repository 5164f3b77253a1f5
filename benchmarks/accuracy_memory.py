"""Comparison of planned GPU memory with what serving engines logged at start-up, and of verdicts with public cases.

    python -m benchmarks.accuracy_memory START_UPS.csv CASES.yaml

The first file has a row for each start-up: preset, tensor, pipeline, weights, kv_cache, context, gpu_total_gib,
utilization, and the measured true_weights_gib, true_other_gib, true_kv_gib and true_kv_tokens. The second file lists
specs of which is known whether they start (`fits`) and whether the engine accepts the split or the format (`legal`).
Each is planned through `pin:`, as a user would.
"""

import csv
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from planner.errors import InfeasibleError, SpecError
from planner.plan.performance import InferencePerformance
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.errors import LlmclusterError
from provider_catalog.models import load_model

GIB = 2**30
ENGINE = {"name": "vllm", "version": "0.19"}
"""Engine of the start-ups."""
WITHIN = 0.05
"""Largest error of KV tokens that counts as right."""


@dataclass(frozen=True)
class Measured:
    """A start-up: measured and planned GiB a GPU, and tokens of the KV cache."""

    name: str
    true_weights_gib: float
    true_other_gib: float
    true_kv_tokens: int
    weights_gib: float
    other_gib: float
    kv_tokens: int

    @property
    def error(self) -> float:
        """Relative error of the KV tokens."""
        return self.kv_tokens / self.true_kv_tokens - 1


def main(start_ups: Path, cases: Path) -> None:
    """Print both tables and their summaries."""
    measured = list(replay_start_ups(start_ups))
    print("| start-up | weights GiB, measured | ours | other GiB | ours | KV tokens | ours | error |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in measured:
        print(
            f"| {row.name} | {row.true_weights_gib:.2f} | {row.weights_gib:.2f} | {row.true_other_gib:.2f} |"
            f" {row.other_gib:.2f} | {row.true_kv_tokens:,} | {row.kv_tokens:,} | {row.error:+.1%} |"
        )
    errors = [abs(row.error) for row in measured]
    right = sum(error <= WITHIN for error in errors)
    other = statistics.mean(abs(row.other_gib - row.true_other_gib) for row in measured)
    print(
        f"\nKV tokens within {WITHIN:.0%}: {right} of {len(measured)}; median error {statistics.median(errors):.1%};"
        f" memory beside weights and cache off by {other:.2f} GiB in the mean\n"
    )
    print("| case | truth | ours | right | reason |\n|---|---|---|---|---|")
    verdicts = list(replay_cases(cases))
    for name, truth, ours, reason in verdicts:
        print(f"| {name} | {truth} | {ours} | {'yes' if truth == ours else 'NO'} | {reason} |")
    print(f"\nverdicts right: {sum(truth == ours for _, truth, ours, _ in verdicts)} of {len(verdicts)}")


def replay_start_ups(path: Path) -> Iterator[Measured]:
    """Plan every start-up of the file."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        yield replay_start_up(row)


def replay_start_up(row: dict[str, str]) -> Measured:
    """Plan one start-up and compare its memory."""
    model = load_model(row["preset"])
    tensor, pipeline, context = int(row["tensor"]), int(row["pipeline"]), int(row["context"])
    longest = min(context, model.max_position_embeddings or context)
    document = {
        "name": "start-up",
        "model": row["preset"],
        "workload": {
            "kind": "inference",
            "concurrency": 1,
            "prompt_tokens": longest - 1,
            "output_tokens": 1,
            "slo": {"ttft_ms": 1e9, "tpot_ms": 1e9},
        },
        "precision": {
            "weights": "auto" if row["weights"] == "published" else row["weights"],
            "kv_cache": row["kv_cache"],
        },
        "engine": {**ENGINE, "gpu_memory_utilization": float(row["utilization"])},
        "pin": {
            "node": {"gpu": "H100", "gpus": tensor * pipeline, "nic_gbit_per_s": 3200},
            "nodes": 1,
            "layout": {"tensor": tensor, "pipeline": pipeline, "expert": 1},
        },
    }
    name = f"{row['preset']} TP{tensor} PP{pipeline} {row['weights']} {row['kv_cache']}"
    truth = (float(row["true_weights_gib"]), float(row["true_other_gib"]), int(row["true_kv_tokens"]))
    try:
        decided = plan(read_spec(document, "spec"), model, Catalog.load())
    except InfeasibleError:
        return Measured(f"{name}, refused", *truth, weights_gib=0.0, other_gib=0.0, kv_tokens=0)
    memory, performance = decided.memory_per_gpu, decided.performance
    if not isinstance(performance, InferencePerformance) or performance.cache is None:
        raise TypeError(f"{name}: not a serving plan")
    return Measured(
        name,
        *truth,
        weights_gib=memory.weights_bytes / GIB,
        other_gib=(memory.activations_bytes + memory.overhead_bytes) / GIB,
        kv_tokens=performance.cache.tokens,
    )


def replay_cases(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, truth, our verdict and its reason for every case that states whether it fits or is legal."""
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]:
        for question in ("fits", "legal"):
            if question in case:
                accepted, reason = verdict(case["spec"], path.parent)
                yield case["spec"]["name"], f"{question}: {case[question]}", f"{question}: {accepted}", reason


def verdict(document: dict[str, Any], folder: Path) -> tuple[bool, str]:
    """Return whether we plan a spec, and the reason or the layout."""
    try:
        model = load_model(document["model"], folder)
        decided = plan(read_spec(document, "spec"), model, Catalog.load())
    except InfeasibleError as error:
        reasons = "; ".join(miss.reason for miss in error.nearest) or str(error)
        return False, reasons.replace("\n", " ")[:200]
    except (SpecError, LlmclusterError) as error:
        return False, str(error).replace("\n", " ")[:200]
    return True, f"{decided.choice.nodes} x {decided.choice.instance_type}, {decided.choice.layout.short_name}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
