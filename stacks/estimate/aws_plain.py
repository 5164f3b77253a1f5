"""Meters of AWS resources that other documents hold and our stacks do not: instances, volumes, load balancers."""

from typing import Any, Final

from stacks.estimate.documents import Resource
from stacks.estimate.meters import NOT_KNOWN_YET, Context, Meter, NotPriced, Reader, Reading, disk_meters, node_meters

DEFAULT_NODE_DISK_GIB: Final = 20
"""Root disk of a managed node without a launch template (Terraform AWS provider, aws_eks_node_group, disk_size)."""
OTHER_DISK: Final = "only gp3 disks at their baseline have a price in the catalog"
BASELINE_IOPS, BASELINE_MB_PER_S = 3000, 125
"""What a gp3 volume has without extra charge (EBS user guide, "General Purpose SSD volumes")."""


def instance(resource: Resource, context: Context) -> Reading:
    """Meters of an instance and of its disks. Without a stated disk the image decides about it."""
    instance_type = resource.text("instance_type")
    if not instance_type:
        return [NotPriced(f"instance_type {NOT_KNOWN_YET}")]
    if resource.text("tenancy", "default") != "default":
        return [NotPriced("dedicated tenancy costs more and has no price in the catalog")]
    market = resource.block("instance_market_options").get("market_type")
    kind: Any = {"spot": "spot", "capacity-block": "capacity_block"}.get(str(market), "on_demand")
    bought = node_meters(context, kind, instance_type, resource.count)
    disks = [*resource.blocks("root_block_device"), *resource.blocks("ebs_block_device")]
    return [*bought, *_disks(disks, context, instance_type, resource.count)]


def plain_node_group(resource: Resource, context: Context) -> Reading:
    """Meters of a managed node group that names its instance types itself, without a launch template."""
    types = resource.arguments.get("instance_types")
    nodes = resource.block_number("desired_size", "scaling_config")
    if not isinstance(types, list) or not types or nodes is None:
        return [NotPriced(f"instance_types or scaling_config {NOT_KNOWN_YET}")]
    nodes *= resource.count
    kind: Any = "spot" if resource.text("capacity_type") == "SPOT" else "on_demand"
    instance_type = str(types[0])
    size_gib = resource.number("disk_size", DEFAULT_NODE_DISK_GIB) or DEFAULT_NODE_DISK_GIB
    reading: Reading = [*node_meters(context, kind, instance_type, nodes)]
    if len(types) > 1:
        reading.append(NotPriced(f"priced as {instance_type}, the first of {len(types)} instance types"))
    return [*reading, *disk_meters(context, instance_type, nodes * size_gib)]


def volume(resource: Resource, context: Context) -> Reading:
    """Meters of a volume of its own."""
    size_gib = resource.number("size")
    if size_gib is None:
        return [NotPriced(f"size {NOT_KNOWN_YET}")]
    if not _has_price({**resource.arguments, "volume_type": resource.text("type", "gp2")}):
        return [NotPriced(OTHER_DISK)]
    return [Meter("volume", "EBS gp3 volume", "root_disk_gb_month", size_gib * resource.count, "GiB-month")]


def load_balancer(resource: Resource, _: Context) -> Reading:
    """Meters of a network load balancer; its capacity units are billed by use."""
    if resource.text("load_balancer_type", "application") != "network":
        return [NotPriced("only network load balancers have a price in the catalog")]
    hourly = Meter("load_balancer", "network load balancer", "load_balancer_hour", resource.count, "hour")
    return [hourly, NotPriced("capacity units of the load balancer are billed by use, which no document states")]


def _disks(disks: list[Any], context: Context, instance_type: str, nodes: float) -> Reading:
    if not disks:
        return [NotPriced("the size of its root disk is that of its image, which the documents do not hold")]
    if not all(_has_price(disk) and disk.get("volume_size") for disk in disks):
        return [NotPriced(OTHER_DISK)]
    return disk_meters(context, instance_type, nodes * sum(float(disk["volume_size"]) for disk in disks))


def _has_price(disk: Any) -> bool:
    """Whether a disk is gp3 without extra operations or throughput."""
    within = float(disk.get("iops") or 0) <= BASELINE_IOPS and float(disk.get("throughput") or 0) <= BASELINE_MB_PER_S
    return disk.get("volume_type") == "gp3" and within


READERS: Final[dict[str, Reader]] = {
    "aws_ebs_volume": volume,
    "aws_instance": instance,
    "aws_lb": load_balancer,
}
