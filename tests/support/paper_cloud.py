"""Clouds without a provider, for tests of what every cloud's stacks go through."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final

from cdktf import App, DataResource, TerraformLocal, TerraformOutput, TerraformStack

from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from stacks import clouds
from stacks.app import SynthesizedStack, write_stacks
from stacks.clouds import BuiltStack, stack_id
from stacks.state import remote_state, set_backend
from tests.support.plans import example_plan, planned_spec

SCRIPT: Final = "#!/bin/bash\necho \"$HOME\" | sed 's/\\(.*\\)/<\\1>/'\n"


class PaperCloud:
    """Two stacks of what Terraform has built in, so that it needs no provider to apply them."""

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Add a network stack, and a compute stack that reads its output."""
        network = TerraformStack(app, stack_id(plan, "network"))
        set_backend(network, plan)
        address = DataResource(network, "address", input={"dns": "fs-1.example.com"})
        TerraformOutput(network, "file_system", value=address.output, description="Address of the file system")
        compute = TerraformStack(app, stack_id(plan, "compute"))
        set_backend(compute, plan)
        dns = remote_state(compute, network, plan).get_string("file_system.dns")
        text = TerraformLocal(compute, "user_data", f'{SCRIPT}mount "{dns}"\n')
        nodes = DataResource(compute, "nodes", input={"text": text.as_string, "regex": '\\d "q"', "ids": ["a", "b"]})
        nodes.add_override("depends_on", ["data.terraform_remote_state.network"])
        TerraformOutput(compute, "given", value=nodes.output, description="What the nodes were given")
        return (
            BuiltStack("network", network),
            BuiltStack("compute", compute, {"compute_on_demand": "terraform_data.nodes"}),
        )


class BrokenCloud:
    """Fails after its first stack."""

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Add a network stack and raise SpecError."""
        TerraformStack(app, stack_id(plan, "network"))
        raise SpecError("placement.zone: no such zone")


CLOUDS: Final = {
    "aws": "stacks.aws:AwsCluster",
    "azure": "stacks.azure:AzureCluster",
    "paper": f"{__name__}:PaperCloud",
    "broken": f"{__name__}:BrokenCloud",
}


def every_cloud() -> dict[str, EntryPoint]:
    """Return the entry points of the project and of this module, as if all were installed."""
    return {name: EntryPoint(name, value, clouds.ENTRY_POINT_GROUP) for name, value in CLOUDS.items()}


def on(cloud: str, **fields: Any) -> Plan:
    """Return the example plan, moved to another cloud."""
    plan = example_plan(**fields)
    return plan.model_copy(update={"choice": plan.choice.model_copy(update={"provider": cloud})})


def write(plan: Plan, folder: Path, *, hcl: bool = False) -> list[SynthesizedStack]:
    """Write the stacks of a plan below `folder`/cdktf.out, and with `hcl` below `folder`/hcl.out too."""
    planned = [planned_spec(plan)]
    return write_stacks(planned, folder / "cdktf.out", folder / "hcl.out" if hcl else None)
