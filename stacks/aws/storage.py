"""The storage stack: key, shared file system, checkpoints."""

from typing import Final

from cdktf import App, TerraformStack

from cdk.aws.account import account_id
from cdk.aws.buckets import BucketConfig, PrivateBucket
from cdk.aws.eks.control_plane import control_plane_logs
from cdk.aws.encryption import EncryptionKey
from cdk.aws.prometheus import prometheus_workspace
from cdk.aws.shared_storage import LustreConfig, RepositoryConfig, SharedFileSystem
from cdk.naming import address
from planner.plan.plan import Plan
from stacks.aws.base import add_outputs, new_stack
from stacks.clouds import BuiltStack
from stacks.state import remote_state

CHECKPOINT_DAYS: Final = 30
"""Days for which an overwritten or deleted checkpoint can be restored."""


def storage_stack(app: App, plan: Plan, network_stack: TerraformStack, *, protect_data: bool) -> BuiltStack:
    """Adds the storage of `plan` to `app`; Terraform cannot destroy protected data."""
    stack = new_stack(app, plan, "storage")
    network = remote_state(stack, network_stack, plan)
    protect_data = protect_data and plan.spec.storage.keep_on_destroy
    logs = [control_plane_logs(plan.name)] if plan.spec.orchestrator == "kubernetes" else []
    encryption = EncryptionKey(
        stack,
        "encryption",
        name=plan.name,
        region=plan.choice.region,
        protect=protect_data,
        # ParallelCluster starts nodes itself, without Auto Scaling.
        auto_scaling=plan.spec.orchestrator != "slurm",
        log_groups=logs,
    )
    outputs = {"kms_key_arn": (encryption.key.arn, "KMS key of disks, checkpoints and shared files")}
    addresses = {"encryption_key": address(encryption.key)}

    if plan.choice.shared_storage:
        lustre = plan.spec.storage.lustre
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
                protect=protect_data,
                compression=lustre.compression,
                metadata_iops=lustre.metadata_iops,
                efa=lustre.efa,
                backup_days=lustre.backup_days,
                repositories=tuple(
                    RepositoryConfig(r.bucket, r.path, r.import_events, r.export_events)
                    for r in lustre.data_repositories
                ),
            ),
        )
        file_system = address(shared.file_system)
        addresses |= {"shared_storage": file_system, "shared_metadata": file_system, "shared_backups": file_system}
        outputs |= {
            "shared_file_system_id": (shared.file_system.id, "Id of the shared file system"),
            "shared_dns_name": (shared.file_system.dns_name, "DNS name of the shared file system"),
            "shared_mount_name": (shared.file_system.mount_name, "Mount name of the shared file system"),
            "shared_clients_security_group_id": (
                shared.clients.id,
                "Security group whose members may mount the shared file system",
            ),
        }

    checkpoints = PrivateBucket(
        stack,
        "checkpoints",
        BucketConfig(
            role="checkpoints",
            # At most 29 + 6 + 12 + 1 + 14 characters; the name of a bucket has at most 63.
            bucket=plan.spec.imports.get("storage.aws_s3_bucket.checkpoints")
            or f"{plan.name}-ckpt-{account_id(stack)}-{plan.choice.region}",
            kms_key_arn=encryption.key.arn,
            protect=protect_data,
            noncurrent_days=CHECKPOINT_DAYS,
        ),
    )
    if plan.spec.observability.metrics:
        workspace = prometheus_workspace(stack, plan.name, encryption.key.arn)
        addresses["prometheus"] = address(workspace)
        outputs |= {
            "prometheus_endpoint": (
                workspace.prometheus_endpoint,
                "URL of the Prometheus workspace",
            ),
            "prometheus_workspace_arn": (workspace.arn, "ARN of the Prometheus workspace"),
        }
    addresses["checkpoint_storage"] = address(checkpoints.bucket)
    add_outputs(
        stack,
        outputs
        | {
            "checkpoint_bucket": (checkpoints.bucket.bucket, "Name of the checkpoint bucket"),
            "checkpoint_bucket_arn": (checkpoints.bucket.arn, "ARN of the checkpoint bucket"),
        },
    )
    return BuiltStack("storage", stack, addresses)
