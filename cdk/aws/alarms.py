"""Alarms of a cluster: an encrypted SNS topic, CloudWatch alarms, notices of Spot interruptions, and the budget."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdktf_cdktf_provider_aws.budgets_budget import (
    BudgetsBudget,
    BudgetsBudgetCostFilter,
    BudgetsBudgetNotification,
)
from cdktf_cdktf_provider_aws.cloudwatch_event_rule import CloudwatchEventRule
from cdktf_cdktf_provider_aws.cloudwatch_event_target import CloudwatchEventTarget
from cdktf_cdktf_provider_aws.cloudwatch_metric_alarm import CloudwatchMetricAlarm
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
    DataAwsIamPolicyDocumentStatementPrincipals,
)
from cdktf_cdktf_provider_aws.sns_topic import SnsTopic
from cdktf_cdktf_provider_aws.sns_topic_policy import SnsTopicPolicy
from cdktf_cdktf_provider_aws.sns_topic_subscription import SnsTopicSubscription
from constructs import Construct

from cdk.aws.account import account_id
from cdk.aws.encryption import rotated_key
from cdk.naming import content_name, named

FREE_SHARE: Final = 0.1
"""Free share of the shared file system that raises an alarm: below it, servers that fill unevenly refuse writes."""
NODE_METRICS: Final = {
    "GpuXidErrors": "A GPU reported an Xid error: see the kernel log of the node, and NVIDIA's list of Xid errors",
    "EfaErrors": "EFA dropped packets or lost a peer: see the hardware counters of the node's cards",
}
"""Metrics that nodes publish, and the description of the alarm on each."""


@dataclass(frozen=True)
class AlarmConfig:
    """Settings of the alarms of a cluster."""

    name: str
    region: str
    emails: tuple[str, ...]
    namespace: str
    """CloudWatch namespace of the metrics that nodes publish."""
    file_system_id: str | None
    file_system_gib: int
    spot: bool
    groups: tuple[str, ...]
    """Auto Scaling groups whose failing nodes raise an alarm."""
    usd_per_month: float | None
    """Limit of the budget; None: there is no budget, because the bill is unknown."""


def metric_namespace(cluster: str) -> str:
    """CloudWatch namespace in which the nodes of a cluster publish their metrics."""
    return f"llmcluster/{cluster}"


class Alarms(Construct):
    """An SNS topic with email subscriptions, and the alarms and events that are sent to it."""

    def __init__(self, scope: Construct, construct_id: str, config: AlarmConfig) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        account = account_id(self)
        events = config.spot or bool(config.groups)
        self.key = rotated_key(
            Construct(self, "encryption"),
            "alarms",
            name=f"{config.name}-alarms",
            description=f"Alarms of cluster {config.name}",
            # SNS guide, "Enabling compatibility between event sources from AWS services and encrypted topics".
            statements=_published(["kms:Decrypt", "kms:GenerateDataKey*"], "UseKey", "*", account, events),
        )
        self.topic = named(
            SnsTopic(self, "topic", name=f"{config.name}-alarms", kms_master_key_id=self.key.arn), "alarms"
        )
        policy = named(
            DataAwsIamPolicyDocument(
                self,
                "topic_policy",
                statement=_published(["sns:Publish"], "Publish", self.topic.arn, account, events),
            ),
            "publish_alarms",
        )
        # Messages sent before the topic accepts them are lost without a trace.
        self._published = named(SnsTopicPolicy(self, "policy", arn=self.topic.arn, policy=policy.json), "alarms")
        for number, email in enumerate(dict.fromkeys(config.emails)):
            name = content_name("email", email)
            subscription = named(
                SnsTopicSubscription(self, name, topic_arn=self.topic.arn, protocol="email", endpoint=email), name
            )
            # Earlier versions named it by its position; a new subscription would have to be confirmed again.
            subscription.move_from_id(f"{subscription.terraform_resource_type}.email_{number}")
        self.alarms = self._alarms()
        if config.spot:
            # The notice names an instance but no tags, so that notices for other clusters of the account arrive too.
            self._event(
                "spot_interruptions",
                "Two minutes before EC2 takes a Spot node",
                {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]},
            )
        if config.groups:
            groups = list(config.groups)
            self._event(
                "failed_launches",
                "A node did not start, or did not become ready; the event names it and the reason",
                {
                    "source": ["aws.autoscaling"],
                    "detail-type": ["EC2 Instance Launch Unsuccessful"],
                    "detail": {"AutoScalingGroupName": groups},
                },
            )
            self._event(
                "replaced_nodes",
                "A node failed and is replaced; the event names it and the reason",
                {
                    "source": ["aws.autoscaling"],
                    "detail-type": ["EC2 Instance Terminate Successful"],
                    "detail": {"AutoScalingGroupName": groups, "Cause": [{"wildcard": "*health*check*"}]},
                },
            )
        self.budget = None if config.usd_per_month is None else self._budget(config.usd_per_month)

    def _alarms(self) -> list[CloudwatchMetricAlarm]:
        config = self._config
        alarms = [
            self._alarm(metric, description, namespace=config.namespace, metric=metric, threshold=0.0)
            for metric, description in NODE_METRICS.items()
        ]
        if config.file_system_id is not None:
            alarms.append(
                self._alarm(
                    "SharedSpace",
                    f"Less than {FREE_SHARE:.0%} of the shared file system is free: delete, or raise its size",
                    namespace="AWS/FSx",
                    metric="FreeDataStorageCapacity",
                    threshold=FREE_SHARE * config.file_system_gib * 2**30,
                    dimensions={"FileSystemId": config.file_system_id},
                    below=True,
                )
            )
        return alarms

    def _alarm(
        self,
        role: str,
        description: str,
        *,
        namespace: str,
        metric: str,
        threshold: float,
        dimensions: dict[str, str] | None = None,
        below: bool = False,
    ) -> CloudwatchMetricAlarm:
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in role).strip("_")
        return named(
            CloudwatchMetricAlarm(
                self,
                name,
                alarm_name=f"{self._config.name}-{name.replace('_', '-')}",
                alarm_description=description,
                namespace=namespace,
                metric_name=metric,
                dimensions=dimensions,
                statistic="Sum",
                period=60,
                evaluation_periods=5 if below else 1,
                comparison_operator="LessThanThreshold" if below else "GreaterThanThreshold",
                threshold=threshold,
                # Without nodes there are no data, and no errors.
                treat_missing_data="missing" if below else "notBreaching",
                alarm_actions=[self.topic.arn],
                ok_actions=[self.topic.arn],
                depends_on=[self._published],
            ),
            name,
        )

    def _event(self, address: str, description: str, pattern: dict[str, object]) -> None:
        """Adds a rule that sends events to the topic."""
        rule = named(
            CloudwatchEventRule(
                self,
                address,
                name=f"{self._config.name}-{address.replace('_', '-')}",
                description=description,
                event_pattern=json.dumps(pattern),
            ),
            address,
        )
        named(
            CloudwatchEventTarget(
                self, f"{address}_target", rule=rule.name, arn=self.topic.arn, depends_on=[self._published]
            ),
            address,
        )

    def _budget(self, usd_per_month: float) -> BudgetsBudget:
        return named(
            BudgetsBudget(
                self,
                "budget",
                name=self._config.name,
                budget_type="COST",
                time_unit="MONTHLY",
                limit_unit="USD",
                limit_amount=str(math.ceil(usd_per_month)),
                cost_filter=[BudgetsBudgetCostFilter(name="TagKeyValue", values=[f"user:cluster${self._config.name}"])],
                notification=[
                    BudgetsBudgetNotification(
                        comparison_operator="GREATER_THAN",
                        threshold=threshold,
                        threshold_type="PERCENTAGE",
                        notification_type=kind,
                        subscriber_email_addresses=list(self._config.emails),
                    )
                    for kind, threshold in (("ACTUAL", 80), ("FORECASTED", 100))
                ],
            ),
            "monthly",
        )


def _published(
    actions: Sequence[str], sid: str, resource: str, account: str, events: bool
) -> list[DataAwsIamPolicyDocumentStatement]:
    """Statements that let alarms, and with `events` also EventBridge rules, use the topic or its key."""
    alarms = DataAwsIamPolicyDocumentStatement(
        sid=f"Alarms{sid}",
        actions=list(actions),
        resources=[resource],
        principals=[_service("cloudwatch.amazonaws.com")],
        condition=[
            DataAwsIamPolicyDocumentStatementCondition(
                test="StringEquals", variable="aws:SourceAccount", values=[account]
            )
        ],
    )
    if not events:
        return [alarms]
    # There is no condition: EventBridge sends no condition keys, neither to a topic nor to its KMS key, so that a
    # condition would block every message. EventBridge guide, "Amazon SNS permissions"; SNS guide, as above.
    rules = DataAwsIamPolicyDocumentStatement(
        sid=f"Events{sid}",
        actions=list(actions),
        resources=[resource],
        principals=[_service("events.amazonaws.com")],
    )
    return [alarms, rules]


def _service(name: str) -> DataAwsIamPolicyDocumentStatementPrincipals:
    return DataAwsIamPolicyDocumentStatementPrincipals(type="Service", identifiers=[name])
