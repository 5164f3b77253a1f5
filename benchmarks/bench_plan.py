"""Planning in process: each example, and training searches over many machines and many GPUs."""

import contextlib
import resource
from pathlib import Path
from typing import Any, Final

from benchmarks.timing import ROOT, call_s, print_table
from planner.errors import InfeasibleError
from planner.relax.decide import decide
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from planner.workspace.specs import LoadedSpec, load_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

H100: Final = {"providers": ["aws"], "instance_types": ["p5.48xlarge"], "max_nodes": 2048}
SEARCHES: Final[dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    "175B, all AWS and Azure types, 2,048 nodes": (
        "openai/gpt3-175b",
        {"tokens": 3e11, "sequence_length": 2048, "global_batch_tokens": 2048 * 2048, "deadline_days": 60},
        {},
    ),
    "175B, up to 16,384 H100": (
        "openai/gpt3-175b",
        {"tokens": 1.5e13, "sequence_length": 2048, "global_batch_tokens": 2048 * 2048, "deadline_days": 60},
        H100,
    ),
    "405B, up to 16,384 H100": (
        "meta-llama/Meta-Llama-3.1-405B",
        {"tokens": 15.6e12, "sequence_length": 8192, "global_batch_tokens": 2048 * 8192, "deadline_days": 90},
        H100,
    ),
    "DeepSeek-V3, all AWS types": (
        "deepseek-ai/DeepSeek-V3",
        {"tokens": 1e12, "sequence_length": 4096, "global_batch_tokens": 15360 * 4096, "deadline_days": 60},
        {"providers": ["aws"]},
    ),
    "DeepSeek-V3, up to 16,384 H100": (
        "deepseek-ai/DeepSeek-V3",
        {"tokens": 14.8e12, "sequence_length": 4096, "global_batch_tokens": 15360 * 4096, "deadline_days": 60},
        H100,
    ),
}

REFUSALS: Final[dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    "405B in a day": ("meta-llama/Meta-Llama-3.1-405B", {"tokens": 15e12, "deadline_days": 1}, {}),
    "405B for 1,000 USD a month": (
        "meta-llama/Meta-Llama-3.1-405B",
        {"tokens": 1e12, "deadline_days": 60},
        {"usd_per_month": 1000},
    ),
    "DeepSeek-V3 in a day": ("deepseek-ai/DeepSeek-V3", {"tokens": 14.8e12, "deadline_days": 1}, {}),
    "DeepSeek-V3 for 1,000 USD the run": (
        "deepseek-ai/DeepSeek-V3",
        {"tokens": 1e12, "deadline_days": 60},
        {"usd_per_run": 1000},
    ),
}
"""Over all AWS and Azure types, with the nearest plans."""


def main() -> None:
    """Time the searches and print the tables."""
    rows = {path.stem: plan_s(path) for path in sorted((ROOT / "clusters").glob("*.yaml"))}
    print_table("Planning, in process", rows, target_s=0.5)
    print_table(
        "Training searches, in process", {name: search_s(*search) for name, search in SEARCHES.items()}, target_s=1
    )
    print_table(
        "Refusals with the nearest plans, in process",
        {name: refusal_s(*refused) for name, refused in REFUSALS.items()},
        target_s=3,
    )
    print(
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB, target under 286 (300 MB)"
    )


def plan_s(path: Path) -> list[float]:
    """Return the seconds of each of five plans of one spec, without reading the spec."""
    loaded = load_spec(path)
    return call_s(lambda: plan(loaded.spec, loaded.architecture, Catalog.load()), 5)


def search_s(model: str, workload: dict[str, Any], placement: dict[str, Any]) -> list[float]:
    """Return the seconds of each of three plans of one training run, without reading spec and model."""
    document = {"name": "run", "model": model, "workload": {"kind": "training", **workload}, "placement": placement}
    spec, architecture = read_spec(document, "spec"), load_model(model)
    return call_s(lambda: plan(spec, architecture, Catalog.load()), 3)


def refusal_s(model: str, workload: dict[str, Any], budget: dict[str, Any]) -> list[float]:
    """Return the seconds of each of three refusals of one training run, without reading spec and model."""
    document = {"name": "run", "model": model, "workload": {"kind": "training", **workload}, "budget": budget}
    loaded = LoadedSpec(read_spec(document, "spec"), load_model(model), Path("spec.yaml"))

    def refuse() -> None:
        with contextlib.suppress(InfeasibleError):
            decide(loaded.spec, loaded.architecture, Catalog.load())

    return call_s(refuse, 3)


if __name__ == "__main__":
    main()
