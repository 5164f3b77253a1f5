"""Published fine-tuning runs replayed through `pin:`, as the Markdown table of docs/training.md."""

import argparse
import statistics
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.accuracy_training import layout_words, runs, summary
from benchmarks.timing import ROOT
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.model_config.reader import read_config
from provider_catalog.models import load_model

PUBLISHED = ROOT / "tests" / "data" / "finetuning_runs.yaml"


@dataclass(frozen=True)
class Replay:
    """One published run and the planner's prediction of it."""

    run: dict[str, Any]
    planned: Plan
    measured_s: float
    """GPU-seconds per token."""
    ours_s: float
    measured_bytes: float | None
    """Memory of the fullest GPU; None if the source states none."""

    @property
    def error(self) -> float:
        """Relative error of the time; positive if we predict a slower run."""
        return self.ours_s / self.measured_s - 1

    @property
    def memory_error(self) -> float | None:
        """Relative error of the memory of a GPU; positive if we predict more."""
        if self.measured_bytes is None:
            return None
        return self.planned.memory_per_gpu.total_bytes / self.measured_bytes - 1


def architecture(run: dict[str, Any]) -> ModelArchitecture:
    """Return the model of a run: a preset, or a Llama-like decoder of the given shape."""
    if "model" in run:
        model = load_model(run["model"])
        # MLPerf trains Llama 2 on twice the tokens that it was made for, which a plan refuses.
        return replace(model, max_position_embeddings=max(model.max_position_embeddings or 0, run["sequence"]))
    shape = run["shape"]
    config = {
        "model_type": "llama",
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "intermediate_size": shape["intermediate"],
        "vocab_size": shape["vocab"],
        "max_position_embeddings": run["sequence"],
    }
    return read_config(config, run["name"])


def spec_of(run: dict[str, Any]) -> dict[str, Any]:
    """Return the spec that replays a run."""
    per_node = run.get("gpus_per_node", 8)
    adapters = {"lora_rank": run.get("rank", 16), "lora_targets": run.get("targets", "attention-and-mlp")}
    return {
        "name": "replay",
        "model": "replayed",
        "workload": {
            "kind": "finetuning",
            "tokens": 1e9,
            "sequence_length": run["sequence"],
            "global_batch_tokens": run["batch"] * run["sequence"],
            "deadline_days": 3650,
            "method": run["method"],
            **(adapters if run["method"] != "full" else {}),
        },
        "precision": {"weights": run.get("precision", "bf16")},
        "pin": {
            "node": {"gpu": run["gpu"], "gpus": per_node, "nic_gbit_per_s": run["nic_gbit_per_s"]},
            "nodes": run["gpus"] // per_node,
            "layout": run["layout"],
        },
    }


def replay(run: dict[str, Any]) -> Replay:
    """Plan one run and compare it with the published figures."""
    decided = plan(read_spec(spec_of(run), run["name"]), architecture(run), Catalog.load())
    performance, measured = decided.performance, run["measured"]
    if not isinstance(performance, TrainingPerformance):
        raise TypeError(f"{run['name']} was planned as {performance.kind}")
    rate = measured.get("tokens_per_s_per_gpu")
    tokens = run["batch"] * run["sequence"]
    memory = measured.get("memory_gb", measured.get("memory_gib", 0) * 2**30 / 1e9) * 1e9
    return Replay(
        run=run,
        planned=decided,
        measured_s=1 / rate if rate else measured["step_s"] * run["gpus"] / tokens,
        ours_s=1 / performance.tokens_per_s_per_gpu,
        measured_bytes=memory or None,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--breakdown", action="store_true", help="parts of a step below each run")
    arguments = parser.parse_args()
    replays = [replay(run) for run in runs(PUBLISHED)]
    print("| run | GPUs | tokens/s/GPU | ours | error of the time | GB a GPU | ours | layout, replayed |")
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for one in replays:
        ours = one.planned.memory_per_gpu.total_bytes
        cells = [
            one.run["name"],
            f"{one.run['gpus']} {one.run['gpu']}",
            f"{1 / one.measured_s:,.0f}",
            f"{1 / one.ours_s:,.0f}",
            f"{one.error:+.1%}",
            "-" if one.measured_bytes is None else f"{one.measured_bytes / 1e9:.1f}",
            f"{ours / 1e9:.1f}",
            layout_words(one.planned.choice.layout),
        ]
        print("| " + " | ".join(cells) + " |")
        performance = one.planned.performance
        if arguments.breakdown and isinstance(performance, TrainingPerformance):
            step_s = performance.step_time_s
            print("  ", {name: f"{s / step_s:.1%}" for name, s in performance.breakdown_s.items() if s})
    memory = [one.memory_error for one in replays if one.memory_error is not None]
    print(f"\ntime: {summary([one.error for one in replays])}\n\nmemory: {summary(memory)}")
    for family in sorted({one.run["family"] for one in replays}):
        errors = [one.error for one in replays if one.run["family"] == family]
        print(f"{family}: median {statistics.median(errors):+.1%}, {len(errors)} runs")


if __name__ == "__main__":
    main()
