"""Published training runs replayed through `pin:`, as the Markdown table of docs/training.md."""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import ROOT
from planner.plan.layout import Layout
from planner.plan.performance import TrainingPerformance
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.model_config.reader import read_config
from provider_catalog.models import load_model

PUBLISHED = ROOT / "tests" / "data" / "training_runs.yaml"
HELD_OUT = ROOT / "tests" / "data" / "training_runs_held_out.yaml"
CALIBRATED = ("matmul", "attention", "recompute")
"""Parts of a step whose time is inverse to the calibrated rate."""
FEWEST = 3
"""A rate is refitted only on at least this many runs of other families."""


@dataclass(frozen=True)
class Replay:
    """One published run and the planner's prediction of it."""

    run: dict[str, Any]
    kind: tuple[str, str]
    """GPU generation and number format, for which a rate is calibrated."""
    measured_s: float
    """GPU-seconds per token."""
    ours_s: float
    performance: TrainingPerformance
    layout: Layout
    memory_share: float

    @property
    def error(self) -> float:
        """Relative error of the time; positive if we predict a slower run."""
        return self.ours_s / self.measured_s - 1

    def error_at(self, factor: float) -> float:
        """Return the error if the calibrated rate were `factor` times its value."""
        parts = self.performance.breakdown_s
        share = sum(parts[name] for name in CALIBRATED) / sum(v for k, v in parts.items() if k != "stragglers")
        return self.ours_s * (1 + share * (1 / factor - 1)) / self.measured_s - 1


