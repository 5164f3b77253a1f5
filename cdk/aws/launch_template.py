"""Launch templates. A template has one market, so that every purchase kind needs its own (rule A8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cdktf_cdktf_provider_aws.launch_template import (
    LaunchTemplate,
    LaunchTemplateBlockDeviceMappings,
    LaunchTemplateBlockDeviceMappingsEbs,
    LaunchTemplateCapacityReservationSpecification,
    LaunchTemplateCapacityReservationSpecificationCapacityReservationTarget,
    LaunchTemplateIamInstanceProfile,
    LaunchTemplateInstanceMarketOptions,
    LaunchTemplateMetadataOptions,
    LaunchTemplateNetworkInterfaces,
    LaunchTemplatePlacement,
    LaunchTemplateTagSpecifications,
)
from constructs import Construct

from cdk.aws.capacity import ReservedCapacity
from cdk.aws.interfaces import Interface
from cdk.naming import named

ROOT_DEVICE: Final = "/dev/xvda"
"""Root device of Amazon Linux 2023 images."""


@dataclass(frozen=True)
class TemplateConfig:
    """Settings of the nodes that a template launches."""

    name: str
    description: str
    instance_type: str
    interfaces: tuple[Interface, ...]
    security_group_id: str
    client_security_group_ids: tuple[str, ...]
    """Security groups that make a node the client of a service; they are on its primary interface only."""
    kms_key_arn: str
    root_disk_gib: int
    tags: Mapping[str, str]
    image_id: str | None = None
    """Id of the image; None if a managed service chooses it."""
    instance_profile_arn: str | None = None
    """ARN of the instance profile; None if a managed service sets it."""
    user_data: str | None = None
    """User data in base64, as EC2 takes it."""
    fabric_client_security_group_ids: tuple[str, ...] = ()
    """Security groups for services reached over EFA; they are on every interface that carries EFA."""
    placement_group: str | None = None
    """Name, where no Auto Scaling group of ours names it."""


def launch_template(
    scope: Construct,
    config: TemplateConfig,
    address: str,
    *,
    capacity: ReservedCapacity | None = None,
    block: bool = False,
) -> LaunchTemplate:
    """Adds a template, named `address` in the HCL.

    Args:
        scope: Construct to which it is added.
        config: Settings of the nodes.
        address: Name in the HCL.
        capacity: Reserved capacity that the template targets; None: it targets none.
        block: Whether `capacity` is a Capacity Block, which is a market of its own (rule A7).
    """
    return named(
        LaunchTemplate(
            scope,
            "template",
            name=config.name,
            description=config.description,
            update_default_version=True,
            image_id=config.image_id,
            instance_type=config.instance_type,
            iam_instance_profile=(
                LaunchTemplateIamInstanceProfile(arn=config.instance_profile_arn)
                if config.instance_profile_arn
                else None
            ),
            instance_market_options=(
                LaunchTemplateInstanceMarketOptions(market_type="capacity-block") if block else None
            ),
            # One hop keeps pods away from the role of the node; they get credentials from Pod Identity (rule A16).
            metadata_options=LaunchTemplateMetadataOptions(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            network_interfaces=[_interface(config, interface) for interface in config.interfaces],
            placement=(LaunchTemplatePlacement(group_name=config.placement_group) if config.placement_group else None),
            capacity_reservation_specification=_target(capacity) if capacity else None,
            block_device_mappings=[
                LaunchTemplateBlockDeviceMappings(
                    device_name=ROOT_DEVICE,
                    ebs=LaunchTemplateBlockDeviceMappingsEbs(
                        volume_type="gp3",
                        volume_size=config.root_disk_gib,
                        encrypted="true",
                        kms_key_id=config.kms_key_arn,
                        delete_on_termination="true",
                    ),
                )
            ],
            user_data=config.user_data,
            # The default tags of the provider reach the template, but not what is launched from it.
            tag_specifications=[
                LaunchTemplateTagSpecifications(resource_type=launched, tags={**config.tags, "Name": config.name})
                for launched in ("instance", "volume", "network-interface")
            ],
        ),
        address,
    )


def _target(capacity: ReservedCapacity) -> LaunchTemplateCapacityReservationSpecification:
    return LaunchTemplateCapacityReservationSpecification(
        capacity_reservation_target=LaunchTemplateCapacityReservationSpecificationCapacityReservationTarget(
            capacity_reservation_id=capacity.reservation_id,
            capacity_reservation_resource_group_arn=capacity.group_arn,
        )
    )


def _interface(config: TemplateConfig, interface: Interface) -> LaunchTemplateNetworkInterfaces:
    primary = interface.card == 0 and interface.device == 0
    return LaunchTemplateNetworkInterfaces(
        description=interface.description,
        network_card_index=interface.card,
        device_index=interface.device,
        interface_type=interface.kind,
        # EC2 accepts this argument on the primary interface only.
        associate_public_ip_address="false" if primary else None,
        delete_on_termination="true",
        security_groups=_security_groups(config, interface, primary=primary),
    )


def _security_groups(config: TemplateConfig, interface: Interface, *, primary: bool) -> list[str]:
    groups = [config.security_group_id, *(config.client_security_group_ids if primary else ())]
    if interface.kind != "interface":
        groups += [group for group in config.fabric_client_security_group_ids if group not in groups]
    return groups
