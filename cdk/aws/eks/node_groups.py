"""Managed node groups: one for cluster services, and one for each purchase kind of GPU nodes (rule A19)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cdktf import ITerraformDependable, TerraformResourceLifecycle, TerraformVariable, Token
from cdktf_cdktf_provider_aws.autoscaling_group_tag import AutoscalingGroupTagA, AutoscalingGroupTagTag
from cdktf_cdktf_provider_aws.autoscaling_schedule import AutoscalingSchedule
from cdktf_cdktf_provider_aws.eks_node_group import (
    EksNodeGroup,
    EksNodeGroupLaunchTemplate,
    EksNodeGroupNodeRepairConfig,
    EksNodeGroupScalingConfig,
    EksNodeGroupTaint,
    EksNodeGroupTimeouts,
    EksNodeGroupUpdateConfig,
)
from constructs import Construct

from cdk.aws.capacity import BlockConfig, ReservedCapacity
from cdk.aws.interfaces import Interface
from cdk.aws.launch_template import TemplateConfig, launch_template
from cdk.aws.phases import running_nodes
from cdk.aws.schedules import Schedule, add_schedule
from cdk.naming import content_name, named
from provider_catalog.purchase_kinds import PurchaseKind, slug

GPU_IMAGE: Final = "AL2023_x86_64_NVIDIA"
"""Image of GPU nodes. It has the NVIDIA driver, the container toolkit and EFA; the manifests bring the device plugins
(EKS user guide, "Use EKS-optimized accelerated AMIs")."""
SYSTEM_IMAGE: Final = "AL2023_x86_64_STANDARD"
CAPACITY_TYPES: Final[Mapping[PurchaseKind, str]] = {
    "reserved": "ON_DEMAND",
    "on_demand": "ON_DEMAND",
    "spot": "SPOT",
    "capacity_block": "CAPACITY_BLOCK",
}
"""Capacity types of EKS. Reserved nodes are launched on demand; the launch template targets their reservation (EKS API
reference, Nodegroup)."""
GPU_TAINT: Final = EksNodeGroupTaint(key="nvidia.com/gpu", value="present", effect="NO_SCHEDULE")
GPU_LABELS: Final = {"nvidia.com/gpu.present": "true"}
"""Label by which the NVIDIA device plugin finds its nodes."""
SCALED: Final = ("desired_size", "min_size")
"""Numbers of a node group that scheduled actions and the Cluster Autoscaler set."""
EFA_LABELS: Final = {"llmcluster/efa": "true"}
RAID: Final = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  instance:
    localStorage:
      strategy: RAID0
"""
"""Configuration that joins all local NVMe disks into one RAID 0 for containers, pods and emptyDir volumes (nodeadm, API
reference, LocalStorageOptions). EKS adds the part about the cluster."""


def node_user_data(*, raid: bool, services: str | None) -> str | None:
    """Multipart user data of the GPU nodes, to which EKS adds its own part; None if it would be empty.

    Args:
        raid: Whether to join the local NVMe disks into one RAID 0.
        services: Cloud-config of the services that run on the node beside Kubernetes; None without any.
    """
    parts = {
        **({"application/node.eks.aws": RAID} if raid else {}),
        **({"text/cloud-config": services} if services else {}),
    }
    if not parts:
        return None
    text = "".join(f"--//\nContent-Type: {kind}\n\n{part}" for kind, part in parts.items())
    return f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="//"\n\n{text}--//--\n'


@dataclass(frozen=True)
class AutoscalerTags:
    """What the Cluster Autoscaler reads from a node group that it scales."""

    tags: Mapping[str, str]
    """Tags of the Auto Scaling group: by these it finds the group and learns what a node of an empty group offers."""
    labels: Mapping[str, str]
    """Labels of the nodes."""


@dataclass(frozen=True)
class NodeGroupsConfig:
    """Settings that the node groups of a cluster have in common."""

    cluster_name: str
    version: str
    node_role_arn: str
    subnet_id: str
    template: TemplateConfig
    release_version: TerraformVariable
    """Variable with the release of the GPU image; empty: the newest when a group is created."""
    depends_on: Sequence[ITerraformDependable]


