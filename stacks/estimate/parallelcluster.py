"""Meters of an AWS ParallelCluster configuration, whose nodes are not Terraform resources.

Fields are those of ParallelCluster 3.16, "Cluster configuration file".
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from provider_catalog.purchase_kinds import PurchaseKind
from provider_catalog.text import shortened
from provider_catalog.yaml_text import parse_yaml
from stacks.estimate.documents import Resource
from stacks.estimate.meters import (
    NOT_KNOWN_YET,
    Context,
    Meter,
    NotPriced,
    Reader,
    Reading,
    block_meters,
    disk_meters,
    node_meters,
)

RESERVATIONS: Final = ("aws_ec2_capacity_reservation", "aws_ec2_capacity_block_reservation")
"""Kinds of resources that are billed with or without nodes in them."""
DEFAULT_IDLE_MIN: Final = 10
"""Idle minutes after which ParallelCluster stops a node unless told otherwise; -1: it stops none."""
_KINDS: Final[dict[str, PurchaseKind]] = {"ONDEMAND": "on_demand", "SPOT": "spot", "CAPACITY_BLOCK": "capacity_block"}


def _configuration(output: Resource, context: Context) -> Reading:
    text = output.text("value")
    if not text:
        return [NotPriced(f"{output.kind} {NOT_KNOWN_YET}")]
    try:
        document = parse_yaml(text)
        head, scheduling = document["HeadNode"], document["Scheduling"]
        idle_min = (scheduling.get("SlurmSettings") or {}).get("ScaledownIdletime", DEFAULT_IDLE_MIN)
        queues = (line for queue in scheduling["SlurmQueues"] for line in _queue(queue, context, idle_min >= 0))
        return [*_head_node(head, context), *queues]
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        return [NotPriced(f"not a configuration of ParallelCluster with Slurm ({shortened(str(error))})")]


def _head_node(head: Mapping[str, Any], context: Context) -> Iterator[Meter | NotPriced]:
    yield from node_meters(context, "on_demand", str(head["InstanceType"]), 1)
    yield from _root_disks(head["LocalStorage"]["RootVolume"], str(head["InstanceType"]), 1, context)


def _queue(queue: Mapping[str, Any], context: Context, stops_idle: bool) -> Iterator[Meter | NotPriced]:
    purchase_kind = _KINDS[queue.get("CapacityType", "ONDEMAND")]
    target = queue.get("CapacityReservationTarget") or {}
    reservation = target.get("CapacityReservationId") or target.get("CapacityReservationResourceGroupArn")
    for machines in queue["ComputeResources"]:
        instance_type, nodes = str(machines["InstanceType"]), float(machines["MaxCount"])
        if purchase_kind == "capacity_block":
            yield from block_meters(context, instance_type, nodes)
        elif not reservation:
            always = float(machines.get("MinCount", 0)) if stops_idle else nodes
            running = _always_running(context, purchase_kind, always, nodes)
            yield from node_meters(context, purchase_kind, instance_type, nodes, running)
        elif not _holds_reservation(str(reservation), context):
            # A reservation made outside of these documents is billed through the nodes in it.
            yield from node_meters(context, "reserved", instance_type, nodes, nodes)
        yield from _root_disks(queue["ComputeSettings"]["LocalStorage"]["RootVolume"], instance_type, nodes, context)


def _always_running(context: Context, kind: PurchaseKind, always: float, nodes: float) -> float | None:
    """Static nodes where they decide the bill; None where jobs do, whose use of the other nodes no file states."""
    if always == nodes:
        return nodes
    share = 1.0 if context.usage is None else context.usage.running_share.get(kind, 1.0)
    return always if nodes * share < always else None


def _holds_reservation(reservation: str, context: Context) -> bool:
    """Whether the documents hold the reservation, which then has its own meter."""
    found = (each for each in context.resources.all if each.kind in RESERVATIONS)
    return any(reservation in (each.text("id"), f"${{{each.address}.id}}") for each in found)


def _root_disks(volume: Mapping[str, Any], instance_type: str, nodes: float, context: Context) -> Reading:
    if volume.get("VolumeType", "gp3") != "gp3" or volume.get("Iops") or volume.get("Throughput"):
        return [NotPriced("root disks: only gp3 at its baseline has a price in the catalog")]
    return disk_meters(context, instance_type, nodes * float(volume["Size"]))


OUTPUTS: Final[dict[str, Reader]] = {"cluster_configuration": _configuration}
"""Readers by the name of the output that holds the configuration."""
