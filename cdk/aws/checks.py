"""Checks that Terraform makes when it plans, before it creates anything: zone, quotas, image, reservation.

Each check is a data source with a condition. A plan in which one fails creates nothing. The messages name the field of
the spec, or the quota, to change.
"""

from dataclasses import dataclass
from typing import Final

from cdktf import Postcondition, TerraformResourceLifecycle
from cdktf_cdktf_provider_aws.data_aws_ami_ids import DataAwsAmiIds, DataAwsAmiIdsFilter
from cdktf_cdktf_provider_aws.data_aws_availability_zone import DataAwsAvailabilityZone
from cdktf_cdktf_provider_aws.data_aws_cloudcontrolapi_resource import DataAwsCloudcontrolapiResource
from cdktf_cdktf_provider_aws.data_aws_ec2_instance_type_offerings import (
    DataAwsEc2InstanceTypeOfferings,
    DataAwsEc2InstanceTypeOfferingsFilter,
)
from cdktf_cdktf_provider_aws.data_aws_servicequotas_service_quota import DataAwsServicequotasServiceQuota
from cdktf_cdktf_provider_aws.data_aws_ssm_parameters_by_path import DataAwsSsmParametersByPath
from constructs import Construct

from cdk.naming import named

RESERVATION_TYPE: Final = "AWS::EC2::CapacityReservation"
GROUP_TYPE: Final = "AWS::ResourceGroups::Group"
RESERVATION_POOL: Final = "AWS::EC2::CapacityReservationPool"
"""Configuration of a resource group that instances can be launched into (Resource Groups user guide, "Service
configurations for resource groups")."""


@dataclass(frozen=True)
class Quota:
    """A quota of the account, and what the nodes take of it."""

    role: str
    """Name in the HCL."""
    name: str
    code: str
    needed_vcpus: int
    nodes: str
    """The nodes in words."""


@dataclass(frozen=True)
class ReservationNeeds:
    """Requirements that an existing reservation must meet."""

    reservation_id: str
    instance_type: str
    zone_id: str
    nodes: int
    placement_group: str | None


def require_zone(scope: Construct, *, instance_type: str, zone_id: str, region: str, field: str) -> None:
    """Adds the look-up of the zones that sell the type, which fails unless `zone_id` is one of them.

    Args:
        scope: Construct to which it is added.
        instance_type: Type of the nodes.
        zone_id: Zone in which they are planned.
        region: Region of the zone, for the message.
        field: Field of the spec that decides the zone, for the message.
    """
    sold = f'length(self.locations) == 0 ? "no zone of {region}" : join(", ", sort(self.locations))'
    named(
        DataAwsEc2InstanceTypeOfferings(
            scope,
            "offerings",
            location_type="availability-zone-id",
            filter=[DataAwsEc2InstanceTypeOfferingsFilter(name="instance-type", values=[instance_type])],
            lifecycle=_conditions(
                (
                    f'contains(self.locations, "{zone_id}")',
                    f"{field}: AWS does not sell {instance_type} in {zone_id}. It sells the type in: ${{{sold}}}. Name "
                    "such a zone, or another region in placement.regions.",
                )
            ),
        ),
        "nodes",
    )


def require_quota(scope: Construct, quota: Quota, region: str) -> None:
    """Adds the look-up of a quota, which fails unless it holds all nodes of the plan.

    What other instances of the account take of the quota is not subtracted: Service Quotas does not know it.
    """
    named(
        DataAwsServicequotasServiceQuota(
            scope,
            f"{quota.role}_quota",
            service_code="ec2",
            quota_code=quota.code,
            lifecycle=_conditions(
                (
                    f"self.value >= {quota.needed_vcpus}",
                    f"The quota '{quota.name}' ({quota.code}) is ${{self.value}} vCPUs in {region}, and {quota.nodes} "
                    f"take {quota.needed_vcpus}. Ask AWS for more in the console (Service Quotas, Amazon EC2) or with: "
                    f"aws service-quotas request-service-quota-increase --region {region} --service-code ec2 "
                    f"--quota-code {quota.code} --desired-value {quota.needed_vcpus}. Or plan fewer nodes "
                    "(placement.max_nodes).",
                )
            ),
        ),
        quota.role,
    )


def require_parameter(scope: Construct, *, name: str, fix: str) -> None:
    """Adds the look-up of a public parameter that names an image, which fails unless it exists.

    Args:
        scope: Construct to which it is added.
        name: Name of the parameter.
        fix: What to change otherwise, a sentence.
    """
    named(
        DataAwsSsmParametersByPath(
            scope,
            "image",
            path=name.rpartition("/")[0],
            lifecycle=_conditions(
                (
                    f'contains(self.names, "{name}")',
                    f"The image of the nodes does not exist: AWS publishes no parameter {name} in this region. {fix}",
                )
            ),
        ),
        "image",
    )


