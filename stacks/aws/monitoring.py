"""Monitoring of a compute stack: alarms, the budget, and the metrics that its nodes send."""

from cdktf import TerraformStack

from cdk.aws.alarms import AlarmConfig, Alarms, metric_namespace
from cdk.aws.images import mirror_login
from cdk.bootstrap import Health, Metrics
from cdk.naming import address
from planner.plan.plan import Plan
from stacks.aws.foundation import Foundation


def add_alarms(stack: TerraformStack, plan: Plan, foundation: Foundation) -> dict[str, str]:
    """Adds the alarms and the budget that the spec asks for.

    Returns:
        Terraform addresses of the billed resources, by role of the bill.
    """
    choice, emails = plan.choice, plan.spec.observability.notify
    if not emails:
        return {}
    storage = choice.shared_storage
    alarms = Alarms(
        stack,
        "alarms",
        AlarmConfig(
            name=plan.name,
            region=choice.region,
            emails=emails,
            namespace=metric_namespace(plan.name),
            file_system_id=foundation.storage.get_string("shared_file_system_id") if storage else None,
            file_system_gib=storage.size_gib if storage else 0,
            spot=bool(choice.purchase.spot_nodes),
            groups=foundation.group_names(plan.name) if plan.spec.orchestrator == "none" else (),
            usd_per_month=plan.spec.budget.usd_per_month or plan.cost.usd_per_month,
        ),
    )
    addresses = {"alarm_key": address(alarms.key)}
    if alarms.alarms:
        first = address(alarms.alarms[0])
        addresses |= {"alarms": first, "custom_metrics": first}
    return addresses


def health(plan: Plan) -> Health | None:
    """How nodes publish the error counts that alarms watch; None without alarms."""
    if not plan.spec.observability.notify:
        return None
    return Health(
        f"aws cloudwatch put-metric-data --region {plan.choice.region} --namespace {metric_namespace(plan.name)}"
    )


def metrics(plan: Plan, foundation: Foundation) -> Metrics | None:
    """Settings of the metrics that nodes send; None if the spec asks for none."""
    if not plan.spec.observability.metrics:
        return None
    endpoint = foundation.storage.get_string("prometheus_endpoint")
    registry = plan.spec.network.image_registry
    return Metrics(
        remote_write_url=f"{endpoint}api/v1/remote_write",
        region=plan.choice.region,
        image_registry=registry,
        login_command=mirror_login(registry),
    )
