"""The compute stack: the groundwork, and on it the nodes as the orchestrator wants them."""

from collections.abc import Callable, Mapping
from typing import Final

from cdktf import App, TerraformStack

from cdk.aws.interfaces import Interface
from planner.plan.plan import Plan
from planner.spec import Orchestrator
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import InstanceType
from stacks.aws.bare import bare_nodes
from stacks.aws.base import add_outputs, new_stack
from stacks.aws.groundwork import Groundwork, Nodes, lay
from stacks.aws.kubernetes import kubernetes_nodes
from stacks.aws.slurm import slurm_nodes
from stacks.aws.watch import watch
from stacks.clouds import BuiltStack

Builder = Callable[[TerraformStack, Plan, InstanceType, tuple[Interface, ...], Groundwork], Nodes]

BUILDERS: Final[Mapping[Orchestrator, Builder]] = {
    "none": bare_nodes,
    "kubernetes": kubernetes_nodes,
    "slurm": slurm_nodes,
}


def compute_stack(
    app: App,
    plan: Plan,
    catalog: Catalog,
    instance_type: InstanceType,
    node_interfaces: tuple[Interface, ...],
    network_stack: TerraformStack,
    storage_stack: TerraformStack,
) -> BuiltStack:
    """Adds the nodes of `plan` to `app`."""
    stack = new_stack(app, plan, "compute")
    orchestrator = catalog.provider_defaults("aws").orchestrators[plan.spec.orchestrator]
    ground = lay(stack, plan, orchestrator, catalog.collectives(instance_type), network_stack, storage_stack)
    nodes = BUILDERS[plan.spec.orchestrator](stack, plan, instance_type, node_interfaces, ground)
    add_outputs(stack, {"node_security_group_id": (ground.security.group.id, "Security group of the nodes")})
    return BuiltStack("compute", stack, nodes.addresses | watch(stack, plan, ground), nodes.files)
