"""Reserved capacity: On-Demand Capacity Reservations and Capacity Blocks (rules A7, A8)."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from cdktf import Op, Postcondition, TerraformResourceLifecycle, TerraformSelf
from cdktf_cdktf_provider_aws.data_aws_ec2_capacity_block_offering import DataAwsEc2CapacityBlockOffering
from cdktf_cdktf_provider_aws.ec2_capacity_reservation import Ec2CapacityReservation
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup
from constructs import Construct

from cdk.naming import address, named

DRAIN_TIME: Final = "10:30:00Z"
"""Time at which the nodes of a block are terminated on its last day. Blocks end at 11:30 UTC, and from 11:00 on EC2
terminates whatever still runs (EC2 user guide, "Capacity Blocks for ML"); EKS needs more than 30 minutes before that to
drain its nodes (EKS user guide, "Create self-managed nodes with Capacity Blocks for ML")."""

OTHER_ZONE: Final = (
    "The Capacity Block that AWS offers is in another zone than the cluster. Set capacity.block.zone to the zone id of "
    "the block, or choose another start."
)


@dataclass(frozen=True)
class BlockConfig:
    """A Capacity Block to buy or to use."""

    instances: int
    start: date
    days: int

    @property
    def drain_at(self) -> str:
        """RFC 3339 time at which the nodes of the block are terminated."""
        return f"{self.start + timedelta(days=self.days)}T{DRAIN_TIME}"


@dataclass(frozen=True)
class ReservedCapacity:
    """A reservation, or a group of reservations, that launch templates target: `reservation_id` or `group_arn`."""

    reservation_id: str | None = None
    group_arn: str | None = None
    reservation: Ec2CapacityReservation | None = None
    """The reservation, which is billed; None where the user bought the capacity outside of Terraform."""

    @property
    def billed(self) -> str | None:
        """Terraform address of the billed reservation; None where Terraform does not buy it."""
        return address(self.reservation) if self.reservation else None


def reserve(
    scope: Construct,
    *,
    name: str,
    instance_type: str,
    nodes: int,
    zone_name: str,
    placement_group: PlacementGroup | None,
) -> ReservedCapacity:
    """Adds a targeted On-Demand Capacity Reservation, inside the placement group of the gang if there is one."""
    reservation = named(
        Ec2CapacityReservation(
            scope,
            "reservation",
            instance_type=instance_type,
            instance_platform="Linux/UNIX",
            instance_count=nodes,
            availability_zone=zone_name,
            # Only launches that name the reservation may use it, so that no instance of another team takes a place.
            instance_match_criteria="targeted",
            placement_group_arn=placement_group.arn if placement_group else None,
            end_date_type="unlimited",
            tags={"Name": name},
        ),
        "reserved",
    )
    return ReservedCapacity(reservation.id, reservation=reservation)


def capacity_block_offering(
    scope: Construct, *, instance_type: str, zone_name: str, block: BlockConfig
) -> DataAwsEc2CapacityBlockOffering:
    """Adds the look-up of the Capacity Block that EC2 offers for these days in the zone of the cluster.

    Terraform does not buy it, the owner does: `aws_ec2_capacity_block_reservation` fails after the purchase and leaves
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
            # A request cannot name a zone, and a block in another zone is useless.
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
    """Shell command that buys the offering."""
    return (
        f"aws ec2 purchase-capacity-block --region {region} --instance-platform Linux/UNIX "
        f"--capacity-block-offering-id {offering.capacity_block_offering_id}"
    )