def require_image(scope: Construct, *, name: str, fix: str) -> None:
    """Adds the look-up of the images of AWS with a name, which fails unless there is one.

    Args:
        scope: Construct to which it is added.
        name: Name of the image, with wildcards.
        fix: What to change otherwise, a sentence.
    """
    named(
        DataAwsAmiIds(
            scope,
            "image",
            owners=["amazon"],
            filter=[DataAwsAmiIdsFilter(name="name", values=[name])],
            # AWS deprecates images two years after their release, and ParallelCluster goes on using them.
            include_deprecated=True,
            lifecycle=_conditions(
                (
                    "length(self.ids) > 0",
                    f"The image of the nodes does not exist: AWS publishes no image {name} in this region. {fix}",
                )
            ),
        ),
        "image",
    )


def require_reservation(scope: Construct, needs: ReservationNeeds) -> None:
    """Adds the look-up of a reservation, which fails unless the nodes can run in it.

    The provider has no data source for reservations; Cloud Control reads them under the name of their CloudFormation
    type.
    """
    zone = named(DataAwsAvailabilityZone(scope, "zone", zone_id=needs.zone_id), "nodes")
    found = "jsondecode(self.properties)"
    group = f'try(element(split("/", {found}.PlacementGroupArn), -1), "")'
    named(
        DataAwsCloudcontrolapiResource(
            scope,
            "reservation",
            type_name=RESERVATION_TYPE,
            identifier=needs.reservation_id,
            lifecycle=_conditions(
                (
                    f'{found}.InstanceType == "{needs.instance_type}"',
                    f"capacity.reservation.id: {needs.reservation_id} holds ${{{found}.InstanceType}}, and the "
                    f"nodes are {needs.instance_type}. Set capacity.reservation.instance_type to the type of the "
                    "reservation.",
                ),
                (
                    f"{found}.AvailabilityZone == {zone.fqn}.name",
                    f"capacity.reservation.id: {needs.reservation_id} is in zone ${{{found}.AvailabilityZone}} of this "
                    f"account, and the cluster is planned in ${{{zone.fqn}.name}} ({needs.zone_id}). Set "
                    "capacity.reservation.zone to the zone id of the reservation.",
                ),
                (
                    f"try({found}.TotalInstanceCount, {found}.InstanceCount) >= {needs.nodes}",
                    f"capacity.reservation.id: {needs.reservation_id} holds "
                    f"${{try({found}.TotalInstanceCount, {found}.InstanceCount)}} instances, and the plan has "
                    f"{needs.nodes} nodes. Set capacity.reservation.instances, or enlarge the reservation.",
                ),
                (
                    # Without an end date, or with one in another format than RFC 3339, nothing is compared.
                    f"try(timecmp({found}.EndDate, plantimestamp()) > 0, true)",
                    f'capacity.reservation.id: {needs.reservation_id} ended on ${{try({found}.EndDate, "")}}. Name '
                    "another reservation.",
                ),
                (
                    f'{group} == "{needs.placement_group or ""}"',
                    f"capacity.reservation.placement_group: {needs.reservation_id} was made in "
                    f'${{{group} == "" ? "no placement group" : {group}}}, and its nodes have to be started there. Set '
                    "the field to that name, or leave it out where there is none.",
                ),
            ),
        ),
        "reservation",
    )


def require_reservation_group(scope: Construct, arn: str) -> None:
    """Adds the look-up of a group of reservations, which fails unless instances can be launched into it."""
    named(
        DataAwsCloudcontrolapiResource(
            scope,
            "reservation_group",
            type_name=GROUP_TYPE,
            identifier=arn.partition(":group/")[2],
            lifecycle=_conditions(
                (
                    "anytrue([for each in try(jsondecode(self.properties).Configuration, []) : "
                    f'each.Type == "{RESERVATION_POOL}"])',
                    f"capacity.reservation.group: {arn} is not a group of capacity reservations. Make one whose "
                    f"configuration has the type {RESERVATION_POOL}.",
                )
            ),
        ),
        "reservations",
    )


def _conditions(*rules: tuple[str, str]) -> TerraformResourceLifecycle:
    return TerraformResourceLifecycle(
        postcondition=[Postcondition(condition=f"${{{condition}}}", error_message=text) for condition, text in rules]
    )
