"""What exists in a local AWS account."""

from tests.support.moto_server import MotoServer


def remains(aws: MotoServer) -> dict[str, list[str]]:
    """Return the resources that were created in the account, by kind."""
    ec2, groups = aws.client("ec2"), aws.client("autoscaling").describe_auto_scaling_groups()
    found = {
        "vpcs": [v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]],
        "security groups": [
            g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"] if g["GroupName"] != "default"
        ],
        "gateways": [n["NatGatewayId"] for n in ec2.describe_nat_gateways()["NatGateways"] if n["State"] != "deleted"],
        "addresses": [a["PublicIp"] for a in ec2.describe_addresses()["Addresses"]],
        "endpoints": [
            e["VpcEndpointId"] for e in ec2.describe_vpc_endpoints()["VpcEndpoints"] if e["State"] != "deleted"
        ],
        "flow logs": [f["FlowLogId"] for f in ec2.describe_flow_logs()["FlowLogs"]],
        "launch templates": [t["LaunchTemplateName"] for t in ec2.describe_launch_templates()["LaunchTemplates"]],
        "placement groups": [p["GroupName"] for p in ec2.describe_placement_groups()["PlacementGroups"]],
        "reservations": [
            r["CapacityReservationId"]
            for r in ec2.describe_capacity_reservations()["CapacityReservations"]
            if r["State"] != "cancelled"
        ],
        "groups": [g["AutoScalingGroupName"] for g in groups["AutoScalingGroups"]],
        "file systems": [f["FileSystemId"] for f in aws.client("fsx").describe_file_systems()["FileSystems"]],
        "buckets": [b["Name"] for b in aws.client("s3").list_buckets()["Buckets"]],
        "roles": [r["RoleName"] for r in aws.client("iam").list_roles()["Roles"]],
        "log groups": [g["logGroupName"] for g in aws.client("logs").describe_log_groups()["logGroups"]],
        "parameters": [
            p["Name"]
            for p in aws.client("ssm").describe_parameters()["Parameters"]
            # moto lists public parameters too once one of them was read.
            if not p["Name"].startswith("/aws/service/")
        ],
        "topics": [t["TopicArn"] for t in aws.client("sns").list_topics()["Topics"]],
        "alarms": [a["AlarmName"] for a in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "workspaces": [w["alias"] for w in aws.client("amp").list_workspaces()["workspaces"]],
        "budgets": [
            b["BudgetName"] for b in aws.client("budgets").describe_budgets(AccountId="123456789012").get("Budgets", [])
        ],
        "aliases": [
            a["AliasName"]
            for a in aws.client("kms").list_aliases()["Aliases"]
            if not a["AliasName"].startswith("alias/aws/")
        ],
    }
    return {kind: things for kind, things in found.items() if things}
