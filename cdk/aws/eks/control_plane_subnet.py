"""The subnet of a Kubernetes cluster in a second zone: EKS needs two zones, although all nodes are in one."""

from typing import Final

from cdktf import Fn, Token
from cdktf_cdktf_provider_aws.data_aws_availability_zones import (
    DataAwsAvailabilityZones,
    DataAwsAvailabilityZonesFilter,
)
from cdktf_cdktf_provider_aws.subnet import Subnet
from constructs import Construct

from cdk.naming import named

NO_CONTROL_PLANE: Final = ("use1-az3", "usw1-az2", "cac1-az3")
"""Ids of zones in which EKS places no interfaces (EKS user guide, "View Amazon EKS networking requirements for VPC and
subnets")."""


class ControlPlaneSubnet(Construct):
    """A private subnet in another zone, for interfaces of the control plane only; it has no routes to the outside."""

    def __init__(
        self, scope: Construct, construct_id: str, *, name: str, vpc_id: str, cidr: str, compute_zone_id: str
    ) -> None:
        super().__init__(scope, construct_id)
        zones = named(
            DataAwsAvailabilityZones(
                self,
                "zones",
                state="available",
                exclude_zone_ids=sorted({compute_zone_id, *NO_CONTROL_PLANE}),
                # Local Zones need an opt-in, and cannot hold a control plane.
                filter=[DataAwsAvailabilityZonesFilter(name="opt-in-status", values=["opt-in-not-required"])],
            ),
            "others",
        )
        self.subnet = named(
            Subnet(
                self,
                "subnet",
                vpc_id=vpc_id,
                cidr_block=cidr,
                availability_zone=Token.as_string(Fn.element(zones.names, 0)),
                map_public_ip_on_launch=False,
                tags={"Name": f"{name}-control-plane"},
                # A new zone of AWS must not move the subnet.
                lifecycle={"ignore_changes": ["availability_zone"]},
            ),
            "control_plane",
        )
