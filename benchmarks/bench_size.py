"""Sizing a model: the function in process, and `llmcluster size` as a command, interpreter start included."""

import statistics
import sys

from benchmarks.timing import ROOT, call_s, command_s, print_table
from llmcluster.reports.model_size import model_size
from planner.sizing import weights
from provider_catalog.models import load_model

MODELS = (
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V4-Pro",
    "meta-llama/Llama-3.1-405B",
    "google/gemma-4-26B-A4B",
    "nvidia/Nemotron-H-56B-Base-8K",
)
CONFIG = "provider_catalog/data/models/deepseek-ai--DeepSeek-R1.json"
RUNS = 15


def main() -> None:
    """Time both and print the tables."""
    print("model_size(), nothing cached: target under 1 ms")
    for name in MODELS:
        print(f"  {name:<32} {statistics.median(function_s(name)) * 1e3:.3f} ms")
    size = [sys.executable, "-m", "llmcluster", "size"]
    commands = {
        "size <config.json> --json": [*size, str(ROOT / CONFIG), "--json"],
        "size <preset> --json": [*size, MODELS[0], "--json"],
        "size <preset>, with the GPU table": [*size, MODELS[0]],
        "size <preset> --guide": [*size, MODELS[0], "--guide"],
        "python -c 'import click'": [sys.executable, "-c", "import click"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    rows: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            rows[name].append(command_s(command))
    print_table("llmcluster size, whole process", rows, target_s=0.3)


def function_s(name: str) -> list[float]:
    """Return the seconds of each of 50 calls; the cache of weights is cleared before each."""
    architecture = load_model(name)

    def size() -> None:
        weights._fullest_gpu_bytes.cache_clear()
        model_size(architecture)

    return call_s(size, 50)


if __name__ == "__main__":
    main()
