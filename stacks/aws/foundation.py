"""Foundation of a compute stack, whatever the orchestrator: security group, placement group, reserved capacity."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdktf import ITerraformDependable, TerraformRemoteState, TerraformStack, TerraformVariable
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup

from cdk.aws.alarms import metric_namespace
from cdk.aws.auto_scaling import group_name
from cdk.aws.capacity import BlockConfig, ReservedCapacity, capacity_block_offering, purchase_command, reserve
from cdk.aws.fabric import NodeSecurityGroup, gang_placement
from cdk.aws.identity import IdentityConfig
from cdk.aws.phases import nodes_to_validate
from cdk.bootstrap import LustreMount, Metrics
from planner.plan.plan import Plan
from planner.spec import OwnReservation
from provider_catalog.catalog import Catalog
from provider_catalog.collective_environment import Variable
from provider_catalog.defaults import OrchestratorDefaults
from provider_catalog.purchase_kinds import PurchaseKind
from stacks.aws.base import add_outputs
from stacks.aws.network import closed_network, control_plane_outputs
from stacks.aws.zones import zone_id
from stacks.state import remote_state


@dataclass(frozen=True)
class BuiltNodes:
    """The nodes that an orchestrator's module added to a compute stack."""

    addresses: dict[str, str]
    """Terraform addresses of billed resources, by role of the bill (`CostItem.role`)."""
    files: dict[str, str] = field(default_factory=dict)
    """Files to write beside the document of the stack, by relative path."""


@dataclass(frozen=True)
class Foundation:
    """The part of a compute stack that does not depend on the orchestrator."""

    network: TerraformRemoteState
    storage: TerraformRemoteState
    security: NodeSecurityGroup
    placement_group: PlacementGroup | None
    own_reservation: OwnReservation | None
    """The reservation of the user that all nodes run in; None without one."""
    nodes: Mapping[PurchaseKind, int]
    """Nodes by purchase kind. A Capacity Block that is not bought yet is left out."""
    reserved_capacity: Mapping[PurchaseKind, ReservedCapacity]
    block: BlockConfig | None
    orchestrator: OrchestratorDefaults
    environment: tuple[Variable, ...]
    """Variables of collective communication (NCCL, libfabric) on the nodes."""
    client_security_group_ids: tuple[str, ...]
    """Security groups that make nodes clients of a service, such as the shared file system."""
    control_plane_subnet_ids: tuple[str, ...]
    """Subnets of the Kubernetes control plane, in two zones; empty without Kubernetes."""
    fabric_client_security_group_ids: tuple[str, ...]
    """Those security groups among them whose service is reached over EFA."""
    lustre: LustreMount | None
    """The shared file system as nodes mount it; None without one."""

    @property
    def lustre_over_efa(self) -> LustreMount | None:
        """The shared file system where nodes reach it over EFA; None otherwise."""
        return self.lustre if self.lustre and self.lustre.efa else None

    def group_names(self, cluster: str) -> tuple[str, ...]:
        """Names of the Auto Scaling groups of plain nodes, one for each purchase kind."""
        return tuple(group_name(cluster, kind) for kind in self.nodes)

    def billed(self, kind: PurchaseKind) -> str | None:
        """Terraform address of the reservation that is billed for nodes of this kind; None where there is none."""
        return self.reserved_capacity[kind].billed if kind in self.reserved_capacity else None

    def reservation_id(self, kind: PurchaseKind) -> str | None:
        """Id of the reservation in which nodes of this kind run; None where there is none."""
        return self.reserved_capacity[kind].reservation_id if kind in self.reserved_capacity else None

    def reservation_group_arn(self, kind: PurchaseKind) -> str | None:
        """ARN of the group of reservations in which nodes of this kind run; None where there is none."""
        return self.reserved_capacity[kind].group_arn if kind in self.reserved_capacity else None

    def reservations_before(self, kind: PurchaseKind) -> list[ITerraformDependable]:
        """Reservations of other kinds that must exist before nodes of this kind start; empty unless there is a gang.

        If AWS refuses a reservation, the rest of the gang would run, and cost money, without doing any work.
        """
        if self.placement_group is None:
            return []
        return [
            capacity.reservation
            for other, capacity in self.reserved_capacity.items()
            if capacity.reservation and other != kind
        ]

    def identity(self, plan: Plan, *, health: bool = False, metrics: Metrics | None = None) -> IdentityConfig:
        """Configuration of the node's identity: checkpoints, and where asked for, error counts and metrics.

        Args:
            plan: The plan.
            health: Whether nodes publish counts of errors.
            metrics: Where nodes send metrics; None: they send none.
        """
        return IdentityConfig(
            name=plan.name,
            region=plan.choice.region,
            checkpoint_bucket_arn=self.storage.get_string("checkpoint_bucket_arn"),
            kms_key_arn=self.storage.get_string("kms_key_arn"),
            metric_namespace=metric_namespace(plan.name) if health else None,
            prometheus_workspace_arn=self.storage.get_string("prometheus_workspace_arn") if metrics else None,
            pulls_images=bool(metrics and metrics.login_command),
        )

    def validating(self, plan: Plan) -> dict[PurchaseKind, int]:
        """Nodes by purchase kind in the phase `validate`; all nodes where the spec asks for no phases."""
        return nodes_to_validate(self.nodes, plan.spec.rollout.validation_nodes or plan.choice.nodes)

    def placement_of(self, kind: PurchaseKind) -> str | None:
        """Name of the placement group of nodes of this kind.

        None for a Capacity Block, which AWS places close together itself. Nodes in a reservation of the user are in
        the group that the reservation was made in, if any: in another group EC2 may find no room for them.
        """
        if kind == "reserved" and self.own_reservation is not None:
            return self.own_reservation.placement_group
        return None if kind == "capacity_block" or self.placement_group is None else self.placement_group.name


