"""Nodes under Kubernetes: EKS with managed node groups."""

from dataclasses import replace

from cdktf import ITerraformDependable, TerraformLocal, TerraformStack, TerraformVariable
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import DataAwsIamPolicyDocument
from cdktf_cdktf_provider_aws.eks_pod_identity_association import EksPodIdentityAssociation
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy

from cdk.aws.account import account_id
from cdk.aws.auto_scaling import encoded_user_data
from cdk.aws.eks.addons import AddonsConfig, NetworkAddons, ServiceAddons
from cdk.aws.eks.autoscaler import add_autoscaler_identity, autoscaler_manifest, autoscaler_tags
from cdk.aws.eks.burn_in import KubernetesBurnIn, burn_in_manifests
from cdk.aws.eks.control_plane import ControlPlane, ControlPlaneConfig
from cdk.aws.eks.exporters import exporters, scrape_configuration
from cdk.aws.eks.manifests import SERVICE_ACCOUNT, manifests, shared_volume
from cdk.aws.eks.node_groups import GpuNodes, NodeGroupsConfig, SystemNodes, node_user_data
from cdk.aws.eks.objects import NAMESPACE
from cdk.aws.identity import checkpoint_access, metric_statements
from cdk.aws.images import burn_in_image
from cdk.aws.interfaces import Interface
from cdk.aws.launch_template import TemplateConfig
from cdk.aws.phases import phase
from cdk.aws.prometheus import metrics_collector
from cdk.aws.roles import pod_role, service_role
from cdk.bootstrap import NodeServices, mirrored, services_cloud_init
from cdk.naming import address, named
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.collective_environment import values
from provider_catalog.hardware import InstanceType
from provider_catalog.purchase_kinds import compute_role
from stacks.aws.base import add_outputs, add_thresholds, tags
from stacks.aws.dashboard import grafana_dashboard
from stacks.aws.elasticity import filled, initial_nodes, schedules
from stacks.aws.foundation import BuiltNodes, Foundation, block_switch
from stacks.aws.monitoring import health, metrics

MANIFESTS = "kubernetes"
"""Folder of the Kubernetes objects, beside the document of the stack."""


