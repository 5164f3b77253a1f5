"""The Azure stacks of a plan as Terraform would read them."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from cdktf import App

from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from stacks.azure import AzureCluster

Documents = dict[str, dict[str, Any]]


def documents(plan: Plan) -> Documents:
    """Return the cdk.tf.json of network, storage and compute, by role."""
    return json.loads(_synthesized(plan.model_dump_json()))  # type: ignore[no-any-return]


def addresses(plan: Plan) -> dict[str, dict[str, str]]:
    """Return Terraform addresses by cost role, for each stack role."""
    return {built.role: built.addresses for built in AzureCluster().build(App(), plan, Catalog.load())}


@cache
def _synthesized(plan_json: str) -> str:
    plan = Plan.model_validate_json(plan_json)
    with tempfile.TemporaryDirectory() as folder:
        app = App(outdir=folder)
        built = AzureCluster().build(app, plan, Catalog.load())
        app.synth()
        read = {
            stack.role: json.loads((Path(folder) / "stacks" / stack.stack.node.id / "cdk.tf.json").read_text())
            for stack in built
        }
    return json.dumps(read)
