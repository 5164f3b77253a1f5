"""Meters: what a resource is billed for, before it is priced."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from planner.plan.cost import Usage
from planner.purchase.mix import block_instances
from provider_catalog.prices import PurchaseOption
from provider_catalog.purchase_kinds import COMMITTED_OPTIONS, MARKETS, PurchaseKind, compute_role, slug
from stacks.estimate.documents import Resource, Resources

Unit = Literal[
    "instance-hour", "GiB-month", "GB-month", "hour", "key-month", "IOPS-month", "alarm-month", "metric-month",
    "zone-month", "million-samples-month",
]  # fmt: skip


@dataclass(frozen=True)
class Meter:
    """A quantity for which a resource is billed."""

    role: str
    """Role of the item on the bill of the plan, see `CostItem.role`."""
    name: str
    sku: str
    """SKU of a service, or name of an instance type."""
    quantity: float
    unit: Unit
    option: PurchaseOption | None = None
    """Price option of instances with GPUs; None for everything else."""
    by_use: bool = False
    """Whether the quantity comes from the assumed usage, not from the resource."""


@dataclass(frozen=True)
class NotPriced:
    """The reason why something for which a resource may be billed has no meter."""

    reason: str


@dataclass(frozen=True)
class Context:
    """Information that a reader may use in addition to its resource."""

    resources: Resources
    usage: Usage | None
    """Assumed usage; None: it is unknown, so that items billed by use cannot be priced."""
    gpu_types: frozenset[str]
    """Instance types with GPUs. Instances of other types are service nodes."""


Reading = list[Meter | NotPriced]
Reader = Callable[[Resource, Context], Reading]
"""Function that reads the meters of a resource of one kind."""

NOT_KNOWN_YET: Final = "is not known before apply"
NO_USAGE: Final = "billed by use, and the usage is unknown; give --usage with a cost.json, or with a file of your own"


def by_use(context: Context, role: str, name: str, sku: str, unit: Unit, share: float = 1.0) -> Reading:
    """A meter whose quantity comes from the usage.

    Args:
        context: The context, with the usage.
        role: Role on the bill, under which the usage states the quantity.
        name: Name of the meter.
        sku: SKU of the service.
        unit: Unit of the quantity.
        share: Part of the quantity that this resource carries, where several resources share it.
    """
    usage = context.usage
    if usage is None or role not in usage.quantities:
        return [NotPriced(NO_USAGE)]
    return [Meter(role, name, sku, usage.quantities[role] * share, unit, by_use=True)]


def nat_gateway(resource: Resource, context: Context) -> Reading:
    """Meters of a NAT gateway: its hours and its data."""
    gateway = Meter("nat_gateway", "NAT gateway", "nat_gateway_hour", resource.count, "hour")
    return [gateway, *by_use(context, "nat_data", "data through NAT", "nat_gateway_gb", "GB-month")]


def public_address(resource: Resource, _: Context) -> Reading:
    """Meters of a public IPv4 address."""
    return [Meter("public_ip", "public IPv4 address", "public_ip_hour", resource.count, "hour")]


def node_meters(
    context: Context, kind: PurchaseKind, instance_type: str, nodes: float, running: float | None = None
) -> Reading:
    """Meters of the instances of one purchase kind.

    Args:
        context: The context, with the usage.
        kind: The purchase kind.
        instance_type: The instance type.
        nodes: Number of instances at the peak.
        running: Instances that are billed on average, as resources say; None: no resource does, and the usage has the
            share of the nodes. Without a usage all are billed.
    """
    if not nodes:
        return []
    if instance_type not in context.gpu_types:
        name = f"{nodes:g} instances of {instance_type}"
        return [Meter("service_nodes", name, instance_type, nodes, "instance-hour")]
    usage = context.usage
    if running is None:
        running = nodes if usage is None else nodes * usage.running_share.get(kind, 1.0)
    elif kind == "spot" and usage is not None:
        running *= 1 + usage.spot_restart_share
    option = _reserved_option(usage) if kind == "reserved" else MARKETS[kind]
    name = f"compute, {slug(kind)}: {nodes:g} nodes of {instance_type}"
    return [Meter(compute_role(kind), name, instance_type, running, "instance-hour", option)]


def block_meters(context: Context, instance_type: str, nodes: float) -> Reading:
    """Meters of nodes in a Capacity Block that Terraform does not buy: a block of the next size on sale is billed."""
    size = block_instances(ceil(nodes))
    if size is None:
        return [NotPriced(f"{nodes:g} nodes are more than a Capacity Block has")]
    return node_meters(context, "capacity_block", instance_type, nodes, float(size)) if nodes else []


def disk_meters(context: Context, instance_type: str, gib: float) -> Reading:
    """Meters of the root disks of instances."""
    role = "root_disk" if instance_type in context.gpu_types else "service_root_disk"
    return [Meter(role, "root disks", "root_disk_gb_month", gib, "GiB-month")] if gib else []


def _reserved_option(usage: Usage | None) -> PurchaseOption:
    """Price option of reserved nodes: that of a commitment if the usage names one, else on-demand.

    No resource states a commitment.
    """
    options: dict[str, PurchaseOption] = {option: option for option in COMMITTED_OPTIONS.values()}
    return options.get(usage.reserved_option, MARKETS["reserved"]) if usage else MARKETS["reserved"]