def kubernetes_nodes(
    stack: TerraformStack,
    plan: Plan,
    instance_type: InstanceType,
    node_interfaces: tuple[Interface, ...],
    foundation: Foundation,
) -> BuiltNodes:
    """Adds control plane, add-ons and node groups of `plan` to its compute stack."""
    choice, spec, storage = plan.choice, plan.spec.kubernetes, foundation.storage
    kms_key_arn = storage.get_string("kms_key_arn")
    compute_subnet_id = foundation.network.get_string("compute_subnet_id")
    control_plane = ControlPlane(
        stack,
        "control_plane",
        ControlPlaneConfig(
            name=plan.name,
            region=choice.region,
            version=spec.version,
            subnet_ids=foundation.control_plane_subnet_ids,
            public_cidrs=spec.public_api_cidrs,
            administrators=spec.administrators,
            kms_key_arn=kms_key_arn,
        ),
    )
    cluster = control_plane.cluster
    addons = AddonsConfig(
        name=plan.name,
        region=choice.region,
        cluster_name=cluster.name,
        lustre=choice.shared_storage is not None,
        partition=control_plane.partition,
    )
    partition = control_plane.partition
    network_addons = NetworkAddons(stack, "network_addons", addons)
    node_role = service_role(
        stack,
        "node",
        name=f"{plan.name}-node-{choice.region}",
        description=f"Nodes of cluster {plan.name}",
        service="ec2.amazonaws.com",
        partition=partition,
        managed_policies={
            "worker": "AmazonEKSWorkerNodeMinimalPolicy",
            "images": "AmazonEC2ContainerRegistryPullOnly",
            "session_manager": "AmazonSSMManagedInstanceCore",
        },
    )
    services = NodeServices(
        plan.name,
        health(plan),
        metrics(plan, foundation),
        lustre=foundation.lustre_over_efa,
        lustre_before="kubelet.service",
    )
    user_data = node_user_data(
        raid=choice.scratch == "raid0", services=services_cloud_init(services) if services.any else None
    )
    rights = [*node_role.attachments, *_publishing_policy(stack, plan, node_role.role.id, foundation, services)]
    release_version = TerraformVariable(
        stack,
        "release_version",
        type="string",
        default="",
        description=(
            "Release of the GPU image, such as 1.35.0-20260120. Empty: the newest at the time when a node group is "
            "created. A change replaces nodes one by one and drains each of them first."
        ),
    )
    config = NodeGroupsConfig(
        cluster_name=cluster.name,
        version=cluster.version,
        node_role_arn=node_role.role.arn,
        subnet_id=compute_subnet_id,
        template=TemplateConfig(
            name=plan.name,
            description=f"Nodes of cluster {plan.name}",
            instance_type=instance_type.name,
            interfaces=node_interfaces,
            security_group_id=foundation.security.group.id,
            client_security_group_ids=(control_plane.security_group_id, *foundation.client_security_group_ids),
            fabric_client_security_group_ids=foundation.fabric_client_security_group_ids,
            kms_key_arn=kms_key_arn,
            root_disk_gib=choice.root_disk_gib,
            tags=tags(plan),
            user_data=encoded_user_data(stack, user_data) if user_data else None,
        ),
        release_version=release_version,
        depends_on=[*rights, *foundation.security.rules, *network_addons.addons],
    )
    service = foundation.orchestrator
    if service.service_instance_type is None:
        raise SpecError("orchestrator: the catalog names no instance type for the system nodes of kubernetes")
    system = SystemNodes(
        stack,
        "system_nodes",
        config,
        nodes=service.service_nodes,
        instance_type=service.service_instance_type,
        root_disk_gib=service.service_root_disk_gib,
    )
    ServiceAddons(stack, "service_addons", addons, system.group)
    switch = block_switch(stack) if "capacity_block" in foundation.nodes else None
    if plan.spec.rollout.validation_nodes is not None:
        phase(stack, plan.spec.rollout.validation_nodes, "wait for the burn-in below kubernetes/burn-in")
        add_thresholds(stack, plan)
    validating, scheduled = foundation.validating(plan), schedules(plan)
    initial = initial_nodes(plan, foundation.nodes)
    found_by_autoscaler = autoscaler_tags(
        plan.name, gpus=instance_type.gpus, gpu=choice.gpu, efa_cards=instance_type.rdma_cards
    )
    groups = {
        kind: GpuNodes(
            stack,
            f"{kind}_nodes",
            replace(config, depends_on=[*config.depends_on, *foundation.reservations_before(kind)]),
            kind=kind,
            nodes=nodes,
            placement_group=foundation.placement_of(kind),
            capacity=foundation.reserved_capacity.get(kind),
            block=foundation.block if kind == "capacity_block" else None,
            block_active=switch if kind == "capacity_block" else None,
            validating=validating[kind],
            schedule=scheduled.get(kind) or (filled(nodes) if kind in initial else None),
            initial_nodes=initial.get(kind),
            autoscaler=found_by_autoscaler if kind in scheduled else None,
        )
        for kind, nodes in foundation.nodes.items()
    }
    _job_identity(stack, plan, foundation, cluster.name, partition)
    if scheduled:
        add_autoscaler_identity(
            stack,
            name=plan.name,
            region=choice.region,
            partition=partition,
            cluster_name=cluster.name,
            account=account_id(stack),
        )
    collector_addresses: dict[str, str] = {}
    if plan.spec.observability.metrics:
        collector = metrics_collector(
            stack,
            plan.name,
            cluster_arn=cluster.arn,
            subnet_ids=foundation.control_plane_subnet_ids,
            security_group_id=control_plane.security_group_id,
            workspace_arn=storage.get_string("prometheus_workspace_arn"),
            configuration=TerraformLocal(stack, "scrape_configuration", scrape_configuration(plan.name)).as_string,
        )
        collector_addresses = {"metrics_collector": address(collector), "metrics_collected": address(collector)}
    add_outputs(
        stack,
        {
            "cluster_name": (cluster.name, "EKS cluster, for aws eks update-kubeconfig --name"),
            "cluster_endpoint": (cluster.endpoint, "Address of the Kubernetes API"),
            "node_groups": ([group.group.node_group_name for group in groups.values()], "Node groups with GPUs"),
            "node_role_arn": (node_role.role.arn, "Role of the nodes"),
        },
    )
    if choice.shared_storage:
        volume = shared_volume(
            storage.get_string("shared_file_system_id"),
            storage.get_string("shared_dns_name"),
            storage.get_string("shared_mount_name"),
            choice.shared_storage.size_gib,
        )
        text = TerraformLocal(stack, "volume_manifest", volume)
        add_outputs(
            stack,
            {"shared_volume": (text.as_string, "Shared volume and claim, for kubectl apply -f -")},
        )
    return BuiltNodes(
        {
            **{compute_role(kind): foundation.billed(kind) or address(group.group) for kind, group in groups.items()},
            **({"root_disk": address(next(iter(groups.values())).launch_template)} if groups else {}),
            "control_plane": address(cluster),
            "log_data": address(control_plane.logs),
            "service_nodes": address(system.group),
            "service_root_disk": address(system.launch_template),
            **collector_addresses,
        },
        _files(plan, instance_type, foundation),
    )


