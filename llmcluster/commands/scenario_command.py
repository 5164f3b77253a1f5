"""`llmcluster scenario`: presets of the hardware guide, shown and checked."""

import click

from llmcluster.commands.options import json_option
from llmcluster.errors import exit_codes


@click.group(short_help="List, print and check the guide's scenarios.")
def scenario() -> None:
    """List, print and check the hardware guide's scenarios: chat, batch generation, continued training."""


@scenario.command("list")
def list_scenarios() -> None:
    """List the scenarios and the hardware that the guide names for each."""
    with exit_codes():
        from llmcluster.reports.scenario_text import scenario_list
        from provider_catalog.catalog import Catalog
        from provider_catalog.scenarios import load_scenario, scenario_names

        folder = Catalog.load().folder
        click.echo(scenario_list([load_scenario(folder, name) for name in scenario_names(folder)]))


@scenario.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print the spec of scenario NAME, to be saved and changed. `plan scenario:NAME` plans it unchanged."""
    with exit_codes():
        from llmcluster.reports.scenario_text import scenario_spec_file
        from provider_catalog.catalog import Catalog
        from provider_catalog.scenarios import load_scenario

        click.echo(scenario_spec_file(load_scenario(Catalog.load().folder, name)), nl=False)


@scenario.command("judge")
@click.argument("name")
@json_option
def judge(name: str, as_json: bool) -> None:
    """Replay the guide's hardware for scenario NAME, check its requirements, and compare it with our own plan."""
    with exit_codes():
        from llmcluster.reports.scenario_text import print_scenario_comparison
        from planner.compare.scenarios import compare_with_guide, scenario_spec
        from provider_catalog.catalog import Catalog
        from provider_catalog.models import load_model
        from provider_catalog.scenarios import load_scenario

        catalog = Catalog.load()
        found = load_scenario(catalog.folder, name)
        model = scenario_spec(found).model
        architecture = load_model(model if isinstance(model, str) else model.model_dump())
        judgement = compare_with_guide(found, architecture, catalog)
        if as_json:
            click.echo(judgement.model_dump_json(indent=2))
        else:
            print_scenario_comparison(judgement)
