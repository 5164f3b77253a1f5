"""The report of `llmcluster preflight`: a table of checks, each with what was found and what to do."""

import json
from collections.abc import Sequence
from typing import Final

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import plain, terminal
from planner.plan.plan import Plan
from provider_catalog.live.preflight import Check

COLOURS: Final = {"pass": "green", "warn": "yellow", "fail": "red"}


def print_checks(plan: Plan, checks: Sequence[Check], *, as_json: bool) -> None:
    """Prints the checks of a plan, and how many of them did not pass."""
    choice = plan.choice
    if as_json:
        document = {"name": plan.name, "provider": choice.provider, "region": choice.region}
        print(json.dumps({**document, "checks": [check.as_json() for check in checks]}, indent=2))
        return
    screen = terminal()
    rows = [
        (
            check.name,
            f"[{COLOURS[check.state]}]{check.state}[/]",
            plain(screen, check.found + (f" → {check.fix}" if check.fix else "")),
        )
        for check in checks
    ]
    title = f"{plan.name}: {choice.nodes:,} x {choice.instance_type} in {choice.provider} {choice.region}"
    screen.print(report_table(("check", "result", "found, and what to do"), rows, texts=(0, 1, 2), title=title))
    counts = {state: sum(check.state == state for check in checks) for state in COLOURS}
    screen.print(f"{counts['pass']} passed, {counts['warn']} warnings, {counts['fail']} failed", highlight=False)
