"""Flow logs of a network, in an encrypted log group whose records expire."""

from dataclasses import dataclass
from typing import Final

from cdktf_cdktf_provider_aws.cloudwatch_log_group import CloudwatchLogGroup
from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
)
from cdktf_cdktf_provider_aws.flow_log import FlowLog
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from cdktf_cdktf_provider_aws.kms_key import KmsKey
from constructs import Construct

from cdk.aws.account import account_id, partition
from cdk.aws.encryption import logs_use_key, rotated_key
from cdk.aws.roles import service_trust
from cdk.findings import accept
from cdk.naming import named

AGGREGATION_SECONDS: Final = 600
"""The longer of the two intervals that EC2 offers (EC2 API reference, CreateFlowLogs): it gives fewer records and a
lower bill."""

DAYS_OF_A_YEAR: Final = 365
"""Shortest retention that checkov accepts without a reason (CKV_AWS_338)."""


@dataclass(frozen=True)
class FlowLogConfig:
    """Settings of the flow log of a network."""

    name: str
    region: str
    vpc_id: str
    retention_days: int


class NetworkFlowLog(Construct):
    """All traffic of a VPC, accepted and rejected, in CloudWatch Logs under a key of its own.

    The key is not that of the data: whoever may read files and checkpoints need not read the records, and the network
    stack is deployed before the storage stack, which holds the other key.
    """

    def __init__(self, scope: Construct, construct_id: str, config: FlowLogConfig) -> None:
        super().__init__(scope, construct_id)
        account = account_id(self)
        group_name = f"/llmcluster/{config.name}/flow-logs"
        group_arn = f"arn:{partition(self)}:logs:{config.region}:{account}:log-group:{group_name}"

        self.key = self._key(config, group_arn)
        self.log_group = named(
            CloudwatchLogGroup(
                self, "group", name=group_name, retention_in_days=config.retention_days, kms_key_id=self.key.arn
            ),
            "flow_logs",
        )
        if config.retention_days < DAYS_OF_A_YEAR:
            accept(self.log_group, CKV_AWS_338=f"the spec asks for a retention of {config.retention_days} days")
        role = named(
            IamRole(
                self,
                "role",
                name=f"{config.name}-flow-logs-{config.region}",
                description=f"Flow logs of cluster {config.name}",
                assume_role_policy=service_trust(
                    self, "assume", "flow_logs_assume", service="vpc-flow-logs.amazonaws.com", account=account
                ).json,
            ),
            "flow_logs",
        )
        writes = named(
            IamRolePolicy(self, "policy", name="write-flow-logs", role=role.id, policy=self._writes(group_arn).json),
            "flow_logs",
        )
        self.flow_log = named(
            FlowLog(
                self,
                "flow_log",
                vpc_id=config.vpc_id,
                traffic_type="ALL",
                log_destination_type="cloud-watch-logs",
                log_destination=self.log_group.arn,
                iam_role_arn=role.arn,
                max_aggregation_interval=AGGREGATION_SECONDS,
                tags={"Name": config.name},
                # Without the right to write, the flow log would start in status "Access error" and record nothing.
                depends_on=[writes],
            ),
            "cluster",
        )

    def _key(self, config: FlowLogConfig, group_arn: str) -> KmsKey:
        return rotated_key(
            Construct(self, "encryption"),
            "logs",
            name=f"{config.name}-logs",
            description=f"Flow logs of cluster {config.name}",
            statements=[logs_use_key(config.region, [group_arn])],
        )

    def _writes(self, group_arn: str) -> DataAwsIamPolicyDocument:
        return named(
            DataAwsIamPolicyDocument(
                self,
                "writes",
                statement=[
                    DataAwsIamPolicyDocumentStatement(
                        sid="WriteToItsGroup",
                        actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                        # The group exists already; the service names the streams in it.
                        resources=[group_arn, f"{group_arn}:log-stream:*"],
                    )
                ],
            ),
            "write_flow_logs",
        )
