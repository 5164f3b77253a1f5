"""`llmcluster plan`: which cluster carries a workload."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmcluster.commands.options import SPEC_FILE, Money, json_option, prices_option
from llmcluster.errors import exit_codes
from llmcluster.price_age import max_price_age_option, recent, refuse_old_prices

if TYPE_CHECKING:
    from planner.spec import Budget, ClusterSpec


@click.command(short_help="Decide which cluster carries a workload.")
@click.argument("spec", type=SPEC_FILE)
@json_option
@click.option("--detail", is_flag=True, help="Print everything: memory, queueing, bill, rejections and notes.")
@click.option("--lock", is_flag=True, help="Save the plan beside the spec; synth then reproduces it byte for byte.")
@click.option(
    "--max-usd-per-month", type=Money(), help="Refuse plans above this amount; exit 3 and show the closest plan."
)
@click.option(
    "--max-usd-per-run", type=Money(), help="The same limit for a whole training run, or for one update of it."
)
@max_price_age_option
@prices_option
def plan(
    spec: Path,
    as_json: bool,
    detail: bool,
    lock: bool,
    max_usd_per_month: float | None,
    max_usd_per_run: float | None,
    max_price_age: int | None,
    prices: Path | None,
) -> None:
    """Decide which cluster carries the workload of SPEC: size, layout, purchase mix, cost, alternatives."""
    with exit_codes(as_json):
        from llmcluster.reports.date_warnings import warn_of_dates
        from planner.relax.decide import decide
        from planner.workspace.locks import plan_json, write_lock
        from planner.workspace.specs import load_spec, priced_catalog
        from provider_catalog.catalog import Catalog

        if lock:
            _refuse_scenario(spec)
        loaded = load_spec(spec)
        catalog = priced_catalog(recent(Catalog.load(), max_price_age), loaded, prices)
        within = _bounds(loaded.spec, max_usd_per_month, max_usd_per_run)
        decided, nearest = decide(loaded.spec, loaded.architecture, catalog, within)
        refuse_old_prices(decided, catalog)
        changes = tuple(found.change for found in nearest)
        warn_of_dates(decided)
        if as_json:
            click.echo(plan_json(decided), nl=False)
        elif detail:
            from llmcluster.reports.plan_text import print_plan

            print_plan(decided, changes)
        else:
            from llmcluster.reports.plan_screen import print_plan_screen
            from planner.relax.cheaper import cheaper_plans

            proposals = cheaper_plans(decided, loaded.architecture, catalog, within)
            print_plan_screen(decided, catalog, spec, proposals, changes)
        if lock:
            click.echo(f"plan locked in {write_lock(decided, spec)}", err=True)


def _bounds(spec: "ClusterSpec", usd_per_month: float | None, usd_per_run: float | None) -> "Budget | None":
    """Bounds given on the command line; None without.

    Raises:
        SpecError: a bound for the run of a workload without end.
    """
    from planner.errors import SpecError
    from planner.spec import Budget

    if usd_per_run is not None and spec.workload.kind == "inference":
        raise SpecError(
            f"--max-usd-per-run is {usd_per_run:g}, but workload.kind is inference, which has no end; use"
            " --max-usd-per-month"
        )
    if usd_per_month is None and usd_per_run is None:
        return None
    return Budget(usd_per_month=usd_per_month, usd_per_run=usd_per_run)


def _refuse_scenario(spec: Path) -> None:
    """Refuses to lock what is no file.

    Raises:
        SpecError: the spec is a named scenario.
    """
    from planner.errors import SpecError
    from provider_catalog.scenarios import PREFIX

    name = str(spec)
    if name.startswith(PREFIX):
        raise SpecError(
            f"{name}: a scenario is no file that a lock could lie beside; save it first:"
            f" llmcluster scenario show {name.removeprefix(PREFIX)} > spec.yaml"
        )
