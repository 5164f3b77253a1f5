"""`llmcluster scenario`: presets of the hardware guide, shown and judged."""

import yaml
from rich import box
from rich.table import Table

from llmcluster.report import decision
from llmcluster.terminal import terminal
from planner.compare.scenarios import RequirementCheck, ScenarioComparison, compare_with_guide, scenario_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.scenarios import PREFIX, Scenario, load_scenario, scenario_names


def scenarios_listed() -> str:
    """Names and titles, one a line."""
    folder = Catalog.load().folder
    found = [load_scenario(folder, name) for name in scenario_names(folder)]
    width = max(len(scenario.name) for scenario in found)
    return "\n".join(f"{scenario.name:<{width}}  {scenario.title}: {_hardware(scenario)}" for scenario in found)


def scenario_shown(name: str) -> str:
    """The scenario's spec as a file one can save and change, with its reading above it."""
    scenario = load_scenario(Catalog.load().folder, name)
    reading = "\n".join(f"# {line}" for line in _wrapped(scenario.reading))
    asked = ", ".join(
        f"{key} {value}" for key, value in scenario.requirements.model_dump(exclude_defaults=True).items()
    )
    head = f"# {scenario.title}: {_hardware(scenario)}; asked: {asked}\n# Source: {scenario.source}\n{reading}\n"
    return head + yaml.safe_dump(scenario.spec, sort_keys=False)


def judgement(name: str) -> ScenarioComparison:
    """Replay, search and comparison.

    Raises:
        CatalogError: no such scenario.
        InfeasibleError: one of the two plans does not exist.
    """
    catalog = Catalog.load()
    scenario = load_scenario(catalog.folder, name)
    model = scenario_spec(scenario).model
    architecture = load_model(model if isinstance(model, str) else model.model_dump())
    return compare_with_guide(scenario, architecture, catalog)


def print_judgement(found: ScenarioComparison) -> None:
    """Print what the guide's hardware does, what ours does, and how they differ."""
    console = terminal()
    console.rule(f"[bold]{found.title}[/]", align="left")
    console.print(f"{found.source}. {found.reading}", highlight=False)
    console.print(f"[bold]guide[/]   {decision(found.replay)}", highlight=False, soft_wrap=True)
    console.print(f"[bold]ours[/]    {decision(found.ours)}", highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("requirement", "asked", "guide's hardware", "", "ours", ""):
        table.add_column(column)
    for check in found.checks:
        table.add_row(*_row(check))
    console.print(table)
    for sentence in found.verdict:
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)
    console.print(f"Plan and synthesize it: llmcluster plan {PREFIX}{found.name}", highlight=False)


def _row(check: RequirementCheck) -> tuple[str, ...]:
    mark = {True: "[green]holds[/]", False: "[red]missed[/]", None: "unknown"}
    return (
        check.requirement,
        check.asked,
        check.replayed,
        mark[check.replay_holds],
        check.ours,
        mark[check.ours_holds],
    )


def _hardware(scenario: Scenario) -> str:
    return f"{scenario.hardware.gpus} x {scenario.hardware.gpu}"


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(" ".join(text.split()), 110)
