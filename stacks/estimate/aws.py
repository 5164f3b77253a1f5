"""Meters of the resources of the AWS provider: a reader for each kind of resource."""

from collections.abc import Callable
from math import ceil, fsum
from typing import Final

from planner.cost.lustre_lines import included_metadata_iops
from stacks.estimate import aws_plain
from stacks.estimate.documents import Resource
from stacks.estimate.meters import (
    NOT_KNOWN_YET,
    Context,
    Meter,
    NotPriced,
    Reader,
    Reading,
    block_meters,
    by_use,
    disk_meters,
    nat_gateway,
    node_meters,
    public_address,
)
from stacks.estimate.parallelcluster import OUTPUTS, RESERVATIONS
from stacks.estimate.schedules import Level, NotWeeklyError, levels

__all__ = ["FREE", "OFFERS", "OUTPUTS", "PROVIDER", "READERS"]

PROVIDER: Final = "aws"
FREE: Final = frozenset(
    {
        "aws_autoscaling_group_tag",
        "aws_autoscaling_lifecycle_hook",
        "aws_autoscaling_schedule",
        "aws_budgets_budget",
        "aws_cloudwatch_event_rule",
        "aws_cloudwatch_event_target",
        "aws_default_security_group",
        "aws_eks_access_entry",
        "aws_eks_access_policy_association",
        "aws_eks_addon",
        "aws_eks_pod_identity_association",
        "aws_fsx_data_repository_association",
        "aws_iam_instance_profile",
        "aws_iam_policy",
        "aws_iam_role",
        "aws_iam_role_policy",
        "aws_iam_role_policy_attachment",
        "aws_internet_gateway",
        "aws_kms_alias",
        "aws_launch_template",
        "aws_lb_listener",
        "aws_lb_target_group",
        "aws_lb_target_group_attachment",
        "aws_placement_group",
        "aws_route",
        "aws_route_table",
        "aws_route_table_association",
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "aws_s3_object",
        "aws_security_group",
        "aws_sns_topic",
        "aws_sns_topic_policy",
        "aws_sns_topic_subscription",
        "aws_subnet",
        "aws_volume_attachment",
        "aws_vpc",
        "aws_vpc_security_group_egress_rule",
        "aws_vpc_security_group_ingress_rule",
    }
)
"""Kinds of resources that AWS does not bill by themselves. A launch template is billed through its instances, a data
repository through the requests to its bucket. Rules for AWS events and budgets without actions are free, and a thousand
emails cost next to nothing (prices of EventBridge, Budgets and SNS)."""


def _key(resource: Resource, context: Context) -> Reading:
    # The plan's bill has items of their own for the keys of logs and alarms.
    own = {"aws_cloudwatch_log_group": "log_key", "aws_sns_topic": "alarm_key"}
    users = {each.kind for each in context.resources.all if context.resources.linked(each, "aws_kms_key") is resource}
    role = next((role for kind, role in own.items() if kind in users), "encryption_key")
    return [Meter(role, "KMS key", "encryption_key_month", resource.count, "key-month")]


def _log_group(resource: Resource, context: Context) -> Reading:
    writers = [each for each in context.resources.all if each.kind == "aws_flow_log"]
    if any(context.resources.linked(writer, resource.kind) is resource for writer in writers):
        return []  # billed with the flow log
    return by_use(context, "log_data", "log data", "flow_log_gb", "GB-month")


def _flow_log(_: Resource, context: Context) -> Reading:
    return by_use(context, "flow_logs", "flow logs", "flow_log_gb", "GB-month")


def _bucket(resource: Resource, context: Context) -> Reading:
    objects = (each for each in context.resources.all if each.kind == "aws_s3_object")
    if any(context.resources.linked(each, resource.kind) is resource for each in objects):
        return []  # it holds small texts, which Terraform writes
    sku = "object_storage_gb_month"
    return by_use(context, "checkpoint_storage", "objects in the bucket", sku, "GiB-month")


def _lustre(resource: Resource, _: Context) -> Reading:
    size_gib, deployment = resource.number("storage_capacity"), resource.text("deployment_type", "SCRATCH_1")
    if size_gib is None:
        return [NotPriced(f"storage_capacity {NOT_KNOWN_YET}")]
    throughput = resource.number("per_unit_storage_throughput")
    sku = deployment if throughput is None else f"{deployment}-{throughput:g}"
    size_gib *= resource.count
    billed = [Meter("shared_storage", f"Lustre {sku}", sku, size_gib, "GiB-month")]
    iops = resource.block_number("iops", "metadata_configuration")
    if resource.block("metadata_configuration").get("mode") == "USER_PROVISIONED" and iops is not None:
        more = iops - included_metadata_iops(int(size_gib))
        sku = "lustre_metadata_iops_month"
        billed += [Meter("shared_metadata", "metadata IOPS", sku, more, "IOPS-month")] if more > 0 else []
    if resource.number("automatic_backup_retention_days"):
        billed.append(Meter("shared_backups", "backups, full size", "lustre_backup_gb_month", size_gib, "GiB-month"))
    return [*billed]


