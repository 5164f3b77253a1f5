"""Terraform on compute stacks with an orchestrator or in a Capacity Block, against a local AWS.

Network and storage are stood in for by states with the identifiers that matter; test_aws_terraform.py has them whole.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import boto3
import jsonschema
import pytest
import yaml

from planner.plan import Plan, Purchase
from stacks.hcl import readable_hcl
from tests.support import aws_moto
from tests.support.aws_matrix import state
from tests.support.aws_stacks import ORCHESTRATED, cluster_plan, stack_folder, synthesize
from tests.support.moto_server import REGION, MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform

PARALLELCLUSTER: Final = json.loads(
    (Path(__file__).parent / "data" / "parallelcluster_3_16.json").read_text(encoding="utf-8")
)
SLURM: Final = [name for name in ORCHESTRATED if name.startswith("slurm")]


@pytest.fixture
def account(aws: MotoServer) -> Iterator[MotoServer]:
    aws_moto.install()
    aws.reset()
    yield aws
    aws.reset()


def client(aws: MotoServer, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=aws.url, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


@pytest.fixture
def ground(account: MotoServer) -> Mapping[str, str]:
    """A VPC with a subnet in each of two zones, and a group of file system clients."""
    ec2 = client(account, "ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.42.{index}.0/24", AvailabilityZone=f"{REGION}{letter}")
        for index, letter in enumerate("ab")
    ]
    first, second = (subnet["Subnet"]["SubnetId"] for subnet in subnets)
    clients = ec2.create_security_group(GroupName="clients", Description="clients", VpcId=vpc_id)["GroupId"]
    return {
        "vpc_id": vpc_id,
        "compute_subnet_id": first,
        "control_plane_subnet_id": second,
        "availability_zone": f"{REGION}a",
        "shared_clients_security_group_id": clients,
    }


def compute(plan: Plan, folder: Path, ground: Mapping[str, str]) -> Path:
    """The folder of the compute stack, with states of the others in place."""
    documents = synthesize(plan, folder)
    for role in ("network", "storage"):
        path = folder / "state" / f"{plan.name}-{role}.tfstate"
        path.write_text(json.dumps(state(documents[role]["output"], **ground)))
    return stack_folder(folder, plan, "compute")


def kubernetes(nodes: int) -> Plan:
    spec = {"orchestrator": "kubernetes", "kubernetes": {"administrators": ["arn:aws:iam::123456789012:role/ops"]}}
    return example_plan(nodes=nodes, purchase=Purchase(reserved_nodes=nodes), spec=spec)


def test_a_kubernetes_cluster_lives_grows_and_dies(
    terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    folder, tf = compute(kubernetes(2), tmp_path, ground), terraform.with_env(account.env)
    tf.init(folder)
    assert tf.validate(folder) == []
    tf.apply(folder)
    assert tf.changes(folder) == {}
    eks = client(account, "eks")
    addons = tf.state(folder)
    assert "aws_eks_addon.vpc_cni" in addons
    assert eks.describe_cluster(name="example")["cluster"]["accessConfig"]["authenticationMode"] == "API"

    compute(kubernetes(3), tmp_path, ground)
    assert set(tf.changes(folder)) == {"aws_ec2_capacity_reservation.reserved", "aws_eks_node_group.reserved"}
    tf.apply(folder)
    group = eks.describe_nodegroup(clusterName="example", nodegroupName="example-reserved")["nodegroup"]
    assert group["scalingConfig"]["desiredSize"] == 3

    tf.destroy(folder)
    assert tf.state(folder) == []
    assert eks.list_clusters()["clusters"] == []
    ec2 = client(account, "ec2")
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    groups = {group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    assert groups == {"default", "clients"}


def test_a7_a_block_is_bought_once_and_its_nodes_wait_for_it(
    terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    folder, tf = compute(cluster_plan("bare_block"), tmp_path, ground), terraform.with_env(account.env)
    tf.init(folder)
    tf.apply(folder)
    # The local AWS offers another block at every look.
    assert tf.changes(folder) == {}
    autoscaling, ec2 = client(account, "autoscaling"), client(account, "ec2")
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    (block,) = ec2.describe_capacity_reservations()["CapacityReservations"]
    assert (group["DesiredCapacity"], group["MinSize"]) == (0, 0)
    assert (block["TotalInstanceCount"], block["ReservationType"]) == (4, "capacity-block")

    started = tf.plan(folder, "-var=capacity_block_active=true")["resource_changes"]
    (after,) = [change["change"]["after"] for change in started if change["type"] == "aws_autoscaling_group"]
    assert (after["desired_capacity"], after["min_size"], after["max_size"]) == (3, 3, 3)


def test_a7_a_block_in_another_zone_is_not_bought(
    terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    elsewhere = {**ground, "availability_zone": f"{REGION}b"}
    folder, tf = compute(cluster_plan("bare_block"), tmp_path, elsewhere), terraform.with_env(account.env)
    tf.init(folder)
    refused = tf.run(["apply", "-no-color", "-auto-approve"], folder, check=False)
    assert refused.returncode == 1
    assert "capacity.block.zone" in " ".join(refused.stderr.split())
    assert client(account, "ec2").describe_capacity_reservations()["CapacityReservations"] == []


@pytest.mark.parametrize("name", SLURM)
def test_parallelcluster_takes_the_configuration_that_terraform_resolves(
    name: str, terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    folder, tf = compute(cluster_plan(name), tmp_path, ground), terraform.with_env(account.env)
    tf.init(folder)
    tf.apply(folder)
    assert tf.changes(folder) == {}
    outputs = json.loads(tf.run(["output", "-json"], folder).stdout)
    configuration = yaml.safe_load(outputs["cluster_configuration"]["value"])
    jsonschema.validate(configuration, PARALLELCLUSTER)
    assert configuration["HeadNode"]["Networking"]["SubnetId"] == ground["compute_subnet_id"]
    tf.destroy(folder)
    assert tf.state(folder) == []


def test_the_schema_of_parallelcluster_refuses_what_it_does_not_know() -> None:
    configuration = {
        "Region": "us-east-1",
        "Image": {"Os": "alinux2023"},
        "HeadNode": {"InstanceType": "m7i.2xlarge", "Networking": {"SubnetId": "subnet-0123456789abcdef0"}},
        "Scheduling": {
            "Scheduler": "slurm",
            "SlurmQueues": [
                {
                    "Name": "gpu",
                    "CapacityType": "ONDEMAND",
                    "Networking": {"SubnetIds": ["subnet-0123456789abcdef0"]},
                    "ComputeResources": [{"Name": "gpu", "InstanceType": "p5.48xlarge"}],
                }
            ],
        },
    }
    jsonschema.validate(configuration, PARALLELCLUSTER)
    configuration["Scheduling"]["SlurmQueues"][0]["CapacityType"] = "RESERVED"  # type: ignore[index]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(configuration, PARALLELCLUSTER)


@pytest.mark.parametrize("name", ["kubernetes_block", "slurm_gang"])
def test_hcl_for_review_is_valid_and_laid_out_as_terraform_fmt_wants_it(
    name: str, terraform: Terraform, tmp_path: Path
) -> None:
    from cdktf import App

    from provider_catalog.catalog import Catalog
    from stacks.aws import AwsCluster

    for built in AwsCluster().build(App(outdir=str(tmp_path / "cdktf.out")), cluster_plan(name), Catalog.load()):
        folder = tmp_path / built.role
        folder.mkdir()
        rendered = built.stack.to_hcl_terraform()["hcl"]
        (folder / "cdk.tf").write_text(readable_hcl(rendered, built.stack.to_terraform()))
        terraform.run(["fmt", "-check", "-diff"], folder)
    terraform.init(folder, backend=False)
    assert terraform.validate(folder) == []