def _files(plan: Plan, instance_type: InstanceType, foundation: Foundation) -> dict[str, str]:
    """Files beside the document of the stack: Kubernetes objects and, with metrics, the dashboard."""
    choice, collects_metrics = plan.choice, plan.spec.observability.metrics

    def image(public: str) -> str:
        return mirrored(public, plan.spec.network.image_registry)

    written = manifests(
        choice.region,
        image,
        efa=instance_type.rdma_cards > 0,
        environment=foundation.environment,
        exporters=exporters(image) if collects_metrics else None,
        autoscaler=(
            autoscaler_manifest(plan.name, choice.region, plan.spec.kubernetes.version, image, spot="spot" in scheduled)
            if (scheduled := schedules(plan))
            else None
        ),
    )
    if plan.spec.rollout.validation_nodes is not None:
        thresholds = choice.pass_thresholds
        nodes = min(plan.spec.rollout.validation_nodes, choice.nodes)
        burn_in = KubernetesBurnIn(
            nodes=nodes,
            gpus=instance_type.gpus,
            efa_cards=instance_type.rdma_cards,
            inside_gb_per_s=thresholds.inside_gb_per_s if instance_type.gpus > 1 else None,
            between_gb_per_s=thresholds.between_gb_per_s if nodes > 1 else None,
            image=burn_in_image(choice.region),
            environment=values(foundation.environment),
        )
        written |= {f"burn-in/{name}": text for name, text in burn_in_manifests(burn_in, image).items()}
    dashboard = {"grafana-dashboard.json": grafana_dashboard(plan.name)} if collects_metrics else {}
    return {f"{MANIFESTS}/{name}": text for name, text in written.items()} | dashboard


def _publishing_policy(
    stack: TerraformStack, plan: Plan, node_role_id: str, foundation: Foundation, services: NodeServices
) -> list[ITerraformDependable]:
    """Adds the policy that lets GPU nodes publish their error counts, where alarms need them."""
    if not services.health:
        return []
    config = foundation.identity(plan, health=True)
    policy = named(DataAwsIamPolicyDocument(stack, "metrics", statement=metric_statements(config)), "metrics")
    return [
        named(IamRolePolicy(stack, "metrics_policy", name="metrics", role=node_role_id, policy=policy.json), "metrics")
    ]


def _job_identity(stack: TerraformStack, plan: Plan, foundation: Foundation, cluster_name: str, partition: str) -> None:
    """Adds the role through which pods of jobs reach the checkpoints, and nothing else in the account."""
    region = plan.choice.region
    job = pod_role(
        stack,
        "job",
        name=f"{plan.name}-job-{region}",
        description=f"Jobs of cluster {plan.name}",
        partition=partition,
    )
    access = checkpoint_access(stack, foundation.identity(plan))
    checkpoints = named(
        IamRolePolicy(stack, "job_checkpoints", name="checkpoints", role=job.role.id, policy=access.json), "checkpoints"
    )
    named(
        EksPodIdentityAssociation(
            stack,
            "job_identity",
            cluster_name=cluster_name,
            namespace=NAMESPACE,
            service_account=SERVICE_ACCOUNT,
            role_arn=job.role.arn,
            depends_on=[checkpoints],
        ),
        "job",
    )
