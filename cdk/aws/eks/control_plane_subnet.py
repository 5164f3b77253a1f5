"""Subnets for the control plane of a Kubernetes cluster: EKS needs two zones, although all nodes are in one."""

from collections.abc import Sequence
from typing import Final

from cdktf import Fn, Postcondition, TerraformResourceLifecycle, Token
from cdktf_cdktf_provider_aws.data_aws_availability_zones import (
    DataAwsAvailabilityZones,
    DataAwsAvailabilityZonesFilter,
)
from cdktf_cdktf_provider_aws.subnet import Subnet
from constructs import Construct

from cdk.naming import named

NAMES: Final = ("control_plane", "control_plane_second")
"""Names of the subnets in the HCL."""


class ControlPlaneSubnets(Construct):
    """Private subnets in other zones, for interfaces of the control plane only; they have no routes to the outside.

    Args:
        cidrs: Ranges of the subnets, each in a zone of its own: one if the zone of the nodes can hold a control plane,
            otherwise two.
        compute_zone_id: Zone of the nodes.
        avoided_zone_ids: Zones in which EKS places no control plane.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        vpc_id: str,
        cidrs: Sequence[str],
        compute_zone_id: str,
        avoided_zone_ids: Sequence[str],
    ) -> None:
        super().__init__(scope, construct_id)
        zones = named(
            DataAwsAvailabilityZones(
                self,
                "zones",
                state="available",
                exclude_zone_ids=sorted({compute_zone_id, *avoided_zone_ids}),
                # Local Zones need an opt-in, and cannot hold a control plane.
                filter=[DataAwsAvailabilityZonesFilter(name="opt-in-status", values=["opt-in-not-required"])],
                lifecycle=TerraformResourceLifecycle(
                    postcondition=[
                        Postcondition(
                            condition=f"${{length(self.names) >= {len(cidrs)}}}",
                            error_message=(
                                f"placement.zone: beside {compute_zone_id}, the control plane of EKS takes "
                                f"{len(cidrs)} other zone(s) of the region, and this account has fewer that can hold "
                                "one. Choose another placement.zone or region, or orchestrator slurm or none."
                            ),
                        )
                    ]
                ),
            ),
            "others",
        )
        self.subnets = [
            named(
                Subnet(
                    self,
                    "subnet" if index == 0 else f"subnet_{index}",
                    vpc_id=vpc_id,
                    cidr_block=cidr,
                    availability_zone=Token.as_string(Fn.element(zones.names, index)),
                    map_public_ip_on_launch=False,
                    tags={"Name": f"{name}-{NAMES[index].replace('_', '-')}"},
                    # A new zone of AWS must not move the subnet.
                    lifecycle={"ignore_changes": ["availability_zone"]},
                ),
                NAMES[index],
            )
            for index, cidr in enumerate(cidrs)
        ]