def add_foundation(
    stack: TerraformStack,
    plan: Plan,
    catalog: Catalog,
    environment: tuple[Variable, ...],
    network_stack: TerraformStack,
    storage_stack: TerraformStack,
    lustre_efa_interfaces: int,
) -> Foundation:
    """Adds the foundation of `plan` to its compute stack.

    Args:
        stack: The compute stack.
        plan: The plan.
        catalog: Holds the defaults of AWS and the zones of the EKS control plane.
        environment: Variables of collective communication.
        network_stack: Stack of the network.
        storage_stack: Stack of the storage.
        lustre_efa_interfaces: EFA interfaces through which a node reaches the shared file system; 0: over TCP.
    """
    choice = plan.choice
    orchestrator = catalog.provider_defaults("aws").orchestrators[plan.spec.orchestrator]
    network = remote_state(stack, network_stack, plan)
    storage = remote_state(stack, storage_stack, plan)
    nodes = choice.purchase.nodes_by_kind()
    zone_name = network.get_string("availability_zone")
    asked = plan.spec.capacity.reservation
    own = asked if isinstance(asked, OwnReservation) else None
    needs_group = choice.multi_node and own is None and set(nodes) != {"capacity_block"}
    placement_group = gang_placement(stack, plan.name) if needs_group else None
    reserved_capacity: dict[PurchaseKind, ReservedCapacity] = {}
    if own is not None:
        reserved_capacity["reserved"] = ReservedCapacity(own.id, own.group)
    elif "reserved" in nodes:
        reserved_capacity["reserved"] = reserve(
            stack,
            name=f"{plan.name}-reserved",
            instance_type=choice.instance_type,
            nodes=nodes["reserved"],
            zone_name=zone_name,
            placement_group=placement_group,
        )
    clients = (storage.get_string("shared_clients_security_group_id"),) if choice.shared_storage else ()
    block = _block(plan)
    if block is not None:
        reservation_id = plan.spec.capacity.block and plan.spec.capacity.block.reservation_id
        if reservation_id:
            reserved_capacity["capacity_block"] = ReservedCapacity(reservation_id)
        else:
            del nodes["capacity_block"]
            _add_block_offering(stack, plan, zone_name, block)
    return Foundation(
        network=network,
        storage=storage,
        security=NodeSecurityGroup(
            stack,
            "security",
            name=plan.name,
            vpc_id=network.get_string("vpc_id"),
            closed=closed_network(plan, network),
            connected_cidrs=plan.spec.network.connected_cidrs,
        ),
        placement_group=placement_group,
        own_reservation=own,
        nodes=nodes,
        reserved_capacity=reserved_capacity,
        block=block,
        orchestrator=orchestrator,
        environment=environment,
        client_security_group_ids=clients,
        control_plane_subnet_ids=(
            tuple(network.get_string(name) for name in control_plane_outputs(zone_id(plan, catalog), orchestrator))
            if plan.spec.orchestrator == "kubernetes"
            else ()
        ),
        fabric_client_security_group_ids=clients if plan.spec.storage.lustre.efa else (),
        lustre=_lustre(storage, lustre_efa_interfaces) if choice.shared_storage else None,
    )


def _lustre(storage: TerraformRemoteState, efa_interfaces: int) -> LustreMount:
    dns_name, mount_name = storage.get_string("shared_dns_name"), storage.get_string("shared_mount_name")
    return LustreMount(client="aws", source=f"{dns_name}@tcp:/{mount_name}", efa_interfaces=efa_interfaces)


def _add_block_offering(stack: TerraformStack, plan: Plan, zone_name: str, block: BlockConfig) -> None:
    """Adds the look-up of the Capacity Block that AWS offers, and outputs with its price and the command to buy it."""
    offering = capacity_block_offering(stack, instance_type=plan.choice.instance_type, zone_name=zone_name, block=block)
    add_outputs(
        stack,
        {
            "capacity_block_purchase": (
                purchase_command(offering, plan.choice.region),
                "Command that buys the offered Capacity Block for good; set capacity.block.reservation_id afterwards",
            ),
            "capacity_block_fee": (
                f"{offering.upfront_fee} {offering.currency_code}",
                "Price of the block, paid in advance",
            ),
        },
    )


def block_switch(stack: TerraformStack) -> TerraformVariable:
    """Adds the variable that tells whether the nodes of a Capacity Block may run."""
    return TerraformVariable(
        stack,
        "capacity_block_active",
        type="bool",
        default=False,
        description=(
            "Whether the Capacity Block has started. EC2 launches no node before that; all nodes are terminated an "
            "hour before the block ends."
        ),
    )


def _block(plan: Plan) -> BlockConfig | None:
    asked = plan.spec.capacity.block
    if asked is None or not plan.choice.purchase.capacity_block_nodes:
        return None
    return BlockConfig(
        instances=plan.choice.purchase.capacity_block_instances,
        start=asked.start,
        days=asked.days,
    )
