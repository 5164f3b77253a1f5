"""`llmcluster init`: a first spec from five answers."""

import sys
from pathlib import Path
from typing import Any

import click

from llmcluster.errors import exit_codes

TASKS = ("serve", "train", "finetune")


@click.command(short_help="Write a first spec from five answers.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--model", help="Preset, config.json or size such as 65B; `llmcluster models` lists the presets.")
@click.option("--task", type=click.Choice(TASKS), help="What the cluster does with the model.")
@click.option("--users", type=click.IntRange(min=1), help="serve: users at peak.")
@click.option(
    "--requests-per-user-per-hour", type=click.FloatRange(min=0, min_open=True), help="serve: requests of one user."
)
@click.option("--tokens", help="train, finetune: tokens to train on, such as 1T or 20B.")
@click.option("--deadline-days", type=click.FloatRange(min=0, min_open=True), help="train, finetune: days until then.")
@click.option("--cloud", type=click.Choice(["aws", "azure"]), help="Cloud to buy from.")
@click.option("--region", help="Region of that cloud.  [default: the cloud's default region]")
@click.option("--orchestrator", type=click.Choice(["none", "kubernetes", "slurm"]), help="What starts the jobs.")
@click.option("--name", help="Name of the cluster.  [default: from the model and the task]")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def init(file: Path | None, force: bool, **given: Any) -> None:
    """Write FILE, a commented spec, and beside it the JSON Schema with which editors complete it.

    Questions that no option answers are asked in a terminal. Elsewhere they are an error.
    """
    from planner.errors import SpecError

    with exit_codes():
        from planner.workspace.first_spec import SCHEMA_FILE, FirstSpec, questions

        answers = {key: value for key, value in given.items() if value is not None}
        for question in questions(answers):
            if not sys.stdin.isatty():
                raise SpecError(f"init: --{question.option} is missing; {question.text}")
            answers[question.key] = click.prompt(
                question.text,
                default=question.default,
                type=click.Choice(question.choices) if question.choices else str,
            )
        first = FirstSpec.of(answers)
        path = file or Path(f"{first.name}.yaml")
        if path.exists() and not force:
            raise SpecError(f"{path} exists; name another file, or give --force to replace it")
        first.write(path)
        click.echo(f"wrote {path} and {path.parent / SCHEMA_FILE}\nnext: llmcluster plan {path}")
