"""The configuration of an AWS ParallelCluster: Slurm, whose nodes ParallelCluster starts and stops by itself.

The AWS provider has no resource for Slurm (no AWS PCS as of 5.100), so that what Terraform owns (network, storage,
placement, reservations, rights) is written into the file that `pcluster create-cluster` takes. Fields and values are
those of ParallelCluster 3.16, "Cluster configuration file".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from cdk.aws.capacity import PurchaseKind

CAPACITY_TYPES: Final[Mapping[PurchaseKind, str]] = {
    "reserved": "ONDEMAND",
    "on_demand": "ONDEMAND",
    "spot": "SPOT",
    "capacity_block": "CAPACITY_BLOCK",
}
SCRATCH_DIR: Final = "/scratch"
"""ParallelCluster joins all instance store volumes of a node and mounts them here."""
SHARED_DIR: Final = "/shared"
LOG_RETENTION_DAYS: Final = 90


@dataclass(frozen=True)
class Queue:
    """Nodes that are bought one way, as a Slurm partition."""

    kind: PurchaseKind
    nodes: int
    placement_group: str | None
    reservation_id: str | None


@dataclass(frozen=True)
class SlurmConfig:
    """What the configuration holds; identifiers may be Terraform tokens."""

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
    """Rights of every node beside those that ParallelCluster gives."""
    file_system_id: str | None
    queues: Sequence[Queue]
    tags: Mapping[str, str]


def configuration(config: SlurmConfig) -> str:
    """The cluster configuration file, YAML."""
    document: dict[str, Any] = {
        "Region": config.region,
        "Image": {"Os": "alinux2023"},
        "Imds": {"ImdsSupport": "v2.0"},
        "HeadNode": _head_node(config),
        "Scheduling": {
            "Scheduler": "slurm",
            "SlurmSettings": {"QueueUpdateStrategy": "DRAIN"},
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
        # Only root and the administrator of the cluster reach the credentials of the head node.
        "Imds": {"Secured": True},
        "Iam": _iam(config),
    }


def _queue(config: SlurmConfig, queue: Queue) -> dict[str, Any]:
    # A gang that is paid for runs; nodes of the market come with the job and go with it.
    held = queue.kind in ("reserved", "capacity_block")
    scratch = {"EphemeralVolume": {"MountDir": SCRATCH_DIR}} if config.scratch else {}
    placement = {"Enabled": True, "Name": queue.placement_group} if queue.placement_group else {"Enabled": False}
    return {
        "Name": queue.kind.replace("_", "-"),
        "CapacityType": CAPACITY_TYPES[queue.kind],
        # All GPUs and cards of a node belong to one job.
        "JobExclusiveAllocation": True,
        **({"AllocationStrategy": "capacity-optimized"} if queue.kind == "spot" else {}),
        **(
            {"CapacityReservationTarget": {"CapacityReservationId": queue.reservation_id}}
            if queue.reservation_id
            else {}
        ),
        "HealthChecks": {"Gpu": {"Enabled": True}},
        "Networking": {
            "SubnetIds": [config.subnet_id],
            "AdditionalSecurityGroups": list(config.node_security_group_ids),
            "PlacementGroup": placement,
        },
        "ComputeSettings": {"LocalStorage": {**scratch, "RootVolume": _root_volume(config.root_disk_gib)}},
        "ComputeResources": [
            {
                "Name": "gpu",
                "InstanceType": config.instance_type,
                "MinCount": queue.nodes if held else 0,
                "MaxCount": queue.nodes,
                "Efa": {"Enabled": config.efa},
            }
        ],
        "Iam": _iam(config),
    }


def _root_volume(size_gib: int) -> dict[str, Any]:
    # The key is the account's default for EBS: ParallelCluster takes none for root volumes.
    return {"Size": size_gib, "VolumeType": "gp3", "Encrypted": True}


def _iam(config: SlurmConfig) -> dict[str, Any]:
    return {"AdditionalIamPolicies": [{"Policy": arn} for arn in config.policy_arns]}


def _shared_storage(file_system_id: str) -> dict[str, Any]:
    return {
        "Name": "shared",
        "MountDir": SHARED_DIR,
        "StorageType": "FsxLustre",
        "FsxLustreSettings": {"FileSystemId": file_system_id},
    }


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Lists that repeat stand in full."""
        return True
