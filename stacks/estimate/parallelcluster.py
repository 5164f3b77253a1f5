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
    disk_meters,
    node_meters,
)

RESERVATIONS: Final = ("aws_ec2_capacity_reservation", "aws_ec2_capacity_block_reservation")
"""Kinds of resources that are billed with or without nodes in them."""
_KINDS: Final[dict[str, PurchaseKind]] = {"ONDEMAND": "on_demand", "SPOT": "spot", "CAPACITY_BLOCK": "capacity_block"}


def _configuration(output: Resource, context: Context) -> Reading:
    text = output.text("value")
    if not text:
        return [NotPriced(f"{output.kind} {NOT_KNOWN_YET}")]
    try:
        document = parse_yaml(text)
        head, queues = document["HeadNode"], document["Scheduling"]["SlurmQueues"]
        return [*_head_node(head, context), *(line for queue in queues for line in _queue(queue, context))]
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        return [NotPriced(f"not a configuration of ParallelCluster with Slurm ({shortened(str(error))})")]


def _head_node(head: Mapping[str, Any], context: Context) -> Iterator[Meter | NotPriced]:
    yield from node_meters(context, "on_demand", str(head["InstanceType"]), 1)
    yield from _root_disks(head["LocalStorage"]["RootVolume"], str(head["InstanceType"]), 1, context)


def _queue(queue: Mapping[str, Any], context: Context) -> Iterator[Meter | NotPriced]:
    purchase_kind = _KINDS[queue.get("CapacityType", "ONDEMAND")]
    target = queue.get("CapacityReservationTarget") or {}
    reservation = target.get("CapacityReservationId") or target.get("CapacityReservationResourceGroupArn")
    for machines in queue["ComputeResources"]:
        instance_type, nodes = str(machines["InstanceType"]), float(machines["MaxCount"])
        if reservation and purchase_kind != "capacity_block":
            if not _holds_reservation(str(reservation), context):
                # A reservation made outside of these documents is billed through the nodes in it.
                yield from node_meters(context, "reserved", instance_type, nodes)
        else:
            yield from node_meters(context, purchase_kind, instance_type, nodes)
        yield from _root_disks(queue["ComputeSettings"]["LocalStorage"]["RootVolume"], instance_type, nodes, context)


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
