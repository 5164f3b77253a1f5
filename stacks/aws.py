"""A plan on AWS: three stacks, so that compute can go while files, checkpoints and addresses stay."""

import re
from collections.abc import Mapping
from typing import Final

from cdktf import App, TerraformOutput, TerraformStack, TerraformVariable

from cdk.aws.addresses import Subnets, cut
from cdk.aws.checkpoints import CheckpointBucket, CheckpointConfig
from cdk.aws.encryption import EncryptionKey
from cdk.aws.identity import IdentityConfig, NodeIdentity
from cdk.aws.interfaces import Interface, interfaces
from cdk.aws.naming import address
from cdk.aws.network import ClusterNetwork, NetworkConfig
from cdk.aws.nodes import (
    NodeConfig,
    NodeGroup,
    NodeSecurityGroup,
    PurchaseKind,
    encoded_user_data,
    gang_placement,
)
from cdk.aws.provider import aws
from cdk.aws.shared_storage import LustreConfig, SharedFileSystem
from cdk.bootstrap import LustreMount, NodeBootstrap, cloud_init
from planner.errors import SpecError
from planner.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import InstanceType
from stacks.clouds import BuiltStack, StackRole, stack_id
from stacks.state import name_provider_source, remote_state, set_backend

IMAGE_PARAMETER: Final = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
)
"""Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023): NVIDIA driver, EFA installer, libfabric and
aws-ofi-nccl for P4d to P6-B300 and G5 to G6e (DLAMI developer guide, release notes of 2026-09-04)."""

DEVICE_RDMA_FAMILIES: Final = ("p4d", "p4de")
"""Where libfabric has to be told to use GPUDirect RDMA (aws-ofi-nccl and EC2 user guide, "Get started with EFA and
NCCL"): newer families use it by themselves."""

GIB_PER_FILE_SERVER: Final = 1200
"""Room kept in the subnet: an address for each smallest file system's worth of storage. AWS states no count of
interfaces per file system, and this is its finest unit."""

ZONE_ID: Final = re.compile(r"[a-z]+\d+(-[a-z]+\d+)?-az\d+")
"""`use1-az6`, and with a Local Zone in the middle (AWS Regions and Availability Zones guide, "AZ IDs")."""

PURCHASES: Final[tuple[tuple[PurchaseKind, str], ...]] = (
    ("reserved", "reserved_nodes"),
    ("on_demand", "on_demand_nodes"),
    ("spot", "spot_nodes"),
)


