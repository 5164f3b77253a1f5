"""`llmcluster spec`: the format of spec files."""

import click

from llmcluster.errors import exit_codes


@click.group()
def spec() -> None:
    """Describe the format of spec files."""


@spec.command()
def schema() -> None:
    """Print the JSON Schema of a spec, with which editors complete and check it."""
    with exit_codes():
        import json

        from planner.spec import ClusterSpec

        click.echo(json.dumps(ClusterSpec.model_json_schema(), indent=2))
