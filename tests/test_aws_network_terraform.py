"""Terraform applies a closed network and checks an existing one, against a local AWS."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.aws_stacks import stack_folder, synthesize
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform, TerraformError


def ec2(aws: MotoServer) -> Any:
    return aws.client("ec2")


def ready(terraform: Terraform, aws: MotoServer, folder: Path) -> Terraform:
    tf = terraform.with_env(aws.env)
    aws.write_override(folder)
    tf.init(folder)
    return tf


def test_a_closed_network_lives_and_dies(terraform: Terraform, account: MotoServer, tmp_path: Path) -> None:
    plan = example_plan(spec={"network": {"egress": "endpoints-only"}})
    synthesize(plan, tmp_path)
    folder = stack_folder(tmp_path, plan, "network")
    tf = ready(terraform, account, folder)
    assert tf.validate(folder) == []
    tf.apply(folder)
    assert tf.changes(folder) == {}
    tf.destroy(folder)
    assert tf.state(folder) == []
    client = ec2(account)
    assert [v for v in client.describe_vpcs()["Vpcs"] if not v["IsDefault"]] == []
    assert {e["State"] for e in client.describe_vpc_endpoints()["VpcEndpoints"]} <= {"deleted"}
    assert client.describe_flow_logs()["FlowLogs"] == []


@pytest.mark.parametrize(
    ("zone_id", "prefix", "dns", "refusal"),
    [
        ("use1-az6", 24, True, None),
        ("use1-az1", 24, True, r"network\.subnet_id: .* is not in zone use1-az6"),
        ("use1-az6", 28, True, r"network\.subnet_id: .* is too small: nodes and file servers take 19 addresses"),
        ("use1-az6", 24, False, r"network\.vpc_id: .* needs DNS support and DNS hostnames"),
    ],
)
def test_a4_a5_ones_own_network_is_checked_before_anything_is_put_into_it(
    zone_id: str,
    prefix: int,
    dns: bool,
    refusal: str | None,
    terraform: Terraform,
    account: MotoServer,
    tmp_path: Path,
) -> None:
    client = ec2(account)
    vpc_id = client.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    client.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": dns})
    subnet = client.create_subnet(VpcId=vpc_id, CidrBlock=f"10.7.1.0/{prefix}", AvailabilityZoneId=zone_id)["Subnet"]
    plan = example_plan(nodes=16, spec={"network": {"vpc_id": vpc_id, "subnet_id": subnet["SubnetId"]}})
    synthesize(plan, tmp_path)
    folder = stack_folder(tmp_path, plan, "network")
    tf = ready(terraform, account, folder)

    if refusal:
        with pytest.raises(TerraformError, match=refusal.replace(" ", r"\s+(│\s+)?")):
            tf.apply(folder)
        return
    tf.apply(folder)
    outputs = tf.show_json(folder)["values"]["outputs"]
    assert (outputs["vpc_id"]["value"], outputs["compute_subnet_id"]["value"]) == (vpc_id, subnet["SubnetId"])
    assert outputs["availability_zone"]["value"] == subnet["AvailabilityZone"]
    assert tf.changes(folder) == {}
