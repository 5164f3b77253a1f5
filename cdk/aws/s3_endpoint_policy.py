"""Policy of the gateway endpoint of S3, through which nodes reach buckets without the Internet."""

import json
from typing import Any, Final, Literal

SERVICE_BUCKETS: Final = (
    # Layers of container images (ECR user guide, "Amazon ECR interface VPC endpoints").
    "prod-{region}-starport-layer-bucket",
    # Packages of Amazon Linux 2023 (Amazon Linux 2023 user guide, "Deterministic upgrades": mirror lists in S3).
    "al2023-repos-{region}-de612dc2",
    # Lustre clients for Ubuntu (FSx for Lustre guide, "Installing the Lustre client").
    "fsx-lustre-client-repo",
    "fsx-lustre-client-repo-public-keys",
    # Agents and documents (Systems Manager user guide, "SSM Agent communications with AWS managed S3 buckets").
    "amazon-ssm-{region}",
    "aws-ssm-{region}",
    "aws-ssm-document-attachments-{region}",
    "amazon-ssm-packages-{region}",
    "{region}-birdwatcher-prod",
    "patch-baseline-snapshot-{region}",
    # The CloudWatch agent (CloudWatch user guide, "Download the CloudWatch agent package").
    "amazoncloudwatch-agent",
    "amazoncloudwatch-agent-{region}",
    # Artifacts (ParallelCluster guide, "AWS ParallelCluster in a single subnet with no internet
    # access").
    "{region}-aws-parallelcluster",
)
"""Buckets of AWS from which nodes read without rights of this account."""
SIGNALS: Final = "cloudformation-waitcondition-{region}"
"""Bucket to which nodes of ParallelCluster write the signal that they are ready, by a URL that CloudFormation signs."""


def s3_endpoint_policy(
    region: str, partition: str, account: str, egress: Literal["nat", "endpoints-only"], *, signals: bool
) -> str:
    """Return the policy as JSON.

    The principals of this account use their own rights, whichever bucket it is; credentials of other accounts are of no
    use, so that nobody sends data to a bucket of another account with credentials of their own. What nodes read
    without rights of this account is limited to buckets of AWS in a closed network. Where nodes reach the Internet
    anyway, public and signed objects of others (container registries, models) may be read from any bucket.

    Args:
        region: Region of the network.
        partition: Partition of the region; it may be a Terraform token.
        account: Account of the cluster; it may be a Terraform token.
        egress: How nodes reach the outside.
        signals: Whether nodes send signals to CloudFormation.
    """
    arn = f"arn:{partition}:s3:::"
    read: dict[str, Any] = {"Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"], "Resource": "*"}
    if egress == "endpoints-only":
        objects = [f"{arn}{bucket.format(region=region)}/*" for bucket in SERVICE_BUCKETS]
        read = {"Action": "s3:GetObject", "Resource": objects}
    statements: list[dict[str, Any]] = [
        {
            "Sid": "OwnAccount",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalAccount": account}},
        },
        {"Sid": "ReadPublic", "Effect": "Allow", "Principal": "*", **read},
    ]
    if signals:
        signal = f"{arn}{SIGNALS.format(region=region)}/*"
        write = {"Sid": "Signals", "Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": signal}
        statements.append(write)
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
