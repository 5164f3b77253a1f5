"""The configuration of a Slurm cluster for AWS ParallelCluster, which starts and stops the nodes.

The AWS provider has no resource for Slurm (no AWS PCS as of 5.100). The resources that Terraform owns (network,
storage, placement, reservations, policies) are therefore written into the file that `pcluster create-cluster` takes.
Fields and values are those of ParallelCluster 3.16, "Cluster configuration file".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from provider_catalog.purchase_kinds import PurchaseKind, slug

CAPACITY_TYPES: Final[Mapping[PurchaseKind, str]] = {
    "reserved": "ONDEMAND",
    "on_demand": "ONDEMAND",
    "spot": "SPOT",
    "capacity_block": "CAPACITY_BLOCK",
}
SCRATCH_DIR: Final = "/scratch"
"""Folder in which ParallelCluster mounts the instance store volumes of a node, joined into one."""
SHARED_DIR: Final = "/shared"
IDLE_MIN: Final = 10
"""Idle minutes after which a node that is not paid for in any case is stopped; the default of ParallelCluster."""
LOG_RETENTION_DAYS: Final = 90
NO_ROUTE_53: Final = {"Dns": {"DisableManagedDns": True, "UseEc2Hostnames": True}}
"""Settings for a closed network: Route 53 has no private endpoint (ParallelCluster guide, "AWS ParallelCluster in a
single subnet with no internet access")."""


@dataclass(frozen=True)
class SlurmQueue:
    """A Slurm partition with the nodes of one purchase kind."""

    kind: PurchaseKind
    max_nodes: int | str
    """Largest number of nodes; a string is a Terraform reference to a number."""
    min_nodes: int | str
    """Number of nodes that always run, because they are paid for."""
    placement_group: str | None
    reservation_id: str | None
    reservation_group_arn: str | None = None
    """ARN of a group of reservations, in place of `reservation_id`."""


@dataclass(frozen=True)
class NodeScript:
    """A script that every node runs after it has been set up."""

    bucket: str
    key: str


@dataclass(frozen=True)
class SlurmConfig:
    """Contents of the configuration; identifiers may be Terraform tokens."""

    region: str
    head_node_type: str
    head_node_disk_gib: int
    instance_type: str
    efa: bool
    root_disk_gib: int
    scratch: bool
    subnet_id: str
    node_security_group_ids: Sequence[str]
    head_node_security_group_ids: Sequence[str]
    policy_arns: Sequence[str]
    """Policies of every node, in addition to those of ParallelCluster."""
    file_system_id: str | None
    queues: Sequence[SlurmQueue]
    tags: Mapping[str, str]
    head_node_policy_arns: Sequence[str] = ()
    """Policies of the head node, in addition to `policy_arns`."""
    queue_policy_arns: Sequence[str] = ()
    """Policies of the nodes of queues, in addition to `policy_arns`."""
    image_id: str | None = None
    """Image of all nodes; None: that of the version of ParallelCluster."""
    node_script: NodeScript | None = None
    start_script: NodeScript | None = None
    """Script that nodes of queues run before ParallelCluster sets them up and mounts the file system."""
    closed: bool = False
    """Whether the subnet has no access to the Internet."""


def configuration(config: SlurmConfig) -> str:
    """The cluster configuration file, as YAML."""
    document: dict[str, Any] = {
        "Region": config.region,
        "Image": {"Os": "alinux2023", **({"CustomAmi": config.image_id} if config.image_id else {})},
        "Imds": {"ImdsSupport": "v2.0"},
        "HeadNode": _head_node(config),
        "Scheduling": {
            "Scheduler": "slurm",
            "SlurmSettings": {
                "QueueUpdateStrategy": "DRAIN",
                "ScaledownIdletime": IDLE_MIN,
                **(NO_ROUTE_53 if config.closed else {}),
            },
            "SlurmQueues": [_queue(config, queue) for queue in config.queues],
        },
        **({"SharedStorage": [_shared_storage(config.file_system_id)]} if config.file_system_id else {}),
        "Monitoring": {"Logs": {"CloudWatch": {"RetentionInDays": LOG_RETENTION_DAYS, "DeletionPolicy": "Retain"}}},
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(config.tags.items())],
    }
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000)


