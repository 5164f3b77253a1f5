"""What a resource is billed for, before anybody has said what it costs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from planner.plan.plan import Usage
from provider_catalog.prices import PurchaseOption
from stacks.estimate.documents import Resource, Resources

Unit = Literal[
    "instance-hour", "GiB-month", "GB-month", "hour", "key-month", "IOPS-month", "alarm-month", "metric-month",
    "zone-month", "million-samples-month",
]  # fmt: skip
Bought = Literal["reserved", "spot", "on_demand", "capacity_block"]


@dataclass(frozen=True)
class Meter:
    """One line of the bill of a resource."""

    role: str
    """The word that the plan's bill has for it, see `CostItem.role`."""
    name: str
    sku: str
    """Of a service, or the name of an instance type."""
    quantity: float
    unit: Unit
    option: PurchaseOption | None = None
    """How an instance with GPUs is bought; None for everything else."""
    by_use: bool = False
    """Whether the quantity comes from the assumed usage and not from the resource."""


@dataclass(frozen=True)
class NotPriced:
    """Why something that a resource is billed for has no line."""

    reason: str


@dataclass(frozen=True)
class Context:
    """What a reader may look at beside its resource."""

    resources: Resources
    usage: Usage | None
    """None: nobody knows it, and what is billed by use cannot be priced."""
    gpu_types: frozenset[str]
    """Instance types of the cloud that carry GPUs: those are the nodes, others serve them."""


Reading = list[Meter | NotPriced]
Reader = Callable[[Resource, Context], Reading]
"""Reads one kind of resource."""

NOT_KNOWN_YET = "is not known before apply"
NO_USAGE = "billed by use, and no usage is known; give --usage with a cost.json, or with a file of its own"


def by_use(context: Context, role: str, name: str, sku: str, unit: Unit, share: float = 1.0) -> Reading:
    """A meter whose quantity only the usage knows; `share` of it where several resources carry it."""
    usage = context.usage
    if usage is None or role not in usage.quantities:
        return [NotPriced(NO_USAGE)]
    return [Meter(role, name, sku, usage.quantities[role] * share, unit, by_use=True)]


def nat_gateway(resource: Resource, context: Context) -> Reading:
    """A NAT gateway and what goes through it."""
    gateway = Meter("nat_gateway", "NAT gateway", "nat_gateway_hour", resource.count, "hour")
    return [gateway, *by_use(context, "nat_data", "data through NAT", "nat_gateway_gb", "GB-month")]


def public_address(resource: Resource, _: Context) -> Reading:
    """A public IPv4 address."""
    return [Meter("public_ip", "public IPv4 address", "public_ip_hour", resource.count, "hour")]


def node_meters(context: Context, how: Bought, instance_type: str, nodes: float) -> Reading:
    """The instances of one way of buying: as many as run on average; all where no usage is known."""
    if not nodes:
        return []
    if instance_type not in context.gpu_types:
        name = f"{nodes:g} instances of {instance_type}"
        return [Meter("service_nodes", name, instance_type, nodes, "instance-hour")]
    usage = context.usage
    share = 1.0 if usage is None else usage.running_share.get(how, 1.0)
    option: dict[Bought, PurchaseOption] = {
        "spot": "spot",
        "on_demand": "on-demand",
        "capacity_block": "capacity-block",
        "reserved": _reserved_option(usage),
    }
    name = f"compute, {how.replace('_', '-')}: {nodes:g} nodes of {instance_type}"
    return [Meter(f"compute_{how}", name, instance_type, nodes * share, "instance-hour", option[how])]


def disk_meters(context: Context, instance_type: str, gib: float) -> Reading:
    """Root disks of instances."""
    role = "root_disk" if instance_type in context.gpu_types else "service_root_disk"
    return [Meter(role, "root disks", "root_disk_gb_month", gib, "GiB-month")] if gib else []


def _reserved_option(usage: Usage | None) -> PurchaseOption:
    """The rate of reserved capacity, which stands in no resource: on-demand unless the usage names a commitment."""
    known: dict[str, PurchaseOption] = {"reserved-1y": "reserved-1y", "reserved-3y": "reserved-3y"}
    return known.get(usage.reserved_option, "on-demand") if usage else "on-demand"