def _endpoint(resource: Resource, context: Context) -> Reading:
    if _is_gateway(resource):
        return []
    hourly = Meter("interface_endpoints", "interface endpoint", "interface_endpoint_hour", resource.count, "hour")
    others = [each for each in context.resources.all if each.kind == resource.kind and not _is_gateway(each)]
    role, name = "interface_endpoint_data", "data through the endpoint"
    return [hourly, *by_use(context, role, name, "interface_endpoint_gb", "GB-month", 1 / len(others))]


def _is_gateway(endpoint: Resource) -> bool:
    # Gateway endpoints of S3 and DynamoDB are free (VPC user guide, "Gateway endpoints").
    return endpoint.text("vpc_endpoint_type", "Gateway") == "Gateway"


def _reservation(resource: Resource, context: Context) -> Reading:
    nodes, instance_type = resource.number("instance_count"), resource.text("instance_type")
    if nodes is None or not instance_type:
        return [NotPriced(f"instance_count or instance_type {NOT_KNOWN_YET}")]
    nodes *= resource.count
    return node_meters(context, "reserved", instance_type, nodes, nodes)


def _block(resource: Resource, context: Context) -> Reading:
    offering = context.resources.linked(resource, "aws_ec2_capacity_block_offering")
    nodes = None if offering is None else offering.number("instance_count")
    if offering is None or nodes is None or not offering.text("instance_type"):
        return [NotPriced("the offering that it buys is not in the documents")]
    return node_meters(context, "capacity_block", offering.text("instance_type"), nodes, nodes)


def _group(resource: Resource, context: Context) -> Reading:
    # The nodes of a Capacity Block are billed even while the variable of the block keeps their group empty.
    most = resource.number("max_size")
    nodes = most if _of_block(resource, context) else resource.number("desired_capacity", most)
    return _launched(resource, context, nodes, lambda running: _on_demand(resource, running))


def _node_group(resource: Resource, context: Context) -> Reading:
    if context.resources.linked(resource, "aws_launch_template") is None and resource.arguments.get("instance_types"):
        return aws_plain.plain_node_group(resource, context)
    most = resource.block_number("max_size", "scaling_config")
    nodes = most if _of_block(resource, context) else resource.block_number("desired_size", "scaling_config")
    spot = resource.text("capacity_type") == "SPOT"
    return _launched(resource, context, nodes, lambda running: 0.0 if spot else running)


TARGETS: Final = ("capacity_reservation_id", "capacity_reservation_resource_group_arn")
"""Arguments with which a launch template targets a reservation or a group of them."""


def _of_block(resource: Resource, context: Context) -> bool:
    """Whether the nodes run in a Capacity Block, which is billed whether they run or not."""
    template = context.resources.linked(resource, "aws_launch_template")
    return template is not None and template.block("instance_market_options").get("market_type") == "capacity-block"


def _launched(
    resource: Resource, context: Context, nodes: float | None, on_demand: Callable[[float], float]
) -> Reading:
    """Meters of the nodes that a launch template starts, and of their disks. A reservation has its own meter.

    Args:
        resource: The group of the nodes.
        context: The context.
        nodes: Number of nodes where no scheduled action sets it; None: it is unknown.
        on_demand: How many of a number of running nodes are on demand.
    """
    template = context.resources.linked(resource, "aws_launch_template")
    if template is None or nodes is None:
        return [NotPriced("its launch template or its number of nodes is not in the documents")]
    instance_type = template.text("instance_type")
    if not instance_type:
        return [NotPriced(f"{template.address} names no instance type")]
    try:
        week = levels(resource, context.resources) or (Level(nodes, 1.0),)
    except NotWeeklyError as error:
        return [NotPriced(str(error))]
    nodes = max(level.nodes for level in week)
    target = template.block("capacity_reservation_specification", "capacity_reservation_target")
    reserved = any(context.resources.linked(template, kind) is not None for kind in RESERVATIONS)
    count = resource.count
    bought: Reading = []
    if not reserved and _of_block(resource, context):
        bought = block_meters(context, instance_type, nodes * count)
    elif not reserved and any(target.get(key) for key in TARGETS):
        # A reservation made outside of these documents is billed through the nodes in it.
        bought = node_meters(context, "reserved", instance_type, nodes * count, nodes * count)
    elif not reserved:
        on_demand_hours = fsum(level.share * on_demand(level.nodes) for level in week)
        spot_hours = fsum(level.share * (level.nodes - on_demand(level.nodes)) for level in week)
        peak = on_demand(nodes)
        bought = [
            *node_meters(context, "on_demand", instance_type, peak * count, on_demand_hours * count),
            *node_meters(context, "spot", instance_type, (nodes - peak) * count, spot_hours * count),
        ]
    return [*bought, *_root_disks(template, context, instance_type, nodes * count)]


