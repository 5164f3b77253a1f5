"""The compute stack: the foundation, then the nodes in the form that the orchestrator needs."""

from collections.abc import Callable, Mapping
from typing import Final

from cdktf import App, TerraformStack

from cdk.aws.interfaces import Interface
from planner.plan.plan import Plan
from planner.spec import Orchestrator
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import InstanceType
from stacks.aws.base import add_outputs, new_stack
from stacks.aws.checks import add_checks
from stacks.aws.foundation import BuiltNodes, Foundation, add_foundation
from stacks.aws.kubernetes import kubernetes_nodes
from stacks.aws.monitoring import add_alarms
from stacks.aws.plain import plain_nodes
from stacks.aws.slurm import slurm_nodes
from stacks.clouds import BuiltStack

NodeBuilder = Callable[[TerraformStack, Plan, InstanceType, tuple[Interface, ...], Foundation], BuiltNodes]

NODE_BUILDERS: Final[Mapping[Orchestrator, NodeBuilder]] = {
    "none": plain_nodes,
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
    add_checks(stack, plan, catalog)
    foundation = add_foundation(
        stack,
        plan,
        catalog,
        catalog.collectives(instance_type),
        network_stack,
        storage_stack,
        _lustre_efa_interfaces(plan, catalog, instance_type),
    )
    nodes = NODE_BUILDERS[plan.spec.orchestrator](stack, plan, instance_type, node_interfaces, foundation)
    add_outputs(stack, {"node_security_group_id": (foundation.security.group.id, "Security group of the nodes")})
    return BuiltStack("compute", stack, nodes.addresses | add_alarms(stack, plan, foundation), nodes.files)


def _lustre_efa_interfaces(plan: Plan, catalog: Catalog, instance_type: InstanceType) -> int:
    """Return the EFA interfaces through which a node reaches the shared file system; 0 where it uses TCP."""
    clients = catalog.provider_defaults("aws").efa_clients
    if not plan.spec.storage.lustre.efa or clients is None:
        return 0
    return clients.interfaces_of(instance_type.name, instance_type.rdma_cards)
