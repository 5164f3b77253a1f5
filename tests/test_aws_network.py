"""Networks of AWS clusters: NAT, private endpoints only, and an existing network (rules A4, A5, A17)."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.cost.network_lines import network_lines, unbuilt_roles
from planner.errors import SpecError
from planner.market.features import check_features
from planner.plan.choice import Purchase
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from tests.support.aws_stacks import Documents, synthesize
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

BLOCK = {"start": "2026-12-10", "days": 7}
OWN = {"vpc_id": "vpc-0a1b2c3d", "subnet_id": "subnet-0a1b2c3d"}


def spec(**network: Any) -> ClusterSpec:
    return read_spec(
        {
            "name": "example",
            "model": {"parameters": "7B"},
            "workload": {"kind": "training", "tokens": 1e12},
            "network": network,
        },
        "example.yaml",
    )


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    plan = example_plan(spec={"network": {"egress": "endpoints-only"}})
    return synthesize(plan, tmp_path_factory.mktemp("closed"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return synthesize(example_plan(nodes=4, spec={"network": OWN}), tmp_path_factory.mktemp("own"))


# A closed network


def test_a4_a_closed_network_has_no_way_to_the_internet(closed: Documents) -> None:
    network = closed["network"]["resource"]
    assert not {"aws_internet_gateway", "aws_nat_gateway", "aws_eip", "aws_route"} & set(network)
    assert set(network["aws_subnet"]) == {"compute"}
    egress = closed["compute"]["resource"]["aws_vpc_security_group_egress_rule"].values()
    assert all(rule.get("cidr_ipv4") != "0.0.0.0/0" for rule in egress)


def test_a17_a_closed_network_reaches_session_manager_logs_and_images_privately(closed: Documents) -> None:
    endpoints = closed["network"]["resource"]["aws_vpc_endpoint"]
    services = {e["service_name"].removeprefix("com.amazonaws.us-east-1.") for e in endpoints.values()}
    # Systems Manager guide, "Improve the security of EC2 instances by using VPC endpoints"; ECR guide, "VPC endpoints".
    assert services >= {"s3", "ssm", "ssmmessages", "ec2messages", "logs", "ecr.api", "ecr.dkr"}
    assert "eks" not in services
    for name, endpoint in endpoints.items():
        assert endpoint["vpc_endpoint_type"] == ("Gateway" if name == "s3" else "Interface")
        assert name == "s3" or endpoint["private_dns_enabled"] is True
    (rule,) = closed["network"]["resource"]["aws_vpc_security_group_ingress_rule"].values()
    assert (rule["cidr_ipv4"], rule["from_port"], rule["to_port"]) == ("${aws_vpc.cluster.cidr_block}", 443, 443)


def test_a17_nodes_of_a_closed_network_reach_endpoints_and_s3(closed: Documents) -> None:
    rules = closed["compute"]["resource"]["aws_vpc_security_group_egress_rule"]
    outputs = "${data.terraform_remote_state.network.outputs."
    assert rules["to_endpoints"]["cidr_ipv4"] == outputs + "vpc_cidr}"
    assert rules["to_s3"]["prefix_list_id"] == outputs + "s3_prefix_list_id}"
    assert {"vpc_cidr", "s3_prefix_list_id"} <= set(closed["network"]["output"])


def test_a4_endpoints_take_addresses_of_the_subnet(tmp_path: Path) -> None:
    # 8 nodes in a subnet of 16 - 5 addresses; ten endpoints on top do not fit.
    fields: dict[str, Any] = {"nodes": 8, "shared_storage": None}
    synthesize(example_plan(**fields, spec={"network": {"cidr": "10.0.0.0/27"}}), tmp_path)
    with pytest.raises(SpecError, match=r"network\.cidr.*10\.0\.0\.0/27 is too small"):
        synthesize(
            example_plan(**fields, spec={"network": {"cidr": "10.0.0.0/27", "egress": "endpoints-only"}}), tmp_path
        )


# A network of one's own


def test_a_network_of_ones_own_is_looked_up_and_nothing_is_made(own: Documents) -> None:
    assert "resource" not in own["network"]
    data = own["network"]["data"]
    assert data["aws_vpc"]["cluster"]["id"] == OWN["vpc_id"]
    assert data["aws_subnet"]["compute"]["id"] == OWN["subnet_id"]
    assert own["network"]["output"]["compute_subnet_id"]["value"] == "${data.aws_subnet.compute.id}"


def test_a5_zone_and_a4_addresses_of_ones_own_subnet_are_checked(own: Documents) -> None:
    conditions = own["network"]["data"]["aws_subnet"]["compute"]["lifecycle"]["postcondition"]
    text = "\n".join(c["condition"] for c in conditions)
    assert 'self.availability_zone_id == "use1-az6"' in text
    assert f'self.vpc_id == "{OWN["vpc_id"]}"' in text
    # 4 nodes with one address each, 2 file servers and 1 metadata server.
    assert ">= 7}" in text
    assert ">= 4}" in text
    assert all(c["error_message"].startswith("network.") for c in conditions)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"vpc_id": "vpc-0a1b2c3d"}, r"both vpc_id and subnet_id; network\.subnet_id is missing"),
        ({**OWN, "cidr": "10.0.0.0/16"}, "cidr applies to a new network, but vpc_id names an existing one"),
        ({**OWN, "egress": "endpoints-only"}, "egress applies to a new network"),
        ({**OWN, "vpc_id": "default"}, r"network\.vpc_id"),
        ({"connected_cidrs": ["10.42.8.0/24"]}, r"10\.42\.0\.0/16 overlaps connected_cidrs\[0\] 10\.42\.8\.0/24"),
        ({"connected_cidrs": ["10.8.0.1/24"]}, r"connected_cidrs\[0\] '10\.8\.0\.1/24' is not an IPv4 network"),
        ({"cidr": "10.999.0.0/16"}, r"cidr '10\.999\.0\.0/16' is not an IPv4 network"),
        ({"flow_log_days": 100}, "flow_log_days is 100; CloudWatch Logs allows 1, 3, 5"),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_field(network: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(**network)


@pytest.mark.parametrize("network", [OWN, {"egress": "endpoints-only"}])
def test_clouds_that_do_not_build_such_a_network_refuse_it(network: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"network\.\w+: .*Azure.*placement\.providers"):
        check_features(spec(**network), Catalog.load().provider_defaults("azure"))
    check_features(spec(**network), Catalog.load().provider_defaults("aws"))


# Flow logs


def test_flow_logs_are_encrypted_and_end(tmp_path: Path) -> None:
    network = synthesize(example_plan(), tmp_path)["network"]["resource"]
    (group,) = network["aws_cloudwatch_log_group"].values()
    (flow_log,) = network["aws_flow_log"].values()
    assert group["retention_in_days"] == 365
    assert group["kms_key_id"] == "${aws_kms_key.logs.arn}"
    assert flow_log["traffic_type"] == "ALL"
    assert flow_log["vpc_id"] == "${aws_vpc.cluster.id}"


def test_a18_flow_logs_write_to_their_group_only_and_for_this_account_only(tmp_path: Path) -> None:
    policies = synthesize(example_plan(), tmp_path)["network"]["data"]["aws_iam_policy_document"]
    (assume,) = policies["flow_logs_assume"]["statement"]
    assert assume["condition"][0]["variable"] == "aws:SourceAccount"
    (writes,) = policies["write_flow_logs"]["statement"]
    assert not any("*" in action for action in writes["actions"])
    assert all(":log-group:/llmcluster/example/flow-logs" in resource for resource in writes["resources"])


def test_without_flow_logs_there_is_no_group_and_no_key(tmp_path: Path) -> None:
    network = synthesize(example_plan(spec={"network": {"flow_logs": False}}), tmp_path)["network"]["resource"]
    assert not {"aws_flow_log", "aws_cloudwatch_log_group", "aws_kms_key", "aws_iam_role"} & set(network)


# The bill


@pytest.mark.parametrize(
    ("network", "dropped", "added"),
    [
        ({}, set(), {"flow_logs", "log_key"}),
        ({"flow_logs": False}, set(), set()),
        (
            {"egress": "endpoints-only"},
            {"nat_gateway", "nat_data", "public_ip"},
            {"interface_endpoints", "interface_endpoint_data", "flow_logs", "log_key"},
        ),
        (OWN, {"nat_gateway", "nat_data", "public_ip"}, set()),
    ],
)
def test_the_bill_follows_the_network(network: dict[str, Any], dropped: set[str], added: set[str]) -> None:
    defaults = Catalog.load().provider_defaults("aws")
    lines = network_lines(spec(**network), defaults, nodes=4)
    assert unbuilt_roles(spec(**network)) == dropped
    assert {line.role for line in lines} == added
    endpoints = [line.quantity for line in lines if line.role == "interface_endpoints"]
    assert endpoints in ([], [len([e for e in defaults.private_endpoints if e.used_by in ("nodes", "none")])])


def test_azure_has_no_line_for_flow_logs_that_it_does_not_write() -> None:
    assert network_lines(spec(), Catalog.load().provider_defaults("azure"), nodes=4) == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"placement": {"providers": ["aws"], "zone": "usw2-az1"}}, r"placement\.zone"),
        (
            {"placement": {"providers": ["aws"]}, "capacity": {"block": {**BLOCK, "zone": "usw2-az1"}}},
            r"capacity\.block\.zone",
        ),
    ],
)
def test_a5_a_zone_of_another_region_is_refused(spec: dict[str, Any], field: str, tmp_path: Path) -> None:
    purchase = Purchase(capacity_block_nodes=2) if "capacity" in spec else Purchase(on_demand_nodes=2)
    plan = example_plan(instance_type="p5.48xlarge", nodes=2, zone="usw2-az1", purchase=purchase, spec=spec)
    with pytest.raises(SpecError, match=rf"{field}: usw2-az1 is not a zone of region us-east-1.* use1-az6"):
        synthesize(plan, tmp_path)


# The policy of the S3 endpoint, and connected networks


def s3_statements(tmp_path: Path, network: dict[str, Any], orchestrator: str = "none") -> dict[str, dict[str, Any]]:
    plan = example_plan(spec={"network": network, "orchestrator": orchestrator})
    endpoints = synthesize(plan, tmp_path)["network"]["resource"]["aws_vpc_endpoint"]
    policy = json.loads(endpoints["s3"]["policy"])
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_only_principals_of_the_account_write_through_the_s3_endpoint(tmp_path: Path) -> None:
    found = s3_statements(tmp_path, {})
    account = "${data.aws_caller_identity.current.account_id}"
    assert found["OwnAccount"]["Condition"] == {"StringEquals": {"aws:PrincipalAccount": account}}
    assert set(found) == {"OwnAccount", "ReadPublic"}
    # Registries and hubs hand out signed URLs of their own buckets, which nodes behind NAT read through the endpoint.
    assert found["ReadPublic"]["Resource"] == "*"
    assert set(found["ReadPublic"]["Action"]) == {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}


def test_a_closed_network_reads_buckets_of_aws_alone(tmp_path: Path) -> None:
    found = s3_statements(tmp_path, {"egress": "endpoints-only"}, "slurm")
    arn = "arn:${data.aws_partition.current.partition}:s3:::"
    # What nodes fetch there at boot: image layers, packages of Amazon Linux, agents.
    assert {
        f"{arn}prod-us-east-1-starport-layer-bucket/*",
        f"{arn}al2023-repos-us-east-1-de612dc2/*",
        f"{arn}amazon-ssm-us-east-1/*",
        f"{arn}us-east-1-aws-parallelcluster/*",
    } <= set(found["ReadPublic"]["Resource"])
    assert found["ReadPublic"]["Action"] == "s3:GetObject"
    assert not any(name.startswith(f"{arn}*") for name in found["ReadPublic"]["Resource"])
    assert found["Signals"]["Resource"] == f"{arn}cloudformation-waitcondition-us-east-1/*"


@pytest.mark.parametrize("egress", ["nat", "endpoints-only"])
def test_nodes_reach_every_connected_network_on_every_port(egress: str, tmp_path: Path) -> None:
    ranges = ["10.8.0.0/16", "192.168.10.0/24"]
    plan = example_plan(spec={"network": {"egress": egress, "connected_cidrs": ranges}})
    rules = synthesize(plan, tmp_path)["compute"]["resource"]["aws_vpc_security_group_egress_rule"]
    made = {rule["cidr_ipv4"]: rule for name, rule in rules.items() if rule.get("cidr_ipv4") in ranges}
    assert set(made) == set(ranges)
    assert all(rule["ip_protocol"] == "-1" and "from_port" not in rule for rule in made.values())
    assert "to_10_8_0_0_16" in rules
