"""Capacity reservations that exist already, which a cluster uses and does not make."""

from datetime import date
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.text import Identifier

if TYPE_CHECKING:
    from planner.spec import ClusterSpec


class OwnReservation(SpecModel):
    """An On-Demand Capacity Reservation, or a group of them, that all nodes run in (AWS)."""

    id: str | None = Field(
        default=None, pattern=r"^cr-[0-9a-f]{8,17}$", description="Id of the reservation, such as cr-0123456789abcdef0"
    )
    group: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:resource-groups:[a-z0-9-]+:\d{12}:group/[A-Za-z0-9_./-]+$",
        description="ARN of a resource group of reservations, in place of id",
    )
    instance_type: Identifier | None = Field(
        default=None, description="Type of its instances; the search then looks at no other type"
    )
    zone: Identifier | None = Field(default=None, description="Zone id of its instances; the cluster then stands there")
    instances: int | None = Field(
        default=None, gt=0, description="Number of its instances, which the plan does not exceed"
    )
    end: date | None = Field(default=None, description="Last day; empty: it lasts until it is cancelled")
    placement_group: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9 ._-]{1,255}$",
        description="Placement group that it was made in; empty: none, and nodes are in no placement group either",
    )

    @model_validator(mode="after")
    def _one_target(self) -> "OwnReservation":
        if (self.id is None) == (self.group is None):
            raise ValueError("give id (cr-...) or group (the ARN of a resource group), one of the two")
        return self

    @property
    def name(self) -> str:
        """The id of the reservation or the ARN of the group."""
        return self.id or self.group or ""


def check_reservation(spec: "ClusterSpec") -> None:
    """Compares what the spec says about reserved capacity with the rest of the spec.

    Raises:
        ValueError: two fields contradict each other; the message names both and the value that fits.
    """
    own, placement, pin = spec.capacity.reservation, spec.placement, spec.pin
    if spec.capacity.block is not None and pin.node is not None:
        raise ValueError("capacity.block is capacity of a cloud, and pin.node is a node of your own; drop one")
    if not isinstance(own, OwnReservation):
        return
    if pin.node is not None:
        raise ValueError("capacity.reservation is capacity of a cloud, and pin.node is a node of your own; drop one")
    if own.instance_type is not None:
        _check_type(spec, own.instance_type)
    zones = placement.zones or ((placement.zone,) if placement.zone else ())
    if own.zone is not None and zones and own.zone not in zones:
        raise ValueError(
            f"capacity.reservation.zone is {own.zone}, and the cluster may stand in {', '.join(zones)} only: all nodes "
            f"run in the zone of the reservation; set placement.zone to {own.zone}, or leave it out"
        )
    if own.instances is not None and pin.nodes is not None and pin.nodes > own.instances:
        raise ValueError(
            f"pin.nodes is {pin.nodes}, and capacity.reservation holds {own.instances} instances; pin at most "
            f"{own.instances} nodes, or enlarge the reservation"
        )
    region = own.group.split(":")[3] if own.group else None
    if region and placement.regions and region not in placement.regions:
        raise ValueError(
            f"capacity.reservation.group is in region {region}, and placement.regions is "
            f"{', '.join(placement.regions)}; set placement.regions to [{region}]"
        )


def _check_type(spec: "ClusterSpec", reserved: str) -> None:
    pinned, allowed = spec.pin.instance_type, spec.placement.instance_types
    if pinned not in (None, reserved):
        raise ValueError(
            f"capacity.reservation.instance_type is {reserved}, and pin.instance_type is {pinned}: a reservation holds "
            f"instances of one type; pin {reserved}, or leave pin.instance_type out"
        )
    if allowed != "any" and reserved not in allowed:
        raise ValueError(
            f"capacity.reservation.instance_type is {reserved}, which placement.instance_types does not allow; add "
            "it there, or leave placement.instance_types out"
        )
