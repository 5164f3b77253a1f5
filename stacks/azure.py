"""A plan on Azure: three stacks, so that compute can go while files, checkpoints and addresses stay."""

from collections.abc import Mapping, Sequence
from typing import Final

from cdktf import App, TerraformOutput, TerraformResource, TerraformStack

from cdk.azure.addresses import AddressPlan, address_plan
from cdk.azure.compute import NodeConfig, NodeSet, PurchaseOption, node_sets
from cdk.azure.hcl import address
from cdk.azure.names import checked_tags
from cdk.azure.network import NetworkConfig, cluster_network
from cdk.azure.provider import azurerm
from cdk.azure.sizes import VmSize, vm_size
from cdk.azure.storage import (
    LUSTRE_MOUNT_NAME,
    SharedFileSystemConfig,
    StorageConfig,
    cluster_storage,
)
from cdk.bootstrap import LustreMount, NodeBootstrap, cloud_init
from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from provider_catalog.collective_environment import Variable, reasons, values
from provider_catalog.hardware import InstanceType
from stacks.azure_states import state_stack
from stacks.clouds import BuiltStack, StackRole, stack_id
from stacks.state import name_provider_source, remote_state, set_backend, tell_after

GIB_PER_TIB: Final = 1024


class AzureCluster:
    """Builds the stacks of a plan on Azure.

    Args:
        protect_data: Whether Terraform refuses to destroy the vault, the key, the checkpoints and the file system.
    """

    def __init__(self, *, protect_data: bool = True) -> None:
        self._protect_data = protect_data

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Adds the network, storage and compute stacks of `plan` to `app`.

        Raises:
            SpecError: Azure would refuse what was planned, or it would not do what the plan says.
        """
        check_purchase(plan)
        try:
            size = vm_size(plan.choice.instance_type)
            tags = checked_tags({**plan.spec.tags, "cluster": plan.name, "managed-by": "llmcluster"})
            addresses = address_plan(plan.spec.network.cidr, plan.choice.nodes, _capacity_tib(plan, catalog))
            network = _network(app, plan, addresses, tags)
            storage = self._storage(app, plan, catalog, tags, network.stack)
            compute = _compute(app, plan, catalog, size, tags, network.stack, storage.stack)
        except ValueError as error:
            raise SpecError(str(error)) from error
        return network, storage, compute

    def build_state(self, app: App, spec: ClusterSpec) -> TerraformStack:
        """Adds the storage account of the states to `app`."""
        return state_stack(app, spec)

    def _storage(
        self, app: App, plan: Plan, catalog: Catalog, tags: Mapping[str, str], network_stack: TerraformStack
    ) -> BuiltStack:
        stack = _stack(app, plan, "storage")
        network = remote_state(stack, network_stack, plan)
        shared = None
        capacity_tib = _capacity_tib(plan, catalog)
        if plan.choice.shared_storage and capacity_tib:
            shared = SharedFileSystemConfig(
                sku=plan.choice.shared_storage.sku,
                capacity_tib=capacity_tib,
                zone=_zone(plan),
                subnet_id=network.get_string("lustre_subnet_id"),
            )
        storage = cluster_storage(
            stack,
            StorageConfig(
                cluster=plan.name,
                region=plan.choice.region,
                resource_group_name=network.get_string("resource_group_name"),
                endpoint_subnet_id=network.get_string("endpoints_subnet_id"),
                blob_dns_zone_id=network.get_string("blob_dns_zone_id"),
                shared=shared,
                protect=self._protect_data and plan.spec.storage.keep_on_destroy,
                tags=tags,
            ),
        )
        # No node is started, and no right is given, for a container that nobody can reach yet.
        _output(
            stack,
            "checkpoint_container_id",
            storage.container.id,
            "Resource id of the checkpoint container",
            once=[storage.endpoint],
        )
        _output(
            stack,
            "checkpoint_container_url",
            f"{storage.account.primary_blob_endpoint}{storage.container.name}",
            "Where checkpoints go, for azcopy and for the Azure SDKs with the identity of a node",
        )
        addresses = {
            "encryption_key": address(storage.key),
            "checkpoint_storage": address(storage.account),
            "private_endpoint": address(storage.endpoint),
            "private_endpoint_data": address(storage.endpoint),
        }
        if storage.shared:
            _output(
                stack,
                "lustre_source",
                f"{storage.shared.mgs_address}@tcp:/{LUSTRE_MOUNT_NAME}",
                "What nodes mount: management address and name of the shared file system",
            )
            addresses["shared_storage"] = address(storage.shared)
        return BuiltStack("storage", stack, addresses)


def check_purchase(plan: Plan) -> None:
    """Refuses a mix that would tear a gang apart: each way of buying is a scale set, and InfiniBand ends at its edge.

    Raises:
        SpecError: rule Z1 forbids what was planned. Reserved gangs are refused with the scale set (rule Z2).
    """
    choice, bought = plan.choice, plan.choice.purchase
    if not choice.multi_node or bought.reserved_nodes:
        return
    gang = plan.gang_nodes
    mix = {"on-demand": bought.on_demand_nodes, "spot": bought.spot_nodes}
    for option, nodes in mix.items():
        if nodes % gang:
            raise SpecError(
                f"capacity: {nodes} {option} nodes hold no whole number of gangs of {gang} nodes (rule Z1): on Azure "
                "Spot and on-demand nodes are different scale sets, and InfiniBand does not reach from one to another. "
                "Set capacity.interruption to never, or buy all nodes as Spot"
            )


def _network(app: App, plan: Plan, addresses: AddressPlan, tags: Mapping[str, str]) -> BuiltStack:
    stack = _stack(app, plan, "network")
    network = cluster_network(
        stack,
        NetworkConfig(
            cluster=plan.name,
            region=plan.choice.region,
            zone=plan.choice.zone,
            addresses=addresses,
            tags=tags,
        ),
    )
    _output(stack, "resource_group_name", network.resource_group.name, "Resource group of the whole cluster")
    for role, subnet in network.subnets.items():
        _output(stack, f"{role}_subnet_id", subnet.id, _SUBNETS[role], once=network.ways_out)
    _output(
        stack, "blob_dns_zone_id", network.blob_dns_zone.id, "DNS zone in which private endpoints of blobs register"
    )
    _output(stack, "nat_public_ip", network.nat_public_ip.ip_address, "Address from which nodes reach the Internet")
    nat = address(network.nat_gateway)
    return BuiltStack(
        "network",
        stack,
        {
            "nat_gateway": nat,
            "nat_data": nat,
            "public_ip": address(network.nat_public_ip),
            "private_dns_zone": address(network.blob_dns_zone),
        },
    )


_SUBNETS: Final = {
    "compute": "Subnet of the nodes",
    "lustre": "Subnet of the shared file system, which nothing else may use",
    "endpoints": "Subnet of private endpoints",
}


def _compute(
    app: App,
    plan: Plan,
    catalog: Catalog,
    size: VmSize,
    tags: Mapping[str, str],
    network_stack: TerraformStack,
    storage_stack: TerraformStack,
) -> BuiltStack:
    stack = _stack(app, plan, "compute")
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
        {
            "reserved": choice.purchase.reserved_nodes,
            "on_demand": choice.purchase.on_demand_nodes,
            "spot": choice.purchase.spot_nodes,
        },
    )
    for option, nodes in sets.items():
        _output(stack, f"{option}_scale_set_id", nodes.scale_set.id, f"Scale set of the {_OPTIONS[option]} nodes")
    addresses = {f"compute_{option}": _billed(nodes) for option, nodes in sets.items()}
    addresses["root_disk"] = address(next(iter(sets.values())).scale_set)
    return BuiltStack("compute", stack, addresses)


_OPTIONS: Final[dict[PurchaseOption, str]] = {"reserved": "reserved", "on_demand": "on-demand", "spot": "Spot"}


def _billed(nodes: NodeSet) -> str:
    # A reservation is billed from the day it stands, with or without nodes in it.
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


def _capacity_tib(plan: Plan, catalog: Catalog) -> int | None:
    shared = plan.choice.shared_storage
    if shared is None:
        return None
    legal_gib = catalog.shared_file_system("azure", shared.sku).legal_size_gib(shared.size_gib)
    if legal_gib != shared.size_gib or shared.size_gib % GIB_PER_TIB:
        raise SpecError(
            f"storage.shared_tib: {shared.sku} is not sold with {shared.size_gib} GiB (rule Z6); "
            f"the next size is {legal_gib // GIB_PER_TIB} TiB"
        )
    return shared.size_gib // GIB_PER_TIB


def _zone(plan: Plan) -> str:
    if plan.choice.zone is None:
        raise SpecError(
            f"placement.zone: none given for region {plan.choice.region}, but Managed Lustre stands in one (rule Z6); "
            "give a zone number such as 1, in a region that has zones"
        )
    return plan.choice.zone


def _stack(app: App, plan: Plan, role: StackRole) -> TerraformStack:
    stack = TerraformStack(app, stack_id(plan, role))
    set_backend(stack, plan)
    azurerm(stack)
    name_provider_source(stack, "azurerm")
    return stack


def _output(
    stack: TerraformStack,
    name: str,
    value: object,
    description: str,
    *,
    once: Sequence[TerraformResource] = (),
) -> None:
    output = TerraformOutput(stack, name, value=value, description=description)
    if once:
        tell_after(output, [address(resource) for resource in once])