def _on_demand(group: Resource, nodes: float) -> float:
    distribution = group.block("mixed_instances_policy", "instances_distribution")
    if not distribution:
        return nodes
    base = min(nodes, float(distribution.get("on_demand_base_capacity") or 0))
    given = distribution.get("on_demand_percentage_above_base_capacity")
    percentage = 100.0 if given is None else float(given)
    return base + ceil((nodes - base) * percentage / 100 - 1e-9)


def _root_disks(template: Resource, context: Context, instance_type: str, nodes: float) -> Reading:
    size_gib = 0.0
    for mapping in template.blocks("block_device_mappings"):
        disk = mapping.get("ebs") or {}
        disk = disk[0] if isinstance(disk, list) else disk
        if disk.get("volume_type") != "gp3" or disk.get("iops") or disk.get("throughput"):
            return [NotPriced(f"{template.address}: only gp3 disks at their baseline have a price in the catalog")]
        size_gib += float(disk.get("volume_size") or 0)
    return disk_meters(context, instance_type, nodes * size_gib)


def _control_plane(resource: Resource, _: Context) -> Reading:
    if resource.block("upgrade_policy").get("support_type") != "STANDARD":
        return [NotPriced("extended support costs more and has no price in the catalog")]
    return [Meter("control_plane", "EKS control plane", "kubernetes_control_plane_hour", resource.count, "hour")]


def _alarm(resource: Resource, _: Context) -> Reading:
    """Meters of an alarm on one metric; a metric that is not one of AWS has a meter too."""
    if (resource.number("period") or 60) < 60:
        return [NotPriced("alarms of less than a minute have no price in the catalog")]
    meters = [Meter("alarms", "alarm on a metric", "alarm_month", resource.count, "alarm-month")]
    if not resource.text("namespace", "AWS/").startswith("AWS/"):
        name = resource.text("metric_name", "custom metric")
        meters.append(Meter("custom_metrics", f"metric {name}", "custom_metric_month", resource.count, "metric-month"))
    return [*meters]


def _prometheus(_: Resource, context: Context) -> Reading:
    role, name, sku = "prometheus", "samples of the workspace", "metric_samples_million"
    return by_use(context, role, name, sku, "million-samples-month")


def _collector(resource: Resource, context: Context) -> Reading:
    hourly = Meter("metrics_collector", "collector of metrics", "metric_collector_hour", resource.count, "hour")
    role, name, sku = "metrics_collected", "samples of the collector", "metric_collector_samples_million"
    return [hourly, *by_use(context, role, name, sku, "million-samples-month")]


def _parameter(resource: Resource, _: Context) -> Reading:
    # Standard parameters are free (AWS Systems Manager pricing, "Parameter Store").
    return (
        [] if resource.text("tier", "Standard") == "Standard" else [NotPriced("this tier has no price in the catalog")]
    )


OFFERS: Final = {"aws_ec2_capacity_block_offering": "aws_ec2_capacity_block_reservation"}
"""Kinds of data sources for something that can be bought, and the kinds of resources that buy it."""
READERS: Final[dict[str, Reader]] = {
    "aws_autoscaling_group": _group,
    "aws_cloudwatch_log_group": _log_group,
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_ec2_capacity_block_reservation": _block,
    "aws_ec2_capacity_reservation": _reservation,
    "aws_eip": public_address,
    "aws_eks_cluster": _control_plane,
    "aws_eks_node_group": _node_group,
    "aws_flow_log": _flow_log,
    "aws_fsx_lustre_file_system": _lustre,
    "aws_kms_key": _key,
    "aws_nat_gateway": nat_gateway,
    "aws_prometheus_scraper": _collector,
    "aws_prometheus_workspace": _prometheus,
    "aws_s3_bucket": _bucket,
    "aws_ssm_parameter": _parameter,
    "aws_vpc_endpoint": _endpoint,
    **aws_plain.READERS,
}
