"""The compute stack: one scale set for every purchase kind."""

from collections.abc import Mapping

from cdktf import App, TerraformStack

from cdk.azure.compute import NodeConfig, NodeSet, node_sets
from cdk.azure.sizes import VmSize
from cdk.bootstrap import LustreMount, NodeBootstrap, cloud_init
from cdk.naming import address
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.collective_environment import Variable, reasons, values
from provider_catalog.hardware import InstanceType
from provider_catalog.purchase_kinds import TITLES, compute_role
from stacks.azure.base import add_output, new_stack
from stacks.clouds import BuiltStack
from stacks.state import remote_state


def compute_stack(
    app: App,
    plan: Plan,
    catalog: Catalog,
    size: VmSize,
    tags: Mapping[str, str],
    network_stack: TerraformStack,
    storage_stack: TerraformStack,
) -> BuiltStack:
    """Adds the nodes of `plan` to `app`.

    Raises:
        ValueError: a scale set is too large, its user data too long, or its capacity cannot be reserved.
    """
    stack = new_stack(app, plan, "compute")
    network = remote_state(stack, network_stack, plan)
    storage = remote_state(stack, storage_stack, plan)
    choice = plan.choice
    instance_type = catalog.instance_type("azure", choice.instance_type)
    lustre = None
    if choice.shared_storage:
        lustre = LustreMount(client="azure", source=storage.get_string("lustre_source"))
    sets = node_sets(
        stack,
        NodeConfig(
            cluster=plan.name,
            region=choice.region,
            zone=choice.zone,
            resource_group_name=network.get_string("resource_group_name"),
            subnet_id=network.get_string("compute_subnet_id"),
            checkpoint_container_id=storage.get_string("checkpoint_container_id"),
            instance_type=choice.instance_type,
            size=size,
            os_disk_gib=choice.root_disk_gib,
            os_disk_is_ephemeral=choice.root_disk == "ephemeral",
            reservable=instance_type.reservable,
            gang=choice.multi_node,
            user_data=_user_data(plan, instance_type, catalog.collectives(instance_type), lustre),
            tags=tags,
        ),
        choice.purchase.nodes_by_kind(),
    )
    for kind, nodes in sets.items():
        add_output(stack, f"{kind}_scale_set_id", nodes.scale_set.id, f"Scale set of the {TITLES[kind]} nodes")
    addresses = {compute_role(kind): _billed(nodes) for kind, nodes in sets.items()}
    addresses["root_disk"] = address(next(iter(sets.values())).scale_set)
    return BuiltStack("compute", stack, addresses)


def _billed(nodes: NodeSet) -> str:
    # A reservation is billed as long as it exists, with or without nodes in it.
    return address(nodes.reservation or nodes.scale_set)


def _user_data(
    plan: Plan, instance_type: InstanceType, environment: tuple[Variable, ...], lustre: LustreMount | None
) -> str:
    return cloud_init(
        NodeBootstrap(
            cluster=plan.name,
            scratch=plan.choice.scratch if instance_type.nvme_disks else "none",
            nvme_disks=instance_type.nvme_disks,
            lustre=lustre,
            fabric=instance_type.fabric,
            rdma_cards=instance_type.rdma_cards,
            gpus=instance_type.gpus,
            environment=values(environment),
            reasons=reasons(environment),
        )
    )
