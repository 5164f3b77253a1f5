"""`llmcluster models`: the models that the catalog knows by name."""

import click

from llmcluster.commands.options import json_option
from llmcluster.errors import exit_codes


@click.command(short_help="List the models that are known by name.")
@click.argument("text", default="", metavar="[FILTER]")
@json_option
def models(text: str, as_json: bool) -> None:
    """List the presets whose name holds FILTER, with their size and licence. A config.json works without a preset."""
    with exit_codes(as_json):
        import json

        from llmcluster.reports.model_listing import known_models, print_models

        rows = known_models(text)
        if as_json:
            click.echo(json.dumps(rows, indent=2))
        else:
            print_models(rows)