def _head_node(config: SlurmConfig) -> dict[str, Any]:
    return {
        "InstanceType": config.head_node_type,
        "Networking": {
            "SubnetId": config.subnet_id,
            "AdditionalSecurityGroups": list(config.head_node_security_group_ids),
        },
        "LocalStorage": {"RootVolume": _root_volume(config.head_node_disk_gib)},
        # Only root and the administrator of the cluster can read the credentials of the head node.
        "Imds": {"Secured": True},
        "Iam": _iam([*config.policy_arns, *config.head_node_policy_arns]),
    }


def _queue(config: SlurmConfig, queue: SlurmQueue) -> dict[str, Any]:
    scratch = {"EphemeralVolume": {"MountDir": SCRATCH_DIR}} if config.scratch else {}
    placement = {"Enabled": True, "Name": queue.placement_group} if queue.placement_group else {"Enabled": False}
    return {
        "Name": slug(queue.kind),
        "CapacityType": CAPACITY_TYPES[queue.kind],
        # A job gets all GPUs and network cards of its nodes.
        "JobExclusiveAllocation": True,
        **({"AllocationStrategy": "capacity-optimized"} if queue.kind == "spot" else {}),
        **_reservation_target(queue),
        "HealthChecks": {"Gpu": {"Enabled": True}},
        "Networking": {
            "SubnetIds": [config.subnet_id],
            "AdditionalSecurityGroups": list(config.node_security_group_ids),
            "PlacementGroup": placement,
        },
        "ComputeSettings": {"LocalStorage": {**scratch, "RootVolume": _root_volume(config.root_disk_gib)}},
        **_custom_actions(config),
        "ComputeResources": [
            {
                "Name": "gpu",
                "InstanceType": config.instance_type,
                "MinCount": _number(queue.min_nodes),
                "MaxCount": _number(queue.max_nodes),
                "Efa": {"Enabled": config.efa},
            }
        ],
        "Iam": {
            **_iam([*config.policy_arns, *config.queue_policy_arns]),
            **_script_access(config),
        },
    }


def _reservation_target(queue: SlurmQueue) -> dict[str, Any]:
    if queue.reservation_group_arn:
        return {"CapacityReservationTarget": {"CapacityReservationResourceGroupArn": queue.reservation_group_arn}}
    if queue.reservation_id:
        return {"CapacityReservationTarget": {"CapacityReservationId": queue.reservation_id}}
    return {}


def _number(value: int | str) -> int | str:
    return _Reference(value) if isinstance(value, str) else value


def _custom_actions(config: SlurmConfig) -> dict[str, Any]:
    actions = {
        action: {"Script": f"s3://{script.bucket}/{script.key}"}
        for action, script in (("OnNodeStart", config.start_script), ("OnNodeConfigured", config.node_script))
        if script
    }
    return {"CustomActions": actions} if actions else {}


def _script_access(config: SlurmConfig) -> dict[str, Any]:
    scripts = [script for script in (config.start_script, config.node_script) if script]
    return {"S3Access": [{"BucketName": script.bucket, "KeyName": script.key} for script in scripts]} if scripts else {}


def _root_volume(size_gib: int) -> dict[str, Any]:
    # The schema accepts no key here: volumes have the EBS default key of the account, see cdk/aws/root_volumes.py.
    return {"Size": size_gib, "VolumeType": "gp3", "Encrypted": True}


def _iam(policy_arns: Sequence[str]) -> dict[str, Any]:
    return {"AdditionalIamPolicies": [{"Policy": arn} for arn in policy_arns]}


def _shared_storage(file_system_id: str) -> dict[str, Any]:
    return {
        "Name": "shared",
        "MountDir": SHARED_DIR,
        "StorageType": "FsxLustre",
        "FsxLustreSettings": {"FileSystemId": file_system_id},
    }


class _Reference(str):
    """A Terraform reference to a number, which is written without quotes."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Writes repeated lists in full."""
        return True


_Dumper.add_representer(
    _Reference, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="")
)