def runs(path: Path = PUBLISHED) -> list[dict[str, Any]]:
    """Return the published figures."""
    document: dict[str, list[dict[str, Any]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document["runs"]


def architecture(run: dict[str, Any]) -> ModelArchitecture:
    """Return the model of a run: a preset, or a GPT of the given shape."""
    if "model" in run:
        return load_model(run["model"])
    shape = run["shape"]
    config: dict[str, Any] = {"model_type": "gpt2", "vocab_size": shape["vocab"]}
    if "kv_heads" in shape:
        config |= {
            "model_type": "llama" if shape.get("gated") else "nemotron",
            "hidden_size": shape["hidden"],
            "num_hidden_layers": shape["layers"],
            "num_attention_heads": shape["heads"],
            "num_key_value_heads": shape["kv_heads"],
            "intermediate_size": shape["intermediate"],
            "max_position_embeddings": run["sequence"],
        }
    else:
        config |= {
            "n_embd": shape["hidden"],
            "n_layer": shape["layers"],
            "n_head": shape["heads"],
            "n_positions": run["sequence"],
        }
    return read_config(config, run["name"])


def batch_tokens(run: dict[str, Any]) -> float:
    """Return the tokens of one optimizer step."""
    return float(run.get("batch_tokens") or run["batch"] * run["sequence"])


def spec_of(run: dict[str, Any]) -> dict[str, Any]:
    """Return the spec that replays a run."""
    per_node = run.get("gpus_per_node", 8)
    return {
        "name": "replay",
        "model": "replayed",
        "workload": {
            "kind": "finetuning" if "method" in run else "training",
            "method": run.get("method", "full"),
            "tokens": run.get("tokens", 1e11),
            "sequence_length": run["sequence"],
            "global_batch_tokens": batch_tokens(run),
            "deadline_days": 3650,
            "flash_attention": run["flash"],
            "flash_attention_version": run.get("flash_version"),
            "gradient_precision": run.get("gradients", "fp32"),
            "software": run.get("software", {}),
        },
        "precision": {"weights": run.get("precision", "bf16")},
        "pin": {
            "node": {"gpu": run["gpu"], "gpus": per_node, "nic_gbit_per_s": run["nic_gbit_per_s"]},
            "nodes": run["gpus"] // per_node,
            "layout": run["layout"],
        },
    }


def measured_gpu_s(run: dict[str, Any], model: ModelArchitecture) -> float:
    """Return the measured GPU-seconds per token."""
    measured = run["measured"]
    if "tokens_per_s_per_gpu" in measured:
        return 1 / float(measured["tokens_per_s_per_gpu"])
    if "step_s" in measured:
        return float(measured["step_s"] * run["gpus"] / batch_tokens(run))
    if "gpu_hours" in measured:
        return float(measured["gpu_hours"] * 3600 / run["tokens"])
    hidden, layers, length = model.hidden_size, model.layer_count, run["sequence"]
    if run["convention"] == "model":
        flops = 6 * (model.active_parameters - model.embedding_parameters) + 6 * layers * hidden * length
    else:
        # Narayanan et al. 2021 (arXiv 2104.04473), equation 2: 96, or 72 where recomputed work is not counted.
        factor = 96 if run["convention"] == "megatron-full" else 72
        flops = factor * layers * hidden**2 * (1 + length / (6 * hidden) + model.vocab_size / (16 * layers * hidden))
    return float(flops / (measured["tflops"] * 1e12))


def replay(run: dict[str, Any]) -> Replay:
    """Plan one run and compare it with the published figures."""
    model, catalog = architecture(run), Catalog.load()
    decided = plan(read_spec(spec_of(run), run["name"]), model, catalog)
    performance, memory = decided.performance, decided.memory_per_gpu
    if not isinstance(performance, TrainingPerformance):
        raise TypeError(f"{run['name']} was planned as {performance.kind}")
    ours_s = 1 / performance.tokens_per_s_per_gpu
    if "gpu_hours" in run["measured"]:
        ours_s /= performance.goodput
    return Replay(
        run=run,
        kind=(catalog.gpu(run["gpu"]).generation, run.get("precision", "bf16")),
        measured_s=measured_gpu_s(run, model),
        ours_s=ours_s,
        performance=performance,
        layout=decided.choice.layout,
        memory_share=memory.total_bytes / memory.capacity_bytes,
    )


def left_out_error(one: Replay, replays: Sequence[Replay]) -> float | None:
    """Return the error with a rate refitted on the other families; None if these have too few runs."""
    others = [r for r in replays if r.kind == one.kind and r.run["family"] != one.run["family"]]
    return one.error_at(refitted(others)) if len(others) >= FEWEST else None


def refitted(replays: Sequence[Replay]) -> float:
    """Return the factor on the calibrated rate that makes the median error of some runs zero, by bisection."""
    low, high = 0.5, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        if statistics.median(one.error_at(middle) for one in replays) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def summary(errors: Sequence[float]) -> str:
    """Return median and 90th percentile of the absolute errors, and the share within 20 %."""
    sizes = sorted(abs(error) for error in errors)
    ninetieth = sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]
    within = sum(size <= 0.2 for size in sizes) / len(sizes)
    return f"median {statistics.median(sizes):.1%}, p90 {ninetieth:.1%}, {within:.0%} within 20 %, {len(sizes)} runs"


def layout_words(layout: Layout) -> str:
    """Return a layout as the text of a table cell."""
    words = [layout.short_name]
    if layout.pipeline > 1:
        words.append(layout.schedule + (f" {layout.virtual_stages}" if layout.virtual_stages > 1 else ""))
    words += [f"mb{layout.micro_batch}", f"ZeRO-{layout.zero_stage}"]
    return " ".join(words + ([layout.recompute] if layout.recompute != "none" else []))


def _print_families(replays: Sequence[Replay]) -> None:
    print("| family | runs | median error | its size | within 20 % |\n|---|---:|---:|---:|---:|")
    for family in dict.fromkeys(one.run["family"] for one in replays):
        errors = [one.error for one in replays if one.run["family"] == family]
        sizes = [abs(error) for error in errors]
        within = sum(size <= 0.2 for size in sizes)
        bias, size = statistics.median(errors), statistics.median(sizes)
        print(f"| {family} | {len(errors)} | {bias:+.1%} | {size:.1%} | {within} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--breakdown", action="store_true", help="parts of a step below each run")
    parser.add_argument("--held-out", action="store_true", help="the runs that nothing was calibrated on")
    arguments = parser.parse_args()
    replays = [replay(run) for run in runs(HELD_OUT if arguments.held_out else PUBLISHED)]
    print("| run | GPUs | measured | ours | error | left out | layout, replayed |")
    print("|---|---|---:|---:|---:|---:|---|")
    left_out = []
    for one in replays:
        error = left_out_error(one, replays)
        left_out.append(one.error if error is None else error)
        cells = [
            one.run["name"],
            f"{one.run['gpus']:,} {one.run['gpu']}",
            f"{1 / one.measured_s:,.0f}",
            f"{1 / one.ours_s:,.0f}",
            f"{one.error:+.1%}",
            "-" if error is None else f"{error:+.1%}",
            layout_words(one.layout) + (" (overfull)" if one.memory_share > 1 else ""),
        ]
        print("| " + " | ".join(cells) + " |")
        if arguments.breakdown:
            step_s = one.performance.step_time_s
            print("  ", {name: f"{s / step_s:.1%}" for name, s in one.performance.breakdown_s.items() if s})
    print(f"\nall: {summary([one.error for one in replays])}\n")
    if arguments.held_out:
        _print_families(replays)
        return
    print(f"left out: {summary(left_out)}\n")
    for kind in sorted({one.kind for one in replays}):
        same = [one for one in replays if one.kind == kind]
        print(f"{' '.join(kind)}: {summary([one.error for one in same])}, refitted x {refitted(same):.3f}")


if __name__ == "__main__":
    main()
