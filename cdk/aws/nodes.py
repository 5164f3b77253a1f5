"""Nodes: their security group, placement group, and for every kind of purchase a launch template and a group."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cdktf import Fn, TerraformLocal, Token
from cdktf_cdktf_provider_aws.autoscaling_group import (
    AutoscalingGroup,
    AutoscalingGroupLaunchTemplate,
    AutoscalingGroupMixedInstancesPolicy,
    AutoscalingGroupMixedInstancesPolicyInstancesDistribution,
    AutoscalingGroupMixedInstancesPolicyLaunchTemplate,
    AutoscalingGroupMixedInstancesPolicyLaunchTemplateLaunchTemplateSpecification,
    AutoscalingGroupTag,
    AutoscalingGroupTimeouts,
)
from cdktf_cdktf_provider_aws.ec2_capacity_reservation import Ec2CapacityReservation
from cdktf_cdktf_provider_aws.launch_template import (
    LaunchTemplate,
    LaunchTemplateBlockDeviceMappings,
    LaunchTemplateBlockDeviceMappingsEbs,
    LaunchTemplateCapacityReservationSpecification,
    LaunchTemplateCapacityReservationSpecificationCapacityReservationTarget,
    LaunchTemplateIamInstanceProfile,
    LaunchTemplateMetadataOptions,
    LaunchTemplateNetworkInterfaces,
    LaunchTemplateTagSpecifications,
)
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup
from cdktf_cdktf_provider_aws.security_group import SecurityGroup
from cdktf_cdktf_provider_aws.vpc_security_group_egress_rule import VpcSecurityGroupEgressRule
from cdktf_cdktf_provider_aws.vpc_security_group_ingress_rule import VpcSecurityGroupIngressRule
from constructs import Construct

from cdk.aws.interfaces import Interface
from cdk.aws.naming import named

PurchaseKind = Literal["reserved", "on_demand", "spot"]

ROOT_DEVICE: Final = "/dev/xvda"
"""Root device of Amazon Linux 2023 images."""
USER_DATA_LIMIT_BYTES: Final = 16 * 1024
"""Before it is encoded (EC2 user guide, "Run commands when you launch an EC2 instance with user data input")."""
BOOT_SECONDS: Final = 900
"""Until the health of a node counts: GPU instances with terabytes of memory take minutes to start."""


@dataclass(frozen=True)
class NodeConfig:
    """What all nodes of a cluster have in common."""

    name: str
    instance_type: str
    image_id: str
    interfaces: tuple[Interface, ...]
    subnet_id: str
    zone_name: str
    """Capacity reservations take the zone by name, as this account knows it."""
    security_group_id: str
    client_security_group_ids: tuple[str, ...]
    """Groups of the services that a node is a client of; on the primary interface only."""
    instance_profile_arn: str
    kms_key_arn: str
    root_disk_gib: int
    user_data: str
    """Base64, as EC2 wants it."""
    gang: bool
    """All nodes or none: one placement group, and nobody but the owner replaces a running node."""
    tags: Mapping[str, str]


def gang_placement(scope: Construct, name: str) -> PlacementGroup:
    """Adds the placement group that keeps the nodes of a gang close together on one network spine (rule A5)."""
    return named(PlacementGroup(scope, "placement", name=name, strategy="cluster"), "gang")


def encoded_user_data(scope: Construct, text: str) -> str:
    """Base64 of `text`, which stands in the HCL as `local.user_data`, readable.

    A local and not an argument of the function: cdktf strips the braces of references within string arguments.

    Raises:
        ValueError: `text` is longer than EC2 takes.
    """
    size_bytes = len(text.encode())
    if size_bytes > USER_DATA_LIMIT_BYTES:
        raise ValueError(
            f"user data has {size_bytes} bytes, and EC2 takes {USER_DATA_LIMIT_BYTES}: shorten the scripts"
        )
    return Fn.base64encode(TerraformLocal(scope, "user_data", text).as_string)


class NodeSecurityGroup(Construct):
    """Everything among the nodes, HTTPS to the outside, nothing from the outside (rules A1, A17)."""

    def __init__(self, scope: Construct, construct_id: str, *, name: str, vpc_id: str) -> None:
        super().__init__(scope, construct_id)
        self.group = named(
            SecurityGroup(
                self,
                "group",
                name=f"{name}-nodes",
                description=f"Nodes of cluster {name}",
                vpc_id=vpc_id,
                tags={"Name": f"{name}-nodes"},
            ),
            "nodes",
        )
        # EFA traffic bypasses the operating system and is dropped unless the group allows both directions to itself.
        named(
            VpcSecurityGroupIngressRule(
                self,
                "from_nodes",
                description="All traffic from other nodes, EFA included",
                security_group_id=self.group.id,
                referenced_security_group_id=self.group.id,
                ip_protocol="-1",
            ),
            "from_nodes",
        )
        named(
            VpcSecurityGroupEgressRule(
                self,
                "to_nodes",
                description="All traffic to other nodes, EFA included",
                security_group_id=self.group.id,
                referenced_security_group_id=self.group.id,
                ip_protocol="-1",
            ),
            "to_nodes",
        )
        named(
            VpcSecurityGroupEgressRule(
                self,
                "to_https",
                description="HTTPS to AWS APIs, package and container registries",
                security_group_id=self.group.id,
                cidr_ipv4="0.0.0.0/0",
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
            ),
            "to_https",
        )


class NodeGroup(Construct):
    """The nodes of one kind of purchase. Kinds do not mix in one launch template (rule A8)."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        kind: PurchaseKind,
        nodes: int,
        config: NodeConfig,
        placement_group: PlacementGroup | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._kind = kind
        self._name = f"{config.name}-{kind.replace('_', '-')}"
        self._config = config
        self._reservation = self._reserve(nodes, placement_group) if kind == "reserved" else None
        self.capacity_reservation = self._reservation
        self.launch_template = self._template()
        self.group = self._group(nodes, placement_group)

    def _reserve(self, nodes: int, placement_group: PlacementGroup | None) -> Ec2CapacityReservation:
        return named(
            Ec2CapacityReservation(
                self,
                "reservation",
                instance_type=self._config.instance_type,
                instance_platform="Linux/UNIX",
                instance_count=nodes,
                availability_zone=self._config.zone_name,
                # Only launches that name it may use it: another team's instance of the same type cannot take a place.
                instance_match_criteria="targeted",
                placement_group_arn=placement_group.arn if placement_group else None,
                end_date_type="unlimited",
                tags={"Name": self._name},
            ),
            self._kind,
        )

    def _template(self) -> LaunchTemplate:
        config = self._config
        return named(
            LaunchTemplate(
                self,
                "template",
                name=self._name,
                description=f"Nodes of cluster {config.name}, {self._kind.replace('_', '-')}",
                update_default_version=True,
                image_id=config.image_id,
                instance_type=config.instance_type,
                iam_instance_profile=LaunchTemplateIamInstanceProfile(arn=config.instance_profile_arn),
                metadata_options=LaunchTemplateMetadataOptions(
                    http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
                ),
                network_interfaces=[self._interface(interface) for interface in config.interfaces],
                capacity_reservation_specification=self._target(),
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
                # Tags of the provider reach the template, not what is launched from it.
                tag_specifications=[
                    LaunchTemplateTagSpecifications(resource_type=launched, tags={**config.tags, "Name": self._name})
                    for launched in ("instance", "volume", "network-interface")
                ],
            ),
            self._kind,
        )

    def _target(self) -> LaunchTemplateCapacityReservationSpecification | None:
        if self._reservation is None:
            return None
        return LaunchTemplateCapacityReservationSpecification(
            capacity_reservation_target=LaunchTemplateCapacityReservationSpecificationCapacityReservationTarget(
                capacity_reservation_id=self._reservation.id
            )
        )

    def _interface(self, interface: Interface) -> LaunchTemplateNetworkInterfaces:
        config = self._config
        primary = interface.card == 0 and interface.device == 0
        return LaunchTemplateNetworkInterfaces(
            description=f"Card {interface.card}, device {interface.device}",
            network_card_index=interface.card,
            device_index=interface.device,
            interface_type=interface.kind,
            # The request may say so for the primary interface only.
            associate_public_ip_address="false" if primary else None,
            delete_on_termination="true",
            security_groups=[config.security_group_id, *(config.client_security_group_ids if primary else ())],
        )

    def _group(self, nodes: int, placement_group: PlacementGroup | None) -> AutoscalingGroup:
        config = self._config
        spot = self._kind == "spot"
        version = Token.as_string(self.launch_template.latest_version)
        return named(
            AutoscalingGroup(
                self,
                "nodes",
                name=self._name,
                # A gang is whole or useless; replicas on Spot run with what the market leaves.
                min_size=0 if spot and not config.gang else nodes,
                max_size=nodes,
                desired_capacity=nodes,
                vpc_zone_identifier=[config.subnet_id],
                placement_group=placement_group.name if placement_group else None,
                launch_template=(
                    None if spot else AutoscalingGroupLaunchTemplate(id=self.launch_template.id, version=version)
                ),
                mixed_instances_policy=self._spot_policy(version) if spot else None,
                # Replacing a node at the first sign of a reclaim saves a replica and costs a gang a restart.
                capacity_rebalance=spot and not config.gang,
                health_check_type="EC2",
                health_check_grace_period=BOOT_SECONDS,
                suspended_processes=["AZRebalance"],
                # GPU capacity may take hours to come: the state must not depend on how long Terraform waits.
                wait_for_capacity_timeout="0",
                tag=[
                    AutoscalingGroupTag(key=key, value=value, propagate_at_launch=False)
                    for key, value in {**config.tags, "Name": self._name}.items()
                ],
                timeouts=AutoscalingGroupTimeouts(delete="30m"),
            ),
            self._kind,
        )

    def _spot_policy(self, version: str) -> AutoscalingGroupMixedInstancesPolicy:
        return AutoscalingGroupMixedInstancesPolicy(
            instances_distribution=AutoscalingGroupMixedInstancesPolicyInstancesDistribution(
                on_demand_base_capacity=0,
                on_demand_percentage_above_base_capacity=0,
                spot_allocation_strategy="capacity-optimized",
            ),
            launch_template=AutoscalingGroupMixedInstancesPolicyLaunchTemplate(
                launch_template_specification=(
                    AutoscalingGroupMixedInstancesPolicyLaunchTemplateLaunchTemplateSpecification(
                        launch_template_id=self.launch_template.id, version=version
                    )
                )
            ),
        )
