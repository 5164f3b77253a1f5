"""Nodes without an orchestrator: for every kind of purchase a launch template and an Auto Scaling group."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cdktf import Fn, ITerraformDependable, TerraformLocal, TerraformVariable, Token
from cdktf_cdktf_provider_aws.autoscaling_group import (
    AutoscalingGroup,
    AutoscalingGroupInstanceRefresh,
    AutoscalingGroupInstanceRefreshPreferences,
    AutoscalingGroupLaunchTemplate,
    AutoscalingGroupMixedInstancesPolicy,
    AutoscalingGroupMixedInstancesPolicyInstancesDistribution,
    AutoscalingGroupMixedInstancesPolicyLaunchTemplate,
    AutoscalingGroupMixedInstancesPolicyLaunchTemplateLaunchTemplateSpecification,
    AutoscalingGroupTag,
    AutoscalingGroupTimeouts,
)
from cdktf_cdktf_provider_aws.autoscaling_lifecycle_hook import AutoscalingLifecycleHook
from cdktf_cdktf_provider_aws.autoscaling_schedule import AutoscalingSchedule
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup
from constructs import Construct

from cdk.aws.capacity import BlockConfig, HeldCapacity
from cdk.aws.launch_template import TemplateConfig, launch_template
from cdk.aws.phases import running_nodes
from cdk.naming import named
from provider_catalog.purchase_kinds import PurchaseKind, slug

USER_DATA_LIMIT_BYTES: Final = 16 * 1024
"""Before it is encoded (EC2 user guide, "Run commands when you launch an EC2 instance with user data input")."""
COMPRESSED_MARGIN_BYTES: Final = 1024
BOOT_SECONDS: Final = 900
"""Until the health of a node counts: GPU instances with terabytes of memory take minutes to start."""
NOTICE_SECONDS: Final = 120
"""Between the notice and the end of a Spot node (EC2 user guide, "Spot Instance interruption notices")."""


@dataclass(frozen=True)
class NodeConfig:
    """What all nodes of a cluster have in common."""

    template: TemplateConfig
    subnet_id: str
    gang: bool
    """All nodes or none: one placement group, and nobody but the owner replaces a running node."""
    depends_on: Sequence[ITerraformDependable]
    """What has to be there before the first node boots, and until the last one is gone."""


def encoded_user_data(scope: Construct, text: str) -> str:
    """Base64 of `text`, which stands in the HCL as `local.user_data`, readable; compressed where it must be.

    A local and not an argument of the function: cdktf strips the braces of references within string arguments.
    cloud-init unpacks what is compressed (cloud-init documentation, "User-data formats", Gzip compressed content).

    Raises:
        ValueError: `text` is longer than EC2 takes.
    """
    local = TerraformLocal(scope, "user_data", text).as_string
    if len(text.encode()) <= USER_DATA_LIMIT_BYTES:
        return Fn.base64encode(local)
    # Addresses that Terraform fills in later are a little longer than the references that stand for them.
    size_bytes = len(gzip.compress(text.encode(), mtime=0)) + COMPRESSED_MARGIN_BYTES
    if size_bytes > USER_DATA_LIMIT_BYTES:
        raise ValueError(
            f"user data has {size_bytes} bytes compressed, and EC2 takes {USER_DATA_LIMIT_BYTES}: shorten the scripts"
        )
    return Fn.base64gzip(local)


class AutoScalingNodes(Construct):
    """The nodes of one kind of purchase.

    Args:
        held: The reserved capacity that the nodes stand in.
        block: The Capacity Block, where that is what is held.
        block_active: Whether the block has started and its nodes may run; before, EC2 launches none.
        validating: Nodes in the phase `validate`; all of them when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        kind: PurchaseKind,
        nodes: int,
        config: NodeConfig,
        placement_group: PlacementGroup | None,
        held: HeldCapacity | None = None,
        block: BlockConfig | None = None,
        block_active: TerraformVariable | None = None,
        validating: int | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._kind = kind
        self._name = f"{config.template.name}-{slug(kind)}"
        self._config = config
        template = replace(
            config.template,
            name=self._name,
            description=f"Nodes of cluster {config.template.name}, {slug(kind)}",
        )
        self.launch_template = launch_template(self, template, kind, held=held, block=block is not None)
        running = running_nodes(nodes, nodes if validating is None else validating, block_active)
        self.group = self._group(nodes, running, placement_group)
        if block is not None:
            self._let_go(block)
        if kind == "spot" and not config.gang:
            self._announce_end()

    def _group(self, nodes: int, running: int | float, placement_group: PlacementGroup | None) -> AutoscalingGroup:
        config = self._config
        spot = self._kind == "spot"
        version = Token.as_string(self.launch_template.latest_version)
        return named(
            AutoscalingGroup(
                self,
                "nodes",
                name=self._name,
                # A gang is whole or useless; replicas on Spot run with what the market leaves.
                min_size=0 if spot and not config.gang else running,
                max_size=nodes,
                desired_capacity=running,
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
                # A new template, such as one with a new image, replaces replicas one by one. A gang is its owner's.
                instance_refresh=None if config.gang else _one_by_one(nodes),
                # GPU capacity may take hours to come: the state must not depend on how long Terraform waits.
                wait_for_capacity_timeout="0",
                tag=[
                    AutoscalingGroupTag(key=key, value=value, propagate_at_launch=False)
                    for key, value in {**config.template.tags, "Name": self._name}.items()
                ],
                timeouts=AutoscalingGroupTimeouts(delete="30m"),
                depends_on=list(config.depends_on),
            ),
            self._kind,
        )

    def _let_go(self, block: BlockConfig) -> None:
        named(
            AutoscalingSchedule(
                self,
                "end",
                scheduled_action_name=f"{self._name}-end",
                autoscaling_group_name=self.group.name,
                start_time=block.drain_at,
                min_size=0,
                max_size=-1,
                desired_capacity=0,
            ),
            "capacity_block_end",
        )

    def _announce_end(self) -> None:
        """Keeps a node that is being replaced for as long as a Spot notice lasts, so that it can save its work."""
        named(
            AutoscalingLifecycleHook(
                self,
                "notice",
                name="save-work",
                autoscaling_group_name=self.group.name,
                lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
                heartbeat_timeout=NOTICE_SECONDS,
                default_result="CONTINUE",
            ),
            "spot_notice",
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


def _one_by_one(nodes: int) -> AutoscalingGroupInstanceRefresh:
    """The old node goes before the new one comes: reserved capacity has no room for a node more than planned."""
    return AutoscalingGroupInstanceRefresh(
        strategy="Rolling",
        preferences=AutoscalingGroupInstanceRefreshPreferences(
            min_healthy_percentage=(nodes - 1) * 100 // nodes,
            max_healthy_percentage=100,
            instance_warmup=str(BOOT_SECONDS),
            skip_matching=True,
        ),
    )
