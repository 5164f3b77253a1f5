"""Capacity that is held before nodes start: On-Demand Capacity Reservations and Capacity Blocks (rules A7, A8)."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from cdktf import Op, Postcondition, TerraformResourceLifecycle, TerraformSelf
from cdktf_cdktf_provider_aws.data_aws_ec2_capacity_block_offering import DataAwsEc2CapacityBlockOffering
from cdktf_cdktf_provider_aws.ec2_capacity_reservation import Ec2CapacityReservation
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup
from constructs import Construct

from cdk.aws.naming import address, named

PurchaseKind = Literal["reserved", "capacity_block", "on_demand", "spot"]

DRAIN_TIME: Final = "10:30:00Z"
"""When nodes of a block are let go on its last day: blocks end at 11:30 UTC, and EC2 terminates what still runs from
11:00 (EC2 user guide, "Capacity Blocks for ML"); EKS asks for more than 30 minutes to drain before (EKS user guide,
"Create self-managed nodes with Capacity Blocks for ML")."""

OTHER_ZONE: Final = (
    "The Capacity Block on offer stands in another zone than the cluster. Set capacity.block.zone to the zone id of "
    "the block, or choose another start."
)


@dataclass(frozen=True)
class BlockConfig:
    """A Capacity Block."""

    instances: int
    start: date
    days: int

    @property
    def drain_at(self) -> str:
        """RFC 3339 time at which its nodes are let go."""
        return f"{self.start + timedelta(days=self.days)}T{DRAIN_TIME}"


@dataclass(frozen=True)
class HeldCapacity:
    """A reservation that launch templates target."""

    reservation_id: str
    reservation: Ec2CapacityReservation | None = None
    """What is on the bill; None where it was bought outside."""

    @property
    def billed(self) -> str | None:
        """Terraform address of what is on the bill."""
        return address(self.reservation) if self.reservation else None


def reserve(
    scope: Construct,
    *,
    name: str,
    instance_type: str,
    nodes: int,
    zone_name: str,
    placement_group: PlacementGroup | None,
) -> HeldCapacity:
    """A targeted On-Demand Capacity Reservation, inside the placement group of the gang."""
    reservation = named(
        Ec2CapacityReservation(
            scope,
            "reservation",
            instance_type=instance_type,
            instance_platform="Linux/UNIX",
            instance_count=nodes,
            availability_zone=zone_name,
            # Only launches that name it may use it: another team's instance of the same type cannot take a place.
            instance_match_criteria="targeted",
            placement_group_arn=placement_group.arn if placement_group else None,
            end_date_type="unlimited",
            tags={"Name": name},
        ),
        "reserved",
    )
    return HeldCapacity(reservation.id, reservation)


def capacity_block_offering(
    scope: Construct, *, instance_type: str, zone_name: str, block: BlockConfig
) -> DataAwsEc2CapacityBlockOffering:
    """What EC2 offers for these days, in the zone of the cluster. It is looked up, not bought.

    Buying is left to the owner: `aws_ec2_capacity_block_reservation` ends with an error after the purchase and leaves
    the resource tainted, so that the next apply would buy a second block (hashicorp/terraform-provider-aws, issue
    46829, seen with 5.100 and 6.32).
    """
    return named(
        DataAwsEc2CapacityBlockOffering(
            scope,
            "offering",
            instance_type=instance_type,
            instance_count=block.instances,
            capacity_duration_hours=block.days * 24,
            start_date_range=f"{block.start}T00:00:00Z",
            end_date_range=f"{block.start + timedelta(days=block.days)}T23:59:59Z",
            # A request cannot name a zone, and what EC2 offers elsewhere is of no use.
            lifecycle=TerraformResourceLifecycle(
                postcondition=[
                    Postcondition(
                        condition=Op.eq(TerraformSelf.get_string("availability_zone"), zone_name),
                        error_message=OTHER_ZONE,
                    )
                ]
            ),
        ),
        "capacity_block",
    )


def purchase_command(offering: DataAwsEc2CapacityBlockOffering, region: str) -> str:
    """What buys the offering."""
    return (
        f"aws ec2 purchase-capacity-block --region {region} --instance-platform Linux/UNIX "
        f"--capacity-block-offering-id {offering.capacity_block_offering_id}"
    )
