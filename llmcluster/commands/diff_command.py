"""`llmcluster diff`: what changed between two plans."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmcluster.commands.options import prices_option
from llmcluster.errors import exit_codes

if TYPE_CHECKING:
    from planner.compare.plan_diff import PlanDiff
    from planner.plan.plan import Plan

PLAN_FILE = "plan.json"
NAMES_SHOWN = 5


@click.command(short_help="Print what changed between two plans, cost first.")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "form", flag_value="json", help="Print JSON instead of text.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown for a pull request.")
@prices_option
def diff(old: Path, new: Path, form: str | None, prices: Path | None) -> None:
    """Print what changed from OLD to NEW: the cost first, then the decision and the reasons.

    OLD and NEW are each a spec, a locked plan, or an output folder of synth. A locked plan is not planned again.
    """
    with exit_codes():
        from llmcluster.reports.diff_text import print_diffs

        print_diffs(list(_diffs(_plans_at(old, prices), _plans_at(new, prices), old, new)), form or "text")


def _plans_at(path: Path, prices: Path | None) -> "dict[str, Plan]":
    """Returns the plans of a spec, a lock or an output folder, by name of the cluster.

    Raises:
        SpecError: the path holds no plan.
    """
    from planner.errors import SpecError
    from planner.workspace.locks import LOCK_SUFFIX, read_plan
    from planner.workspace.planning import plan_specs
    from provider_catalog.catalog import Catalog

    if path.is_dir():
        plans = [read_plan(file) for file in sorted(path.rglob(PLAN_FILE))]
        if not plans:
            raise SpecError(
                f"{path}: holds no {PLAN_FILE}; name an output folder of synth, a spec or a {LOCK_SUFFIX} file"
            )
    elif path.suffix == ".json":
        plans = [read_plan(path)]
    else:
        plans = [plan_specs([path], Catalog.load(), prices)[0].plan]
    return {plan.name: plan for plan in plans}


def _diffs(before: "dict[str, Plan]", after: "dict[str, Plan]", old: Path, new: Path) -> "Iterator[PlanDiff]":
    """Yields the clusters of both sides by name, then those of one side alone.

    Raises:
        SpecError: the two sides have no cluster in common.
    """
    from planner.compare.plan_diff import cluster_added, cluster_removed
    from planner.errors import SpecError

    if len(before) == len(after) == 1:
        # Two versions of one cluster may bear different names.
        yield _diff(next(iter(before.values())), next(iter(after.values())))
        return
    if not before.keys() & after.keys():
        raise SpecError(f"{old} and {new} have no cluster in common: {_some(before)} against {_some(after)}")
    yield from (_diff(plan, after[name]) for name, plan in before.items() if name in after)
    yield from (cluster_added(plan) for name, plan in after.items() if name not in before)
    yield from (cluster_removed(plan) for name, plan in before.items() if name not in after)


def _diff(old: "Plan", new: "Plan") -> "PlanDiff":
    from planner.compare.plan_diff import diff_plans
    from stacks.changes import effects

    found = diff_plans(old, new)
    return found.model_copy(update={"effects": effects(found, old, new)})


def _some(plans: "dict[str, Plan]") -> str:
    names = list(plans)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
