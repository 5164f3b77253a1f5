"""The compute stack of a cluster without an orchestrator: Auto Scaling groups of nodes set up by cloud-init."""

from typing import Final

from cdktf import App, TerraformStack, TerraformVariable

from cdk.aws.identity import IdentityConfig, NodeIdentity
from cdk.aws.interfaces import Interface
from cdk.aws.naming import address
from cdk.aws.nodes import (
    NodeConfig,
    NodeGroup,
    NodeSecurityGroup,
    encoded_user_data,
    gang_placement,
)
from cdk.bootstrap import LustreMount, NodeBootstrap, cloud_init
from planner.plan import Plan
from provider_catalog.hardware import InstanceType
from stacks.aws.base import add_outputs, new_stack, tags
from stacks.aws.purchase import PURCHASES
from stacks.clouds import BuiltStack
from stacks.state import remote_state

IMAGE_PARAMETER: Final = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
)
"""Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023): NVIDIA driver, EFA installer, libfabric and
aws-ofi-nccl for P4d to P6-B300 and G5 to G6e (DLAMI developer guide, release notes of 2026-09-04)."""

DEVICE_RDMA_FAMILIES: Final = ("p4d", "p4de")
"""Where libfabric has to be told to use GPUDirect RDMA (aws-ofi-nccl and EC2 user guide, "Get started with EFA and
NCCL"): newer families use it by themselves."""


def compute_stack(
    app: App,
    plan: Plan,
    instance_type: InstanceType,
    node_interfaces: tuple[Interface, ...],
    network_stack: TerraformStack,
    storage_stack: TerraformStack,
) -> BuiltStack:
    """Adds the nodes of `plan` to `app`."""
    choice = plan.choice
    stack = new_stack(app, plan, "compute")
    image = TerraformVariable(
        stack,
        "image_id",
        type="string",
        default=f"resolve:ssm:{IMAGE_PARAMETER}",
        description=(
            "Image of the nodes. The default is the newest Deep Learning Base image at the time a node starts; "
            "give an ami-... id to run one image for the life of a gang."
        ),
    )
    network = remote_state(stack, network_stack, plan)
    storage = remote_state(stack, storage_stack, plan)

    lustre = None
    client_groups: tuple[str, ...] = ()
    if choice.shared_storage:
        dns_name, mount_name = storage.get_string("shared_dns_name"), storage.get_string("shared_mount_name")
        lustre = LustreMount(client="aws", source=f"{dns_name}@tcp:/{mount_name}")
        client_groups = (storage.get_string("shared_clients_security_group_id"),)
    bootstrap = NodeBootstrap(
        cluster=plan.name,
        scratch=choice.scratch if instance_type.nvme_disks else "none",
        nvme_disks=instance_type.nvme_disks,
        lustre=lustre,
        fabric=instance_type.fabric,
        rdma_cards=instance_type.rdma_cards,
        gpus=instance_type.gpus,
        environment=_fabric_environment(instance_type),
    )

    identity = NodeIdentity(
        stack,
        "identity",
        IdentityConfig(
            name=plan.name,
            region=choice.region,
            checkpoint_bucket_arn=storage.get_string("checkpoint_bucket_arn"),
            kms_key_arn=storage.get_string("kms_key_arn"),
        ),
    )
    security = NodeSecurityGroup(stack, "security", name=plan.name, vpc_id=network.get_string("vpc_id"))
    placement_group = gang_placement(stack, plan.name) if choice.multi_node else None
    config = NodeConfig(
        name=plan.name,
        instance_type=instance_type.name,
        image_id=image.string_value,
        interfaces=node_interfaces,
        subnet_id=network.get_string("compute_subnet_id"),
        zone_name=network.get_string("availability_zone"),
        security_group_id=security.group.id,
        client_security_group_ids=client_groups,
        instance_profile_arn=identity.instance_profile.arn,
        kms_key_arn=storage.get_string("kms_key_arn"),
        root_disk_gib=choice.root_disk_gib,
        user_data=encoded_user_data(stack, cloud_init(bootstrap)),
        gang=choice.multi_node,
        tags=tags(plan),
    )
    groups = {
        kind: NodeGroup(stack, f"{kind}_nodes", kind=kind, nodes=nodes, config=config, placement_group=placement_group)
        for kind, field in PURCHASES
        if (nodes := getattr(choice.purchase, field))
    }
    add_outputs(
        stack,
        {
            "autoscaling_groups": (
                [group.group.name for group in groups.values()],
                "Auto Scaling groups of the nodes, one for each kind of purchase",
            ),
            "node_role_arn": (identity.role.arn, "Role of the nodes"),
            "node_security_group_id": (security.group.id, "Security group of the nodes"),
        },
    )
    addresses = {f"compute_{kind}": _billed(group) for kind, group in groups.items()}
    addresses["root_disk"] = address(next(iter(groups.values())).launch_template)
    return BuiltStack("compute", stack, addresses)


def _billed(group: NodeGroup) -> str:
    # A reservation is billed from the day it stands, with or without instances in it.
    return address(group.capacity_reservation or group.group)


def _fabric_environment(instance_type: InstanceType) -> dict[str, str]:
    """NCCL and libfabric variables (rule A6). What newer stacks find out by themselves is left alone."""
    if not instance_type.rdma_cards:
        return {}
    environment = {"FI_PROVIDER": "efa"}
    if instance_type.name.split(".")[0] in DEVICE_RDMA_FAMILIES:
        environment["FI_EFA_USE_DEVICE_RDMA"] = "1"
    return environment
