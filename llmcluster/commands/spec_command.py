"""`llmcluster spec`: the format of spec files."""

from pathlib import Path

import click

from llmcluster.commands.options import SPEC_FILE, json_option
from llmcluster.errors import exit_codes


@click.group()
def spec() -> None:
    """Check spec files and describe their format."""


@spec.command()
def schema() -> None:
    """Print the JSON Schema of a spec, with which editors complete and check it."""
    with exit_codes():
        import json

        from planner.spec import ClusterSpec

        click.echo(json.dumps(ClusterSpec.model_json_schema(), indent=2))


@spec.command()
@click.argument("specs", type=SPEC_FILE, nargs=-1, required=True)
def validate(specs: tuple[Path, ...]) -> None:
    """Check SPECS without planning them: every field, the model, and the files that they name."""
    from planner.errors import SpecError

    with exit_codes():
        from planner.workspace.specs import load_spec

        failures = []
        for path in specs:
            try:
                loaded = load_spec(path)
            except SpecError as error:
                failures.append(str(error))
            else:
                click.echo(f"{path}: valid; {loaded.spec.workload.kind} of {loaded.architecture.name}")
        if failures:
            raise SpecError("\n".join(failures))


@spec.command()
@click.argument("field")
@json_option
def explain(field: str, as_json: bool) -> None:
    """Print what FIELD means, what it takes and what holds without it, such as workload.slo.ttft_ms."""
    with exit_codes(as_json):
        from llmcluster.reports.spec_reference import as_data, explain_fields
        from planner.spec.fields import fields_at

        found = fields_at(field)
        if as_json:
            import json

            click.echo(json.dumps([as_data(each) for each in found], indent=2))
        else:
            explain_fields(found)


@spec.command()
def reference() -> None:
    """Print a page with all fields as Markdown; docs/spec-reference.md is this page."""
    with exit_codes():
        from llmcluster.reports.spec_reference import reference_page

        click.echo(reference_page(), nl=False)
