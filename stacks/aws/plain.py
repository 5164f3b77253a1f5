"""Plain nodes, without an orchestrator: Auto Scaling groups whose nodes are set up by cloud-init."""

from dataclasses import replace

from cdktf import ITerraformDependable, TerraformStack, TerraformVariable

from cdk.aws.auto_scaling import READY_HOOK, AutoScalingNodes, NodeConfig, encoded_user_data
from cdk.aws.identity import NodeIdentity
from cdk.aws.images import burn_in_image, docker_login
from cdk.aws.interfaces import Interface
from cdk.aws.launch_template import TemplateConfig
from cdk.aws.phases import phase, phase_parameter, publish_phase
from cdk.bootstrap import AWS_INSTANCE_STORE, BetweenNodes, BurnIn, NodeBootstrap, Repair, cloud_init
from cdk.naming import address
from planner.plan.plan import Plan
from provider_catalog.collective_environment import reasons, values
from provider_catalog.hardware import InstanceType
from provider_catalog.purchase_kinds import compute_role
from stacks.aws.base import add_outputs, add_thresholds, tags
from stacks.aws.checks import IMAGE_PARAMETER
from stacks.aws.dashboard import grafana_dashboard
from stacks.aws.elasticity import schedules
from stacks.aws.foundation import BuiltNodes, Foundation, block_switch
from stacks.aws.monitoring import health, metrics


def plain_nodes(
    stack: TerraformStack,
    plan: Plan,
    instance_type: InstanceType,
    node_interfaces: tuple[Interface, ...],
    foundation: Foundation,
) -> BuiltNodes:
    """Adds the nodes of `plan` to its compute stack, as an Auto Scaling group for every purchase kind."""
    choice, storage = plan.choice, foundation.storage
    image = TerraformVariable(
        stack,
        "image_id",
        type="string",
        default=plan.spec.image_id or f"resolve:ssm:{IMAGE_PARAMETER}",
        description=(
            "Image of the nodes. The default is the newest Deep Learning Base image at the time when a node starts; "
            "give an ami-... id to run the same image for the life of a gang."
        ),
    )
    bootstrap = NodeBootstrap(
        cluster=plan.name,
        scratch=choice.scratch if instance_type.nvme_disks else "none",
        nvme_disks=instance_type.nvme_disks,
        nvme_by_id=(AWS_INSTANCE_STORE,),
        lustre=foundation.lustre,
        fabric=instance_type.fabric,
        rdma_cards=instance_type.rdma_cards,
        gpus=instance_type.gpus,
        environment=values(foundation.environment),
        reasons=reasons(foundation.environment),
        burn_in=_burn_in(plan, instance_type),
        health=health(plan),
        metrics=metrics(plan, foundation),
        repair=Repair(choice.region, READY_HOOK),
        interruptible="spot" in foundation.nodes,
    )
    between = bool(bootstrap.burn_in and bootstrap.burn_in.between)
    rights = foundation.identity(plan, health=bootstrap.health is not None, metrics=bootstrap.metrics)
    rights = replace(
        rights,
        pulls_images=between or rights.pulls_images,
        finds_peers=between,
        reports_to=foundation.group_names(plan.name),
    )
    identity = NodeIdentity(stack, "identity", rights)
    config = NodeConfig(
        template=TemplateConfig(
            name=plan.name,
            description=f"Nodes of cluster {plan.name}",
            instance_type=instance_type.name,
            interfaces=node_interfaces,
            security_group_id=foundation.security.group.id,
            client_security_group_ids=foundation.client_security_group_ids,
            fabric_client_security_group_ids=foundation.fabric_client_security_group_ids,
            kms_key_arn=storage.get_string("kms_key_arn"),
            root_disk_gib=choice.root_disk_gib,
            tags=tags(plan),
            image_id=image.string_value,
            instance_profile_arn=identity.instance_profile.arn,
            user_data=encoded_user_data(stack, cloud_init(bootstrap)),
        ),
        subnet_id=foundation.network.get_string("compute_subnet_id"),
        gang=choice.multi_node,
        depends_on=[*foundation.security.rules, *identity.rights, *_phases(stack, plan)],
    )
    validating, scheduled = foundation.validating(plan), schedules(plan)
    switch = block_switch(stack) if "capacity_block" in foundation.nodes else None
    groups = {
        kind: AutoScalingNodes(
            stack,
            f"{kind}_nodes",
            kind=kind,
            nodes=nodes,
            config=replace(config, depends_on=[*config.depends_on, *foundation.reservations_before(kind)]),
            placement_group=foundation.placement_of(kind),
            capacity=foundation.reserved_capacity.get(kind),
            block=foundation.block if kind == "capacity_block" else None,
            block_active=switch if kind == "capacity_block" else None,
            validating=validating[kind],
            schedule=scheduled.get(kind),
        )
        for kind, nodes in foundation.nodes.items()
    }
    add_outputs(
        stack,
        {
            "autoscaling_groups": (
                [group.group.name for group in groups.values()],
                "Auto Scaling groups of the nodes, one for each purchase kind",
            ),
            "node_role_arn": (identity.role.arn, "Role of the nodes"),
        },
    )
    return BuiltNodes(
        {
            # A reservation is billed as long as it exists, with or without instances in it.
            **{compute_role(kind): foundation.billed(kind) or address(group.group) for kind, group in groups.items()},
            **({"root_disk": address(next(iter(groups.values())).launch_template)} if groups else {}),
        },
        {"grafana-dashboard.json": grafana_dashboard(plan.name)} if bootstrap.metrics else {},
    )


def _phases(stack: TerraformStack, plan: Plan) -> list[ITerraformDependable]:
    """Adds the phases of the roll-out where the spec asks for them.

    Returns:
        The parameter that nodes read when they boot, for which their groups have to wait.
    """
    nodes = plan.spec.rollout.validation_nodes
    if nodes is None:
        return []
    add_thresholds(stack, plan)
    return [publish_phase(stack, plan.name, phase(stack, nodes, "run the burn-in before they are ready"))]


def _burn_in(plan: Plan, instance_type: InstanceType) -> BurnIn | None:
    """Burn-in of a node in the phase `validate`; None where the spec asks for no phases."""
    nodes = plan.spec.rollout.validation_nodes
    if nodes is None:
        return None
    thresholds, region = plan.choice.pass_thresholds, plan.choice.region
    nodes = min(nodes, plan.choice.nodes)
    return BurnIn(
        phase_command=(
            f"aws ssm get-parameter --region {region} --name {phase_parameter(plan.name)}"
            " --query Parameter.Value --output text"
        ),
        bus_gb_per_s=thresholds.inside_gb_per_s if instance_type.gpus > 1 else None,
        between=(
            BetweenNodes(
                nodes=nodes,
                bus_gb_per_s=thresholds.between_gb_per_s,
                image=burn_in_image(region),
                login_command=docker_login(region),
                peers_command=(
                    f"aws ec2 describe-instances --region {region} --filters Name=tag:cluster,Values={plan.name}"
                    " Name=instance-state-name,Values=running"
                    " --query 'Reservations[].Instances[].PrivateIpAddress' --output text"
                ),
            )
            if thresholds.between_gb_per_s and nodes > 1
            else None
        ),
    )
