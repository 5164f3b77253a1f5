"""Comparison of parameter counts with published ones, as the Markdown tables of docs/sizing.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import ROOT
from provider_catalog.models import load_model

PUBLISHED = ROOT / "tests" / "data" / "model_totals.yaml"
WORST = 5


def main() -> None:
    """Print both tables and the worst of each."""
    published = read(PUBLISHED)
    totals = [(row["model"], row["total"], load_model(row["model"]).total_parameters) for row in published["totals"]]
    active = [
        (row["model"], row["billions"] * 1e9, load_model(row["model"]).active_parameters) for row in published["active"]
    ]
    print_markdown("published", totals, digits=3)
    print_markdown("published active", active, digits=1)


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the published figures."""
    document: dict[str, list[dict[str, Any]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def print_markdown(heading: str, rows: Sequence[tuple[str, float, float]], *, digits: int) -> None:
    """Print a table of model, published figure, our figure and error, and the worst rows below it."""
    print(f"| model | {heading} | ours | error |\n|---|---:|---:|---:|")
    for model, published, ours in rows:
        print(f"| {model} | {published:,.0f} | {ours:,} | {ours / published - 1:+.{digits}%} |")
    worst = sorted(rows, key=lambda row: -abs(row[2] / row[1] - 1))[:WORST]
    print("\nworst: " + ", ".join(f"{model} {ours / published - 1:+.{digits}%}" for model, published, ours in worst))
    print()


if __name__ == "__main__":
    main()
