"""Checks of a plan against the account, which the network and the compute stack make before they create anything."""

from typing import Final

from cdktf import TerraformStack

from cdk.aws.checks import (
    Quota,
    ReservationNeeds,
    require_image,
    require_parameter,
    require_quota,
    require_reservation,
    require_reservation_group,
    require_zone,
)
from planner.market.place import place_of
from planner.plan.plan import Plan
from planner.search.quotas import needed_quotas
from planner.spec import OwnReservation
from provider_catalog.catalog import Catalog
from provider_catalog.node_images import DEEP_LEARNING_IMAGE
from stacks.aws.zones import zone_field, zone_id

IMAGE_PARAMETER: Final = DEEP_LEARNING_IMAGE
EKS_PARAMETERS: Final = "/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/x86_64/nvidia/recommended/image_id"
"""Image of GPU nodes by version of Kubernetes (EKS user guide, "Retrieve recommended Amazon Linux AMI IDs")."""
PARALLELCLUSTER_IMAGE: Final = "aws-parallelcluster-3.16.*-amzn2023-hvm-x86_64-*"
"""Images of ParallelCluster 3.16 for Amazon Linux 2023 (aws-parallelcluster, `pcluster/aws/ec2.py`)."""
OTHER_REGION: Final = "Name another region in placement.regions."


def add_checks(stack: TerraformStack, plan: Plan, catalog: Catalog) -> None:
    """Adds the checks of zone, quotas, image and reservation to a stack.

    The network stack makes them, so that nothing exists yet when one fails; the compute stack makes them again, because
    a later plan may have more nodes.

    Raises:
        SpecError: the zone is not one of the region.
    """
    choice = plan.choice
    zone, sold = zone_id(plan, catalog), catalog.instance_type("aws", choice.instance_type)
    require_zone(stack, instance_type=sold.name, zone_id=zone, region=choice.region, field=zone_field(plan.spec, zone))
    for need in needed_quotas(choice.purchase, place_of("aws", catalog), sold.name):
        quota = Quota(
            role=need.market.replace("-", "_"),
            name=need.name,
            code=need.code,
            needed_vcpus=need.vcpus,
            nodes=f"{need.nodes} x {sold.name}",
        )
        require_quota(stack, quota, choice.region)
    _require_image(stack, plan)
    own = plan.spec.capacity.reservation
    if not isinstance(own, OwnReservation):
        return
    if own.group is not None:
        require_reservation_group(stack, own.group)
    elif own.id is not None:
        require_reservation(
            stack, ReservationNeeds(own.id, sold.name, zone, choice.purchase.reserved_nodes, own.placement_group)
        )


def _require_image(stack: TerraformStack, plan: Plan) -> None:
    version = plan.spec.kubernetes.version
    match plan.spec.orchestrator:
        case "none":
            require_parameter(stack, name=IMAGE_PARAMETER, fix=OTHER_REGION)
        case "kubernetes":
            fix = f"Set kubernetes.version, now {version}, to a version for which EKS has GPU images. {OTHER_REGION}"
            require_parameter(stack, name=EKS_PARAMETERS.format(version=version), fix=fix)
        case "slurm":
            require_image(stack, name=PARALLELCLUSTER_IMAGE, fix=OTHER_REGION)
