"""Nodes under Slurm: the resources that AWS ParallelCluster needs, and the configuration that it takes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cdktf import DefaultTokenResolver, StringConcat, TerraformLocal, TerraformStack, Tokenization
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import DataAwsIamPolicyDocument
from cdktf_cdktf_provider_aws.iam_policy import IamPolicy
from cdktf_cdktf_provider_aws.s3_object import S3Object

from cdk.aws.account import account_id, partition
from cdk.aws.buckets import BucketConfig, PrivateBucket
from cdk.aws.identity import IdentityConfig, checkpoint_access, metric_statements
from cdk.aws.images import burn_in_image, docker_login
from cdk.aws.interfaces import Interface
from cdk.aws.parallelcluster import NodeScript, SlurmConfig, SlurmQueue, configuration
from cdk.aws.phases import VALIDATE, phase
from cdk.aws.root_volumes import require_default_key, volume_access
from cdk.bootstrap import BatchBurnIn, NodeServices, burn_in_job, services_script
from cdk.findings import accept
from cdk.naming import named
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.collective_environment import values
from provider_catalog.hardware import InstanceType
from provider_catalog.purchase_kinds import PurchaseKind, compute_role, slug
from stacks.aws.base import add_outputs, add_thresholds, tags
from stacks.aws.dashboard import grafana_dashboard
from stacks.aws.foundation import BuiltNodes, Foundation
from stacks.aws.monitoring import health, metrics

CONFIGURATION: Final = "parallelcluster.yaml"
"""File beside the document of the stack. It holds references where the output of Terraform has values."""
NODE_SCRIPT: Final = "on-node-configured.sh"
START_SCRIPT: Final = "on-node-start.sh"
SCRIPT_DAYS: Final = 30
"""Days for which an earlier version of the script can be restored."""


def slurm_nodes(
    stack: TerraformStack,
    plan: Plan,
    instance_type: InstanceType,
    node_interfaces: tuple[Interface, ...],
    foundation: Foundation,
) -> BuiltNodes:
    """Adds the resources that the nodes of `plan` need, and the configuration of ParallelCluster as an output.

    `node_interfaces` is not used: ParallelCluster chooses the interfaces of a node itself, by the same rules.
    """
    accept(foundation.security.group, CKV2_AWS_5="ParallelCluster starts the nodes that are in it")
    del node_interfaces
    choice, storage, service = plan.choice, foundation.storage, foundation.orchestrator
    if service.service_instance_type is None:
        raise SpecError("orchestrator: the catalog names no instance type for the head node of slurm")
    services = NodeServices(
        plan.name,
        health(plan),
        metrics(plan, foundation),
        containers=True,
        burn_in=_burn_in(plan, instance_type, foundation),
    )
    rights = foundation.identity(plan, health=services.health is not None, metrics=services.metrics)
    identity = replace(rights, pulls_images=services.burn_in is not None or rights.pulls_images)
    policy = _policy(stack, plan, "checkpoints", "Checkpoints", checkpoint_access(stack, identity))
    if not foundation.nodes:
        return BuiltNodes({})
    managed = f"arn:{partition(stack)}:iam::aws:policy"
    # ParallelCluster mounts the file system after this script, so that the client must be ready when it ends.
    client = NodeServices(plan.name, lustre=foundation.lustre_over_efa)
    scripts = _scripts(
        stack,
        plan,
        {
            **({"node_script": (NODE_SCRIPT, services)} if services.any else {}),
            **({"start_script": (START_SCRIPT, client)} if client.any else {}),
        },
        identity.kms_key_arn,
    )
    text = configuration(
        SlurmConfig(
            region=choice.region,
            head_node_type=service.service_instance_type,
            head_node_disk_gib=service.service_root_disk_gib,
            instance_type=instance_type.name,
            efa=instance_type.rdma_cards > 0,
            root_disk_gib=choice.root_disk_gib,
            scratch=choice.scratch == "raid0",
            subnet_id=foundation.network.get_string("compute_subnet_id"),
            node_security_group_ids=[foundation.security.group.id, *foundation.client_security_group_ids],
            head_node_security_group_ids=[foundation.security.group.id, *foundation.client_security_group_ids],
            policy_arns=[f"{managed}/AmazonSSMManagedInstanceCore", policy.arn],
            file_system_id=storage.get_string("shared_file_system_id") if choice.shared_storage else None,
            queues=[
                SlurmQueue(
                    kind=kind,
                    max_nodes=max_nodes,
                    min_nodes=min_nodes,
                    placement_group=foundation.placement_of(kind),
                    reservation_id=foundation.reservation_id(kind),
                    reservation_group_arn=foundation.reservation_group_arn(kind),
                )
                for kind, (max_nodes, min_nodes) in _counts(stack, plan, foundation).items()
            ],
            tags=tags(plan),
            head_node_policy_arns=_volume_policy(stack, plan, identity.kms_key_arn),
            queue_policy_arns=[
                *([f"{managed}/AmazonEC2ContainerRegistryPullOnly"] if identity.pulls_images else []),
                *_metric_policy(stack, plan, identity),
            ],
            image_id=plan.spec.image_id,
            node_script=scripts.get("node_script"),
            start_script=scripts.get("start_script"),
            closed=plan.spec.network.egress == "endpoints-only",
        )
    )
    local = TerraformLocal(stack, "parallelcluster", text)
    add_outputs(
        stack,
        {
            "cluster_configuration": (
                local.as_string,
                "Configuration for pcluster create-cluster --cluster-configuration",
            )
        },
    )
    billed = {compute_role(kind): found for kind in foundation.nodes if (found := foundation.billed(kind))}
    return BuiltNodes(billed, {CONFIGURATION: _resolved(stack, text), **_files(plan, foundation)})


def _counts(
    stack: TerraformStack, plan: Plan, foundation: Foundation
) -> dict[PurchaseKind, tuple[int | str, int | str]]:
    """Largest and smallest number of nodes by purchase kind: numbers, or references where they depend on the phase."""
    # Nodes that are paid for always run; other nodes start and end with their job.
    always = {kind: nodes if kind in ("reserved", "capacity_block") else 0 for kind, nodes in foundation.nodes.items()}
    if plan.spec.rollout.validation_nodes is None:
        return {kind: (nodes, always[kind]) for kind, nodes in foundation.nodes.items()}
    phase(stack, plan.spec.rollout.validation_nodes, "run the job burn-in.sbatch")
    add_thresholds(stack, plan)
    counts: dict[PurchaseKind, tuple[int | str, int | str]] = {}
    for kind, validating in foundation.validating(plan).items():
        # ParallelCluster wants a maximum of at least one node in a partition.
        most = _by_phase(stack, f"{kind}_nodes", max(validating, 1), foundation.nodes[kind])
        if not always[kind] or validating:
            counts[kind] = (most, most if always[kind] else 0)
        else:
            counts[kind] = (most, _by_phase(stack, f"{kind}_held_nodes", validating, always[kind]))
    return counts


def _by_phase(stack: TerraformStack, name: str, validating: int, full: int) -> int | str:
    if validating == full:
        return full
    return TerraformLocal(stack, name, f'${{var.phase == "{VALIDATE}" ? {validating} : {full}}}').as_string


def _policy(
    stack: TerraformStack, plan: Plan, role: str, description: str, document: DataAwsIamPolicyDocument
) -> IamPolicy:
    return named(
        IamPolicy(
            stack,
            f"{role}_policy",
            name=f"{plan.name}-{role}-{plan.choice.region}",
            description=f"{description} of cluster {plan.name}",
            policy=document.json,
        ),
        role,
    )


def _metric_policy(stack: TerraformStack, plan: Plan, identity: IdentityConfig) -> list[str]:
    statements = metric_statements(identity)
    if not statements:
        return []
    document = named(DataAwsIamPolicyDocument(stack, "metrics", statement=statements), "metrics")
    return [_policy(stack, plan, "metrics", "Metrics", document).arn]


def _volume_policy(stack: TerraformStack, plan: Plan, kms_key_arn: str) -> list[str]:
    """Policies of the head node, which starts the other nodes, for volumes under the key of the cluster.

    Adds the check that this key is the default of EBS in the account. Empty unless security.ebs_default_key is set.
    """
    if not plan.spec.security.ebs_default_key:
        return []
    region = plan.choice.region
    require_default_key(stack, key_arn=kms_key_arn, region=region)
    access = volume_access(stack, key_arn=kms_key_arn, region=region)
    return [_policy(stack, plan, "volumes", "Root volumes", access).arn]


def _scripts(
    stack: TerraformStack, plan: Plan, wanted: Mapping[str, tuple[str, NodeServices]], kms_key_arn: str
) -> dict[str, NodeScript]:
    """Adds the scripts that nodes run as root, in a bucket to which no node may write.

    Args:
        stack: The compute stack.
        plan: The plan.
        wanted: Key in the bucket and services of each script, by its name in the HCL.
        kms_key_arn: Key of the bucket.
    """
    if not wanted:
        return {}
    scripts = PrivateBucket(
        stack,
        "scripts",
        BucketConfig(
            role="scripts",
            # At most 29 + 6 + 12 + 1 + 14 characters; the name of a bucket has at most 63.
            bucket=f"{plan.name}-boot-{account_id(stack)}-{plan.choice.region}",
            kms_key_arn=kms_key_arn,
            protect=False,
            noncurrent_days=SCRIPT_DAYS,
            derived=True,
        ),
    )
    built = {}
    for name, (key, services) in wanted.items():
        text = TerraformLocal(stack, name, services_script(services))
        script = named(
            S3Object(
                stack,
                f"{name}_object",
                bucket=scripts.bucket.bucket,
                key=key,
                content=text.as_string,
                kms_key_id=kms_key_arn,
                depends_on=scripts.protections,
            ),
            name,
        )
        built[name] = NodeScript(scripts.bucket.bucket, script.key)
    return built


def _burn_in(plan: Plan, instance_type: InstanceType, foundation: Foundation) -> BatchBurnIn | None:
    if plan.spec.rollout.validation_nodes is None:
        return None
    thresholds, region = plan.choice.pass_thresholds, plan.choice.region
    return BatchBurnIn(
        gpus=instance_type.gpus,
        rdma_cards=instance_type.rdma_cards,
        inside_gb_per_s=thresholds.inside_gb_per_s if instance_type.gpus > 1 else None,
        between_gb_per_s=thresholds.between_gb_per_s,
        image=burn_in_image(region),
        login_command=docker_login(region),
        environment=values(foundation.environment),
    )


def _files(plan: Plan, foundation: Foundation) -> dict[str, str]:
    files = {"grafana-dashboard.json": grafana_dashboard(plan.name)} if plan.spec.observability.metrics else {}
    if plan.spec.rollout.validation_nodes is not None:
        kind, nodes = next(iter(foundation.validating(plan).items()))
        between = plan.choice.pass_thresholds.between_gb_per_s is not None and nodes > 1
        files["burn-in.sbatch"] = burn_in_job(slug(kind), nodes, between=between)
    return files


def _resolved(stack: TerraformStack, text: str) -> str:
    """`text` with the references of Terraform in place of cdktf's tokens."""
    resolver = DefaultTokenResolver(StringConcat())
    return str(Tokenization.resolve(text, preparing=False, resolver=resolver, scope=stack))
