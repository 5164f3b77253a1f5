"""Nodes for Slurm: what AWS ParallelCluster builds on, and the configuration that makes it do so."""

from typing import Final

from cdktf import DefaultTokenResolver, StringConcat, TerraformLocal, TerraformStack, Tokenization
from cdktf_cdktf_provider_aws.iam_policy import IamPolicy

from cdk.aws.account import partition
from cdk.aws.identity import IdentityConfig, checkpoint_access
from cdk.aws.interfaces import Interface
from cdk.aws.naming import named
from cdk.aws.parallelcluster import Queue, SlurmConfig, configuration
from cdk.findings import accept
from planner.errors import SpecError
from planner.plan import Plan
from provider_catalog.hardware import InstanceType
from stacks.aws.base import add_outputs, tags
from stacks.aws.groundwork import Groundwork, Nodes

CONFIGURATION: Final = "parallelcluster.yaml"
"""Beside the document of the stack, with references where the output has values."""


def slurm_nodes(
    stack: TerraformStack,
    plan: Plan,
    instance_type: InstanceType,
    node_interfaces: tuple[Interface, ...],
    ground: Groundwork,
) -> Nodes:
    """Adds what the nodes of `plan` need to its compute stack, and the configuration of ParallelCluster as an output.

    ParallelCluster lays out the interfaces of a node by itself, by the same rules as `node_interfaces`.
    """
    accept(ground.security.group, CKV2_AWS_5="ParallelCluster starts the nodes that are in it")
    del node_interfaces
    choice, storage, service = plan.choice, ground.storage, ground.orchestrator
    if service.service_instance_type is None:
        raise SpecError("orchestrator: the catalog names no instance type for the head node of slurm")
    access = checkpoint_access(
        stack,
        IdentityConfig(
            name=plan.name,
            region=choice.region,
            checkpoint_bucket_arn=storage.get_string("checkpoint_bucket_arn"),
            kms_key_arn=storage.get_string("kms_key_arn"),
        ),
    )
    policy = named(
        IamPolicy(
            stack,
            "checkpoint_policy",
            name=f"{plan.name}-checkpoints-{choice.region}",
            description=f"Checkpoints of cluster {plan.name}",
            policy=access.json,
        ),
        "checkpoints",
    )
    if not ground.nodes:
        return Nodes({})
    text = configuration(
        SlurmConfig(
            region=choice.region,
            head_node_type=service.service_instance_type,
            head_node_disk_gib=service.service_root_disk_gib,
            instance_type=instance_type.name,
            efa=instance_type.rdma_cards > 0,
            root_disk_gib=choice.root_disk_gib,
            scratch=choice.scratch == "raid0",
            subnet_id=ground.network.get_string("compute_subnet_id"),
            node_security_group_ids=[ground.security.group.id, *ground.client_security_group_ids],
            head_node_security_group_ids=[ground.security.group.id, *ground.client_security_group_ids],
            policy_arns=[f"arn:{partition(stack)}:iam::aws:policy/AmazonSSMManagedInstanceCore", policy.arn],
            file_system_id=storage.get_string("shared_file_system_id") if choice.shared_storage else None,
            queues=[
                Queue(
                    kind=kind,
                    nodes=nodes,
                    placement_group=group.name if (group := ground.placement_of(kind)) else None,
                    reservation_id=ground.held[kind].reservation_id if kind in ground.held else None,
                )
                for kind, nodes in ground.nodes.items()
            ],
            tags=tags(plan),
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
    billed = {f"compute_{kind}": found for kind in ground.nodes if (found := ground.billed(kind))}
    return Nodes(billed, {CONFIGURATION: _resolved(stack, text)})


def _resolved(stack: TerraformStack, text: str) -> str:
    """`text` with references as Terraform writes them, in place of cdktf's tokens."""
    resolver = DefaultTokenResolver(StringConcat())
    return str(Tokenization.resolve(text, preparing=False, resolver=resolver, scope=stack))