class SystemNodes(Construct):
    """Nodes without GPUs, for CoreDNS, controllers and everything else that is not a job."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        config: NodeGroupsConfig,
        *,
        nodes: int,
        instance_type: str,
        root_disk_gib: int,
    ) -> None:
        super().__init__(scope, construct_id)
        name = f"{config.template.name}-system"
        self.launch_template = launch_template(
            self,
            replace(
                config.template,
                name=name,
                description=f"System nodes of cluster {config.template.name}",
                instance_type=instance_type,
                interfaces=(Interface(0, 0, "interface"),),
                root_disk_gib=root_disk_gib,
                user_data=None,
                placement_group=None,
            ),
            "system",
        )
        self.group = named(
            EksNodeGroup(
                self,
                "nodes",
                cluster_name=config.cluster_name,
                node_group_name=name,
                node_role_arn=config.node_role_arn,
                subnet_ids=[config.subnet_id],
                version=config.version,
                ami_type=SYSTEM_IMAGE,
                capacity_type="ON_DEMAND",
                scaling_config=EksNodeGroupScalingConfig(min_size=nodes, max_size=nodes + 1, desired_size=nodes),
                launch_template=_version_of(self),
                update_config=EksNodeGroupUpdateConfig(max_unavailable=1),
                depends_on=list(config.depends_on),
            ),
            "system",
        )


class GpuNodes(Construct):
    """GPU nodes of one purchase kind, in one subnet and, if they are a gang, in one placement group.

    Args:
        capacity: Reserved capacity in which the nodes run; None: they run outside of any.
        block: The Capacity Block, if `capacity` is one.
        block_active: Variable that tells whether the block has started and its nodes may run.
        validating: Nodes in the phase `validate`; None: all nodes.
        schedule: Scheduled actions that start and stop the nodes; None: all nodes run all the time.
        initial_nodes: Nodes with which the group is created, where a schedule sets the number later.
        autoscaler: What the Cluster Autoscaler reads from the group; None: it leaves the group alone.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        config: NodeGroupsConfig,
        *,
        kind: PurchaseKind,
        nodes: int,
        placement_group: str | None,
        capacity: ReservedCapacity | None = None,
        block: BlockConfig | None = None,
        block_active: TerraformVariable | None = None,
        validating: int | None = None,
        schedule: Schedule | None = None,
        initial_nodes: int | None = None,
        autoscaler: AutoscalerTags | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        label = slug(kind)
        name = f"{config.template.name}-{label}"
        template = replace(
            config.template,
            name=name,
            description=f"GPU nodes of cluster {config.template.name}, {label}",
            placement_group=placement_group,
        )
        self.launch_template = launch_template(self, template, kind, capacity=capacity, block=block is not None)
        validating = nodes if validating is None else validating
        running = running_nodes(nodes, validating, block_active)
        if schedule is not None and initial_nodes is not None:
            running = min(initial_nodes, nodes, validating)
        release = f"var.{config.release_version.friendly_unique_id}"
        efa = any(interface.kind != "interface" for interface in template.interfaces)
        self.group = named(
            EksNodeGroup(
                self,
                "nodes",
                cluster_name=config.cluster_name,
                node_group_name=name,
                node_role_arn=config.node_role_arn,
                subnet_ids=[config.subnet_id],
                version=config.version,
                release_version=f'${{{release} == "" ? null : {release}}}',
                ami_type=GPU_IMAGE,
                capacity_type=CAPACITY_TYPES[kind],
                scaling_config=EksNodeGroupScalingConfig(min_size=0, max_size=nodes, desired_size=running),
                launch_template=_version_of(self),
                labels={**GPU_LABELS, **(EFA_LABELS if efa else {}), **(autoscaler.labels if autoscaler else {})},
                taint=[GPU_TAINT],
                # A new image or template replaces nodes one by one, and drains each of them first.
                update_config=EksNodeGroupUpdateConfig(max_unavailable=1),
                # Reboots or replaces a node 10 minutes after its GPUs failed, 30 minutes after other failures (EKS user
                # guide, "Automatically repair nodes in EKS clusters").
                node_repair_config=EksNodeGroupNodeRepairConfig(enabled=True),
                # GPU capacity may take hours to arrive.
                timeouts=EksNodeGroupTimeouts(create="3h", update="24h", delete="1h"),
                # Scheduled actions and the Cluster Autoscaler set the number of nodes.
                lifecycle=(
                    None
                    if schedule is None
                    else TerraformResourceLifecycle(ignore_changes=[f"scaling_config[0].{name}" for name in SCALED])
                ),
                depends_on=list(config.depends_on),
            ),
            kind,
        )
        if schedule is not None:
            add_schedule(
                self,
                schedule,
                role=kind,
                name=name,
                group_name=self._auto_scaling_group,
                validating=validating,
                keeps_least=True,
            )
        for key, value in (autoscaler.tags if autoscaler else {}).items():
            named(
                AutoscalingGroupTagA(
                    self,
                    f"tag-{key}",
                    autoscaling_group_name=self._auto_scaling_group,
                    tag=AutoscalingGroupTagTag(key=key, value=value, propagate_at_launch=False),
                ),
                content_name(kind, key),
            )
        if block is not None:
            self._end_with_block(name, block)

    @property
    def _auto_scaling_group(self) -> str:
        """Name of the Auto Scaling group that EKS makes for the node group."""
        return self.group.resources.get(0).autoscaling_groups.get(0).name

    def _end_with_block(self, name: str, block: BlockConfig) -> None:
        """Adds the scheduled action that drains and terminates the nodes before their Capacity Block ends."""
        named(
            AutoscalingSchedule(
                self,
                "end",
                scheduled_action_name=f"{name}-end",
                autoscaling_group_name=self._auto_scaling_group,
                start_time=block.drain_at,
                min_size=0,
                max_size=-1,
                desired_capacity=0,
            ),
            "capacity_block_end",
        )


def _version_of(nodes: SystemNodes | GpuNodes) -> EksNodeGroupLaunchTemplate:
    template = nodes.launch_template
    return EksNodeGroupLaunchTemplate(id=template.id, version=Token.as_string(template.latest_version))
