"""Registry of the commands. Each command imports what it needs when it runs, so that `--help` is instant."""

import click

from llmcluster.commands.bootstrap_state_command import bootstrap_state
from llmcluster.commands.catalog_command import catalog
from llmcluster.commands.compare_command import compare
from llmcluster.commands.cost_command import cost
from llmcluster.commands.demo_command import demo
from llmcluster.commands.diff_command import diff
from llmcluster.commands.init_command import init
from llmcluster.commands.launch_command import launch
from llmcluster.commands.mix_command import mix
from llmcluster.commands.models_command import models
from llmcluster.commands.plan_command import plan
from llmcluster.commands.preflight_command import preflight
from llmcluster.commands.scenario_command import scenario
from llmcluster.commands.size_command import size
from llmcluster.commands.spec_command import spec
from llmcluster.commands.synth_command import synth


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="llmcluster", prog_name="llmcluster")
def cli() -> None:
    """Turn a large language model and a workload into reviewed Terraform and a bill, on AWS and Azure."""


for command in (
    init,
    models,
    plan,
    preflight,
    synth,
    bootstrap_state,
    demo,
    size,
    cost,
    mix,
    diff,
    compare,
    launch,
    scenario,
    spec,
    catalog,
):
    cli.add_command(command)
