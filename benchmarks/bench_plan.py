"""Planning each example in process: the first call of all also loads the catalog's tables."""

from pathlib import Path

from benchmarks.timing import ROOT, call_s, print_table
from planner.optimizer import plan
from provider_catalog.catalog import Catalog
from stacks.specs import load_spec


def main() -> None:
    """Time it and print the table."""
    rows = {path.stem: plan_s(path) for path in sorted((ROOT / "clusters").glob("*.yaml"))}
    print_table("Planning, in process", rows, target_s=0.5)


def plan_s(path: Path) -> list[float]:
    """Plan one spec five times; seconds each, without reading the spec."""
    loaded = load_spec(path)
    return call_s(lambda: plan(loaded.spec, loaded.architecture, Catalog.load()), 5)


if __name__ == "__main__":
    main()
