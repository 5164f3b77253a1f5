"""Terraform on compute stacks with an orchestrator or in a Capacity Block, against a local AWS.

States with the identifiers that matter stand in for the network and storage stacks; test_aws_terraform.py has both.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
import yaml

from planner.plan.choice import Purchase
from planner.plan.plan import Plan
from stacks.hcl import readable_hcl
from tests.support import parallelcluster
from tests.support.aws_ground import compute, lay_ground
from tests.support.aws_stacks import ORCHESTRATED, cluster_plan
from tests.support.moto_server import REGION, MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform


@pytest.fixture
def ground(account: MotoServer) -> Mapping[str, str]:
    """A VPC with a subnet in each of two zones, and a group of file system clients."""
    return lay_ground(account)


def kubernetes(nodes: int) -> Plan:
    spec = {"orchestrator": "kubernetes", "kubernetes": {"administrators": ["arn:aws:iam::123456789012:role/ops"]}}
    return example_plan(nodes=nodes, purchase=Purchase(reserved_nodes=nodes), spec=spec)


def test_a_kubernetes_cluster_lives_grows_and_dies(
    terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    folder, tf = compute(kubernetes(2), tmp_path, ground), terraform.with_env(account.env)
    tf.init(folder)
    tf.apply(folder)
    assert tf.changes(folder) == {}
    eks = account.client("eks")
    assert eks.describe_cluster(name="example")["cluster"]["accessConfig"]["authenticationMode"] == "API"

    compute(kubernetes(3), tmp_path, ground)
    assert set(tf.changes(folder)) == {"aws_ec2_capacity_reservation.reserved", "aws_eks_node_group.reserved"}
    tf.run(["apply", "-no-color", "test.tfplan"], folder)
    group = eks.describe_nodegroup(clusterName="example", nodegroupName="example-reserved")["nodegroup"]
    assert group["scalingConfig"]["desiredSize"] == 3

    tf.destroy(folder)
    assert tf.state(folder) == []
    assert eks.list_clusters()["clusters"] == []
    ec2 = account.client("ec2")
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    groups = {group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    assert groups == {"default", "clients"}


def test_a7_a_block_on_offer_is_looked_up_in_the_zone_of_the_cluster_and_not_bought(
    terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    folder, tf = compute(cluster_plan("bare_offer"), tmp_path, ground), terraform.with_env(account.env)
    tf.init(folder)
    outputs = tf.plan(folder)["planned_values"]["outputs"]
    assert "--capacity-block-offering-id cb-" in outputs["capacity_block_purchase"]["value"]
    assert outputs["capacity_block_fee"]["value"] == "1000.00 USD"

    (tmp_path / "state" / "example-network.tfstate").unlink()
    compute(cluster_plan("bare_offer"), tmp_path, {**ground, "availability_zone": f"{REGION}b"})
    refused = tf.run(["plan", "-no-color"], folder, check=False)
    assert refused.returncode == 1
    assert "capacity.block.zone" in " ".join(refused.stderr.split())
    assert account.client("ec2").describe_capacity_reservations()["CapacityReservations"] == []


def test_a7_nodes_run_once_their_block_has_started(
    terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    folder, tf = compute(cluster_plan("bare_block"), tmp_path, ground), terraform.with_env(account.env)
    tf.init(folder)
    started = tf.plan(folder, "-var=capacity_block_active=true")["resource_changes"]
    (group,) = [change["change"]["after"] for change in started if change["type"] == "aws_autoscaling_group"]
    assert (group["desired_capacity"], group["min_size"], group["max_size"]) == (3, 3, 3)


def test_parallelcluster_takes_the_configuration_that_terraform_resolves_once_its_volumes_have_the_key(
    terraform: Terraform, account: MotoServer, ground: Mapping[str, str], tmp_path: Path
) -> None:
    key_arn = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    watched = ORCHESTRATED["slurm_watched"]
    plan = example_plan(**{**watched, "spec": {**watched["spec"], "security": {"ebs_default_key": True}}})
    folder = compute(plan, tmp_path, {**ground, "kms_key_arn": key_arn})
    tf = terraform.with_env(account.env)
    tf.init(folder)
    refused = tf.run(["plan", "-no-color"], folder, check=False)
    assert refused.returncode == 1
    assert "security.ebs_default_key" in refused.stderr and key_arn in refused.stderr
    account.client("ec2").modify_ebs_default_kms_key_id(KmsKeyId=key_arn)
    nodes = {}
    for phase in ("validate", "full"):
        tf.run(["apply", "-no-color", "-auto-approve", f"-var=phase={phase}"], folder)
        outputs = json.loads(tf.run(["output", "-json"], folder).stdout)
        configuration = yaml.safe_load(outputs["cluster_configuration"]["value"])
        jsonschema.validate(configuration, parallelcluster.SCHEMA)
        queues = configuration["Scheduling"]["SlurmQueues"]
        nodes[phase] = [queue["ComputeResources"][0]["MaxCount"] for queue in queues]
    assert nodes == {"validate": [1, 1], "full": [1, 3]}
    assert tf.changes(folder) == {}
    assert configuration["HeadNode"]["Networking"]["SubnetId"] == ground["compute_subnet_id"]
    tf.destroy(folder)
    assert tf.state(folder) == []


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
