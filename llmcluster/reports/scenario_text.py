"""The reports of `llmcluster scenario`: presets of the hardware guide, and how they compare with our plans."""

import textwrap
from collections.abc import Sequence

import yaml
from rich import box
from rich.table import Table

from llmcluster.reports.plan_text import decision
from llmcluster.reports.terminal import terminal
from planner.compare.scenarios import RequirementCheck, ScenarioComparison
from provider_catalog.scenarios import PREFIX, Scenario


def scenario_list(scenarios: Sequence[Scenario]) -> str:
    """Returns name, title and hardware of each scenario, one per line."""
    width = max(len(scenario.name) for scenario in scenarios)
    return "\n".join(f"{scenario.name:<{width}}  {scenario.title}: {_hardware(scenario)}" for scenario in scenarios)


def scenario_spec_file(scenario: Scenario) -> str:
    """Returns the spec of a scenario as YAML, with our interpretation of the guide in a comment above it."""
    reading = "\n".join(f"# {line}" for line in _wrapped(scenario.reading))
    asked = ", ".join(
        f"{key} {value}" for key, value in scenario.requirements.model_dump(exclude_defaults=True).items()
    )
    head = f"# {scenario.title}: {_hardware(scenario)}; required: {asked}\n# Source: {scenario.source}\n{reading}\n"
    return head + yaml.safe_dump(scenario.spec, sort_keys=False)


def print_scenario_comparison(found: ScenarioComparison) -> None:
    """Prints what the guide's hardware achieves, what our plan achieves, and how they differ."""
    console = terminal()
    console.rule(f"[bold]{found.title}[/]", align="left")
    console.print(f"{found.source}. {found.reading}", highlight=False)
    console.print(f"[bold]guide[/]     {decision(found.replay)}", highlight=False, soft_wrap=True)
    console.print(f"[bold]our plan[/]  {decision(found.ours)}", highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("requirement", "required", "guide's hardware", "", "our plan", ""):
        table.add_column(column)
    for check in found.checks:
        table.add_row(*_row(check))
    console.print(table)
    for sentence in found.verdict:
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)
    console.print(f"Plan it: llmcluster plan {PREFIX}{found.name}", highlight=False)


def _row(check: RequirementCheck) -> tuple[str, ...]:
    mark = {True: "[green]met[/]", False: "[red]missed[/]", None: "unknown"}
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
    return textwrap.wrap(" ".join(text.split()), 110)
