"""What the nodes of every orchestrator stand on: security group, placement group, held capacity, user's switches."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdktf import ITerraformDependable, TerraformRemoteState, TerraformStack, TerraformVariable
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup

from cdk.aws.alarms import metric_namespace
from cdk.aws.capacity import BlockConfig, HeldCapacity, PurchaseKind, capacity_block_offering, purchase_command, reserve
from cdk.aws.fabric import NodeSecurityGroup, gang_placement
from cdk.aws.identity import IdentityConfig
from cdk.aws.phases import nodes_to_validate
from cdk.bootstrap import Metrics
from planner.plan.plan import Plan
from provider_catalog.collective_environment import Variable
from provider_catalog.defaults import OrchestratorDefaults
from stacks.aws.base import add_outputs
from stacks.aws.network import closed_network
from stacks.aws.purchase import purchases
from stacks.state import remote_state


@dataclass(frozen=True)
class Nodes:
    """What an orchestrator put on the groundwork."""

    addresses: dict[str, str]
    """Terraform addresses of what is on the bill, by role."""
    files: dict[str, str] = field(default_factory=dict)
    """What goes beside the document of the stack, by relative path."""


@dataclass(frozen=True)
class Groundwork:
    """The part of a compute stack that does not depend on the orchestrator."""

    network: TerraformRemoteState
    storage: TerraformRemoteState
    security: NodeSecurityGroup
    placement_group: PlacementGroup | None
    nodes: Mapping[PurchaseKind, int]
    """Nodes by kind of purchase; none for a Capacity Block that is not bought yet."""
    held: Mapping[PurchaseKind, HeldCapacity]
    block: BlockConfig | None
    orchestrator: OrchestratorDefaults
    environment: tuple[Variable, ...]
    """Of collective communication on the nodes."""
    client_security_group_ids: tuple[str, ...]
    """Groups of the services that nodes are clients of."""
    fabric_client_security_group_ids: tuple[str, ...]
    """Those of them that are reached over EFA."""

    def billed(self, kind: PurchaseKind) -> str | None:
        """Terraform address of the held capacity that is on the bill for these nodes."""
        return self.held[kind].billed if kind in self.held else None

    def held_before(self, kind: PurchaseKind) -> list[ITerraformDependable]:
        """What a gang holds before it starts nodes bought in this other way.

        Where a reservation is refused, the rest of the gang would run, and cost, for nothing.
        """
        if self.placement_group is None:
            return []
        return [held.reservation for other, held in self.held.items() if held.reservation and other != kind]

    def identity(self, plan: Plan, *, health: bool = False, metrics: Metrics | None = None) -> IdentityConfig:
        """Rights to the checkpoints, and to publish what is published."""
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
        """Nodes by kind of purchase in the phase `validate`; all of them where there are no phases."""
        return nodes_to_validate(self.nodes, plan.spec.rollout.validation_nodes or plan.choice.nodes)

    def placement_of(self, kind: PurchaseKind) -> PlacementGroup | None:
        """The placement group of nodes bought that way; a Capacity Block stands close together by itself."""
        return None if kind == "capacity_block" else self.placement_group


def lay(
    stack: TerraformStack,
    plan: Plan,
    orchestrator: OrchestratorDefaults,
    environment: tuple[Variable, ...],
    network_stack: TerraformStack,
    storage_stack: TerraformStack,
) -> Groundwork:
    """Adds the groundwork of `plan` to its compute stack."""
    choice = plan.choice
    network = remote_state(stack, network_stack, plan)
    storage = remote_state(stack, storage_stack, plan)
    nodes = purchases(plan)
    zone_name = network.get_string("availability_zone")
    placement_group = (
        gang_placement(stack, plan.name) if choice.multi_node and set(nodes) != {"capacity_block"} else None
    )
    held: dict[PurchaseKind, HeldCapacity] = {}
    if "reserved" in nodes:
        held["reserved"] = reserve(
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
            held["capacity_block"] = HeldCapacity(reservation_id)
        else:
            del nodes["capacity_block"]
            _offer(stack, plan, zone_name, block)
    return Groundwork(
        network=network,
        storage=storage,
        security=NodeSecurityGroup(
            stack, "security", name=plan.name, vpc_id=network.get_string("vpc_id"), closed=closed_network(plan, network)
        ),
        placement_group=placement_group,
        nodes=nodes,
        held=held,
        block=block,
        orchestrator=orchestrator,
        environment=environment,
        client_security_group_ids=clients,
        fabric_client_security_group_ids=clients if plan.spec.storage.lustre.efa else (),
    )


def _offer(stack: TerraformStack, plan: Plan, zone_name: str, block: BlockConfig) -> None:
    offering = capacity_block_offering(stack, instance_type=plan.choice.instance_type, zone_name=zone_name, block=block)
    add_outputs(
        stack,
        {
            "capacity_block_purchase": (
                purchase_command(offering, plan.choice.region),
                "Buys the Capacity Block on offer, for good; then capacity.block.reservation_id names it",
            ),
            "capacity_block_fee": (f"{offering.upfront_fee} {offering.currency_code}", "What it costs, in advance"),
        },
    )


def block_switch(stack: TerraformStack) -> TerraformVariable:
    """The variable that lets the nodes of a Capacity Block run."""
    return TerraformVariable(
        stack,
        "capacity_block_active",
        type="bool",
        default=False,
        description=(
            "Whether the Capacity Block has started. EC2 launches no node before; all of them are let go an hour "
            "before the block ends."
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
