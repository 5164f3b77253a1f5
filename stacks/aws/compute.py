"""The compute stack: the groundwork, and on it the nodes as the orchestrator wants them."""

from collections.abc import Callable, Mapping
from typing import Final

from cdktf import App, TerraformStack

from cdk.aws.interfaces import Interface
from planner.plan import Plan
from planner.spec import Orchestrator
from provider_catalog.hardware import InstanceType
from stacks.aws.bare import bare_nodes
from stacks.aws.base import add_outputs, new_stack
from stacks.aws.groundwork import Groundwork, lay
from stacks.clouds import BuiltStack

Builder = Callable[[TerraformStack, Plan, InstanceType, tuple[Interface, ...], Groundwork], dict[str, str]]

BUILDERS: Final[Mapping[Orchestrator, Builder]] = {"none": bare_nodes}


def compute_stack(
    app: App,
    plan: Plan,
    instance_type: InstanceType,
    node_interfaces: tuple[Interface, ...],
    network_stack: TerraformStack,
    storage_stack: TerraformStack,
) -> BuiltStack:
    """Adds the nodes of `plan` to `app`."""
    stack = new_stack(app, plan, "compute")
    ground = lay(stack, plan, network_stack, storage_stack)
    addresses = BUILDERS[plan.spec.orchestrator](stack, plan, instance_type, node_interfaces, ground)
    add_outputs(stack, {"node_security_group_id": (ground.security.group.id, "Security group of the nodes")})
    if ground.block:
        add_outputs(
            stack,
            {
                "capacity_block_id": (
                    ground.held["capacity_block"].reservation_id,
                    "Capacity Block of the nodes; write it into the spec as capacity.block.reservation_id once bought",
                )
            },
        )
    return BuiltStack("compute", stack, addresses)
