"""Managed node groups: one for the services of the cluster, one for each kind of purchase of GPU nodes (rule A19)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cdktf import ITerraformDependable, TerraformVariable, Token
from cdktf_cdktf_provider_aws.autoscaling_schedule import AutoscalingSchedule
from cdktf_cdktf_provider_aws.eks_node_group import (
    EksNodeGroup,
    EksNodeGroupLaunchTemplate,
    EksNodeGroupScalingConfig,
    EksNodeGroupTaint,
    EksNodeGroupTimeouts,
    EksNodeGroupUpdateConfig,
)
from cdktf_cdktf_provider_aws.placement_group import PlacementGroup
from constructs import Construct

from cdk.aws.capacity import BlockConfig, HeldCapacity
from cdk.aws.interfaces import Interface
from cdk.aws.launch_template import TemplateConfig, launch_template
from cdk.aws.phases import running_nodes
from cdk.naming import named
from provider_catalog.purchase_kinds import PurchaseKind, slug

GPU_IMAGE: Final = "AL2023_x86_64_NVIDIA"
"""NVIDIA driver, container toolkit and EFA; the device plugins come with the workload (EKS user guide, "Use
EKS-optimized accelerated AMIs")."""
SYSTEM_IMAGE: Final = "AL2023_x86_64_STANDARD"
CAPACITY_TYPES: Final[Mapping[PurchaseKind, str]] = {
    "reserved": "ON_DEMAND",
    "on_demand": "ON_DEMAND",
    "spot": "SPOT",
    "capacity_block": "CAPACITY_BLOCK",
}
"""Of EKS; what is reserved is launched on demand and finds its place by the template (EKS API reference, Nodegroup)."""
GPU_TAINT: Final = EksNodeGroupTaint(key="nvidia.com/gpu", value="present", effect="NO_SCHEDULE")
GPU_LABELS: Final = {"nvidia.com/gpu.present": "true"}
"""What the NVIDIA device plugin looks for."""
EFA_LABELS: Final = {"llmcluster/efa": "true"}
RAID: Final = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  instance:
    localStorage:
      strategy: RAID0
"""
"""All local NVMe disks as one RAID 0 that holds containers, pods and emptyDir volumes (nodeadm, API reference,
LocalStorageOptions). EKS adds its own part for the cluster."""


def node_user_data(*, raid: bool, services: str | None) -> str | None:
    """User data of the GPU nodes in parts, to which EKS adds its own; None where there is nothing to say.

    Args:
        raid: Whether local NVMe disks become one RAID 0.
        services: Cloud-config of what runs on the node beside Kubernetes.
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
class NodeGroupsConfig:
    """What the node groups of a cluster have in common."""

    cluster_name: str
    version: str
    node_role_arn: str
    subnet_id: str
    template: TemplateConfig
    release_version: TerraformVariable
    """Release of the image; empty: the newest when a group is made."""
    depends_on: Sequence[ITerraformDependable]


class SystemNodes(Construct):
    """Nodes without GPUs, for CoreDNS, controllers and whatever else is not a job."""

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
    """GPU nodes of one kind of purchase, in one subnet and, when they are a gang, in one placement group.

    Args:
        held: The reserved capacity that the nodes stand in.
        block: The Capacity Block, where that is what is held.
        block_active: Whether the block has started and its nodes may run.
        validating: Nodes in the phase `validate`; all of them when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        config: NodeGroupsConfig,
        *,
        kind: PurchaseKind,
        nodes: int,
        placement_group: PlacementGroup | None,
        held: HeldCapacity | None = None,
        block: BlockConfig | None = None,
        block_active: TerraformVariable | None = None,
        validating: int | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        label = slug(kind)
        name = f"{config.template.name}-{label}"
        template = replace(
            config.template,
            name=name,
            description=f"GPU nodes of cluster {config.template.name}, {label}",
            placement_group=placement_group.name if placement_group else None,
        )
        self.launch_template = launch_template(self, template, kind, held=held, block=block is not None)
        running = running_nodes(nodes, nodes if validating is None else validating, block_active)
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
                labels={**GPU_LABELS, **(EFA_LABELS if efa else {})},
                taint=[GPU_TAINT],
                # A new image or template replaces nodes one by one, each drained first.
                update_config=EksNodeGroupUpdateConfig(max_unavailable=1),
                # GPU capacity may take hours to come.
                timeouts=EksNodeGroupTimeouts(create="3h", update="24h", delete="1h"),
                depends_on=list(config.depends_on),
            ),
            kind,
        )
        if block is not None:
            self._let_go(name, block)

    def _let_go(self, name: str, block: BlockConfig) -> None:
        named(
            AutoscalingSchedule(
                self,
                "end",
                scheduled_action_name=f"{name}-end",
                autoscaling_group_name=self.group.resources.get(0).autoscaling_groups.get(0).name,
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