class AwsCluster:
    """Builds the stacks of a plan on AWS.

    Args:
        protect_data: Whether Terraform refuses to destroy the key, the bucket and the file system.
    """

    def __init__(self, *, protect_data: bool = True) -> None:
        self._protect_data = protect_data

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Adds the network, storage and compute stacks of `plan` to `app`.

        Raises:
            SpecError: the network range, the zone, a tag or the purchase cannot be built as planned.
        """
        instance_type = catalog.instance_type("aws", plan.choice.instance_type)
        _check_purchase(plan, instance_type)
        node_interfaces = interfaces(instance_type.network_cards, instance_type.rdma_cards)
        network = self._network(app, plan, catalog, _subnets(plan, node_interfaces))
        storage = self._storage(app, plan, network.stack)
        compute = self._compute(app, plan, instance_type, node_interfaces, network.stack, storage.stack)
        return network, storage, compute

    def _network(self, app: App, plan: Plan, catalog: Catalog, subnets: Subnets) -> BuiltStack:
        stack = _stack(app, plan, "network")
        network = ClusterNetwork(
            stack,
            "network",
            NetworkConfig(name=plan.name, region=plan.choice.region, zone_id=_zone_id(plan, catalog), subnets=subnets),
        )
        _outputs(
            stack,
            {
                "vpc_id": (network.vpc.id, "VPC of the cluster"),
                "compute_subnet_id": (network.compute_subnet.id, "Private subnet of nodes and file servers"),
                "availability_zone": (
                    network.compute_subnet.availability_zone,
                    "Zone of the cluster, by the name it has in this account",
                ),
                "nat_public_ip": (network.public_ip.public_ip, "Address from which nodes reach the Internet"),
            },
        )
        nat = address(network.nat_gateway)
        return BuiltStack(
            "network", stack, {"nat_gateway": nat, "nat_data": nat, "public_ip": address(network.public_ip)}
        )

    def _storage(self, app: App, plan: Plan, network_stack: TerraformStack) -> BuiltStack:
        stack = _stack(app, plan, "storage")
        network = remote_state(stack, network_stack, plan)
        encryption = EncryptionKey(stack, "encryption", name=plan.name, protect=self._protect_data)
        outputs = {"kms_key_arn": (encryption.key.arn, "Key of disks, checkpoints and shared files")}
        addresses = {"encryption_key": address(encryption.key)}

        if plan.choice.shared_storage:
            shared = SharedFileSystem(
                stack,
                "shared_storage",
                LustreConfig(
                    name=plan.name,
                    vpc_id=network.get_string("vpc_id"),
                    subnet_id=network.get_string("compute_subnet_id"),
                    deployment_type=plan.choice.shared_storage.deployment_type,
                    size_gib=plan.choice.shared_storage.size_gib,
                    throughput_mb_per_s_per_tib=plan.choice.shared_storage.throughput_mb_per_s_per_tib,
                    kms_key_arn=encryption.key.arn,
                    protect=self._protect_data,
                ),
            )
            addresses["shared_storage"] = address(shared.file_system)
            outputs |= {
                "shared_dns_name": (shared.file_system.dns_name, "DNS name of the shared file system"),
                "shared_mount_name": (shared.file_system.mount_name, "Lustre name of the shared file system"),
                "shared_clients_security_group_id": (
                    shared.clients.id,
                    "Security group whose members may mount the shared file system",
                ),
            }

        checkpoints = CheckpointBucket(
            stack,
            "checkpoints",
            CheckpointConfig(
                # 29 + 6 + 12 + 1 + 14 characters at most: names of buckets end at 63.
                bucket=f"{plan.name}-ckpt-{encryption.account.account_id}-{plan.choice.region}",
                kms_key_arn=encryption.key.arn,
                protect=self._protect_data,
            ),
        )
        addresses["checkpoint_storage"] = address(checkpoints.bucket)
        _outputs(
            stack,
            outputs
            | {
                "checkpoint_bucket": (checkpoints.bucket.bucket, "Bucket of the checkpoints"),
                "checkpoint_bucket_arn": (checkpoints.bucket.arn, "ARN of the bucket of the checkpoints"),
            },
        )
        return BuiltStack("storage", stack, addresses)

    def _compute(
        self,
        app: App,
        plan: Plan,
        instance_type: InstanceType,
        node_interfaces: tuple[Interface, ...],
        network_stack: TerraformStack,
        storage_stack: TerraformStack,
    ) -> BuiltStack:
        choice = plan.choice
        stack = _stack(app, plan, "compute")
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
            tags=_tags(plan),
        )
        groups = {
            kind: NodeGroup(
                stack, f"{kind}_nodes", kind=kind, nodes=nodes, config=config, placement_group=placement_group
            )
            for kind, field in PURCHASES
            if (nodes := getattr(choice.purchase, field))
        }
        _outputs(
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


def _stack(app: App, plan: Plan, role: StackRole) -> TerraformStack:
    stack = TerraformStack(app, stack_id(plan, role))
    set_backend(stack, plan)
    aws(stack, plan.choice.region, _tags(plan))
    name_provider_source(stack, "aws")
    return stack


def _outputs(stack: TerraformStack, outputs: Mapping[str, tuple[object, str]]) -> None:
    for name, (value, description) in outputs.items():
        TerraformOutput(stack, name, value=value, description=description)


def _billed(group: NodeGroup) -> str:
    # A reservation is billed from the day it stands, with or without instances in it.
    return address(group.capacity_reservation or group.group)


def _tags(plan: Plan) -> dict[str, str]:
    """Tags of everything: the user's, and two of ours.

    Raises:
        SpecError: a tag is not one that AWS takes (EC2 user guide, "Tag restrictions").
    """
    for key, value in plan.spec.tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise SpecError(
                f"tags: {key!r}: {value!r} is not a tag that AWS takes; keys have 1 to 128 characters and do not begin "
                "with aws:, values have at most 256"
            )
    return {**plan.spec.tags, "cluster": plan.name, "managed-by": "llmcluster"}


def _zone_id(plan: Plan, catalog: Catalog) -> str:
    region = plan.choice.region
    zone = plan.choice.zone or catalog.provider_defaults("aws").default_zones.get(region)
    if zone is None:
        raise SpecError(
            f"placement.zone: none given, and no default is known for region {region}; give a zone id such as use1-az6 "
            "(aws ec2 describe-availability-zones prints them as ZoneId)"
        )
    if not ZONE_ID.fullmatch(zone):
        raise SpecError(
            f"placement.zone: {zone!r} is not an AWS zone id; ids look like use1-az6. Names such as us-east-1a are not "
            "taken, because they mean different places in different accounts"
        )
    return zone


def _subnets(plan: Plan, node_interfaces: tuple[Interface, ...]) -> Subnets:
    addresses_per_node = sum(interface.has_address for interface in node_interfaces)
    storage = plan.choice.shared_storage
    # One more for the metadata server.
    file_servers = -(-storage.size_gib // GIB_PER_FILE_SERVER) + 1 if storage else 0
    try:
        return cut(plan.spec.network.cidr, plan.choice.nodes * addresses_per_node + file_servers)
    except ValueError as error:
        raise SpecError(f"network.cidr: {error}") from error


def _check_purchase(plan: Plan, instance_type: InstanceType) -> None:
    purchase, options = plan.choice.purchase, instance_type.purchase_options
    for nodes, option, kind in (
        (purchase.reserved_nodes, "on-demand", "On-Demand Capacity Reservations"),
        (purchase.on_demand_nodes, "on-demand", "on-demand nodes"),
        (purchase.spot_nodes, "spot", "Spot nodes"),
    ):
        if nodes and option not in options:
            raise SpecError(
                f"{instance_type.name} cannot be bought as {kind}: it is sold as {', '.join(options)}. "
                "Choose another instance type in placement.instance_types"
            )


def _fabric_environment(instance_type: InstanceType) -> dict[str, str]:
    """NCCL and libfabric variables (rule A6). What newer stacks find out by themselves is left alone."""
    if not instance_type.rdma_cards:
        return {}
    environment = {"FI_PROVIDER": "efa"}
    if instance_type.name.split(".")[0] in DEVICE_RDMA_FAMILIES:
        environment["FI_EFA_USE_DEVICE_RDMA"] = "1"
    return environment
