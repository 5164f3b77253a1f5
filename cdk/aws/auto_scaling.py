"""Nodes in Auto Scaling groups: a launch template and a group for every purchase kind."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cdktf import Fn, ITerraformDependable, TerraformLocal, TerraformResourceLifecycle, TerraformVariable, Token
from cdktf_cdktf_provider_aws.autoscaling_group import (
    AutoscalingGroup,
    AutoscalingGroupInitialLifecycleHook,
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
from constructs import Construct

from cdk.aws.capacity import BlockConfig, ReservedCapacity
from cdk.aws.launch_template import TemplateConfig, launch_template
from cdk.aws.phases import running_nodes
from cdk.aws.schedules import Schedule, add_schedule
from cdk.naming import named
from provider_catalog.purchase_kinds import PurchaseKind, slug

USER_DATA_LIMIT_BYTES: Final = 16 * 1024
"""Largest user data before base64 (EC2 user guide, "Run commands when you launch an EC2 instance with user data
input")."""
COMPRESSED_MARGIN_BYTES: Final = 1024
BOOT_SECONDS: Final = 900
"""Grace period before the health of a node counts: GPU instances with terabytes of memory take minutes to start."""
NOTICE_SECONDS: Final = 120
"""Time between the notice and the end of a Spot node (EC2 user guide, "Spot Instance interruption notices")."""
READY_HOOK: Final = "ready"
"""Lifecycle hook that holds a new node until it reports that it is ready."""
READY_SECONDS: Final = 7200
"""Time in which a node has to report: the longest heartbeat (Auto Scaling API reference, PutLifecycleHook). Boot takes
minutes, and a burn-in of eight GPUs under DCGM's level 3 about an hour."""


@dataclass(frozen=True)
class NodeConfig:
    """Settings that all nodes of a cluster have in common."""

    template: TemplateConfig
    subnet_id: str
    gang: bool
    """Whether all nodes work together: they share a placement group, and only the owner replaces a running node."""
    depends_on: Sequence[ITerraformDependable]
    """Resources that must exist from before the first node boots until the last node has ended."""


def encoded_user_data(scope: Construct, text: str) -> str:
    """Base64 of `text`, compressed where it is too long otherwise. The HCL shows `text` as `local.user_data`.

    `text` is a local because cdktf strips the braces of references within arguments of a function. cloud-init unpacks
    compressed user data (cloud-init documentation, "User-data formats", Gzip compressed content).

    Raises:
        ValueError: `text` is longer than EC2 accepts.
    """
    local = TerraformLocal(scope, "user_data", text).as_string
    if len(text.encode()) <= USER_DATA_LIMIT_BYTES:
        return Fn.base64encode(local)
    # Values that Terraform fills in later are a little longer than the references that stand for them here.
    size_bytes = len(gzip.compress(text.encode(), mtime=0)) + COMPRESSED_MARGIN_BYTES
    if size_bytes > USER_DATA_LIMIT_BYTES:
        raise ValueError(
            f"user data has {size_bytes} bytes compressed; EC2 takes {USER_DATA_LIMIT_BYTES}. Shorten the scripts"
        )
    return Fn.base64gzip(local)


def group_name(cluster: str, kind: PurchaseKind) -> str:
    """Name of the Auto Scaling group with the nodes of a purchase kind."""
    return f"{cluster}-{slug(kind)}"


class AutoScalingNodes(Construct):
    """The nodes of one purchase kind.

    Args:
        capacity: Reserved capacity in which the nodes run; None: they run outside of any.
        block: The Capacity Block, if `capacity` is one.
        block_active: Variable that tells whether the block has started. EC2 launches no node before that.
        validating: Nodes in the phase `validate`; None: all nodes.
        schedule: Scheduled actions that start and stop the nodes; None: all nodes run all the time.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        kind: PurchaseKind,
        nodes: int,
        config: NodeConfig,
        placement_group: str | None,
        capacity: ReservedCapacity | None = None,
        block: BlockConfig | None = None,
        block_active: TerraformVariable | None = None,
        validating: int | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._kind = kind
        self._name = group_name(config.template.name, kind)
        self._config = config
        template = replace(
            config.template,
            name=self._name,
            description=f"Nodes of cluster {config.template.name}, {slug(kind)}",
        )
        self.launch_template = launch_template(self, template, kind, capacity=capacity, block=block is not None)
        running = running_nodes(nodes, nodes if validating is None else validating, block_active)
        # Lowering the maximum is what ends nodes of a schedule in the phase `validate`.
        most = nodes if schedule is None else running
        self.group = self._group(nodes, running, most, placement_group, scheduled=schedule is not None)
        if schedule is not None:
            add_schedule(
                self,
                schedule,
                role=kind,
                name=self._name,
                group_name=self.group.name,
                validating=nodes if validating is None else validating,
                keeps_least=kind != "spot",
            )
        if block is not None:
            self._end_with_block(block)
        if kind == "spot" and not config.gang:
            self._wait_for_save()

    def _group(
        self, nodes: int, running: int | float, most: int | float, placement_group: str | None, *, scheduled: bool
    ) -> AutoscalingGroup:
        config = self._config
        spot = self._kind == "spot"
        version = Token.as_string(self.launch_template.latest_version)
        return named(
            AutoscalingGroup(
                self,
                "nodes",
                name=self._name,
                # A gang is useless unless it is complete; replicas on Spot run on as many nodes as there are.
                min_size=0 if scheduled or (spot and not config.gang) else running,
                max_size=most,
                desired_capacity=running,
                vpc_zone_identifier=[config.subnet_id],
                placement_group=placement_group,
                launch_template=(
                    None if spot else AutoscalingGroupLaunchTemplate(id=self.launch_template.id, version=version)
                ),
                mixed_instances_policy=self._spot_policy(version) if spot else None,
                # Replacing a node at the first sign of a reclaim saves a replica, but costs a gang a restart.
                capacity_rebalance=spot and not config.gang,
                # A node that has not reported by then, or reports a failure, is ended and started again.
                initial_lifecycle_hook=[
                    AutoscalingGroupInitialLifecycleHook(
                        name=READY_HOOK,
                        lifecycle_transition="autoscaling:EC2_INSTANCE_LAUNCHING",
                        heartbeat_timeout=READY_SECONDS,
                        default_result="ABANDON",
                    )
                ],
                health_check_type="EC2",
                health_check_grace_period=BOOT_SECONDS,
                suspended_processes=["AZRebalance"],
                # A new template, such as one with a new image, replaces replicas one by one. The owner of a gang
                # replaces its nodes.
                instance_refresh=None if config.gang else _one_by_one(nodes),
                # GPU capacity may take hours to arrive; Terraform does not wait for it.
                wait_for_capacity_timeout="0",
                tag=[
                    AutoscalingGroupTag(key=key, value=value, propagate_at_launch=False)
                    for key, value in {**config.template.tags, "Name": self._name}.items()
                ],
                timeouts=AutoscalingGroupTimeouts(delete="30m"),
                # Scheduled actions set these counts.
                lifecycle=(
                    TerraformResourceLifecycle(ignore_changes=["desired_capacity", "min_size"]) if scheduled else None
                ),
                depends_on=list(config.depends_on),
            ),
            self._kind,
        )

    def _end_with_block(self, block: BlockConfig) -> None:
        """Adds the scheduled action that terminates the nodes before their Capacity Block ends."""
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

    def _wait_for_save(self) -> None:
        """Adds a hook that gives a node that is being replaced as much time to save its work as a Spot notice does."""
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
    """Terminates the old node before the new one starts: reserved capacity has no room for an additional node."""
    return AutoscalingGroupInstanceRefresh(
        strategy="Rolling",
        preferences=AutoscalingGroupInstanceRefreshPreferences(
            min_healthy_percentage=(nodes - 1) * 100 // nodes,
            max_healthy_percentage=100,
            instance_warmup=str(BOOT_SECONDS),
            skip_matching=True,
        ),
    )
