"""`llmcluster preflight`: whether an account can hold a plan, before money is spent."""

import json
import sys
from pathlib import Path

import click

from llmcluster.commands.options import SPEC_FILE, json_option, prices_option
from llmcluster.errors import exit_codes

FAILED_EXIT_CODE = 4


@click.command(short_help="Check with your credentials what a plan needs of the account.")
@click.argument("spec", type=SPEC_FILE)
@click.option("--policy", is_flag=True, help="Print the least policy or role that the checks need, and check nothing.")
@json_option
@prices_option
def preflight(spec: Path, policy: bool, as_json: bool, prices: Path | None) -> None:
    """Check what the plan of SPEC needs of your account: region, zone, quotas, capacity, images, state.

    Every call only reads. The exit code is 4 if a check fails; a check that is not permitted is a warning.
    """
    with exit_codes(as_json):
        from llmcluster.preflight_needs import wanted_of
        from llmcluster.reports.preflight_text import print_checks
        from planner.workspace.planning import plan_specs
        from provider_catalog.catalog import Catalog
        from provider_catalog.live.live_source import Limits
        from provider_catalog.live.preflight_clouds import preflight_of

        (planned,) = plan_specs([spec], Catalog.load(), prices)
        cloud = preflight_of(planned.plan.choice.provider)
        if policy:
            click.echo(json.dumps(cloud.policy(), indent=2))
            return
        checks = cloud.run(wanted_of(planned.plan, planned.catalog, cloud.image_parameter), Limits())
        print_checks(planned.plan, checks, as_json=as_json)
        if any(check.state == "fail" for check in checks):
            sys.exit(FAILED_EXIT_CODE)
