"""Operations of a cluster with Terraform against a local AWS.

They are remote states, interrupted applies, phases, changes of size, import of existing resources, and destroy.
"""

from pathlib import Path

import pytest
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend

from planner.plan.choice import Purchase
from planner.plan.plan import Plan
from stacks.imports import add_import_blocks
from stacks.state_bootstrap import bootstrap_state
from tests.support.aws_remains import remains
from tests.support.aws_stacks import ROLES, stack_folder, synthesize
from tests.support.interruption import Apply, answered, held, paused
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform, TerraformError


def prepare(tf: Terraform, aws: MotoServer, folder: Path) -> None:
    aws.write_override(folder)
    tf.init(folder)


def interrupt_and_kill(tf: Terraform, folder: Path) -> None:
    """An apply is interrupted while its VPC is being made, the next is killed when it asks for a subnet."""
    with answered(VPCBackend, "create_vpc") as made, paused(VPCBackend, "describe_vpcs", after=made) as described:
        apply = Apply(tf, folder)
        # Terraform waits for the VPC, and nothing else is on its way: -parallelism=1.
        apply.wait_for(described)
        apply.interrupt()
    apply.end()
    assert "aws_vpc.cluster" in tf.state(folder)
    with held(SubnetBackend, "create_subnet") as asked:
        apply = Apply(tf, folder)
        apply.wait_for(asked)
        apply.kill()
    state = tf.state(folder)
    assert "aws_vpc.cluster" in state
    assert not any(address.startswith("aws_subnet.") for address in state)


def desired(aws: MotoServer) -> dict[str, int]:
    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return {group["AutoScalingGroupName"]: group["DesiredCapacity"] for group in groups}


def plan_of(nodes: int) -> Plan:
    return example_plan(
        nodes=nodes,
        purchase=Purchase(reserved_nodes=1, on_demand_nodes=nodes - 1),
        spec={
            "rollout": {"validation_nodes": 2},
            "storage": {"keep_on_destroy": False},
            "observability": {"notify": ["ops@example.com"], "metrics": True},
        },
    )


def test_a_life_with_an_interrupted_and_a_killed_apply_phases_and_other_sizes_leaves_nothing(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    tf = terraform.with_env(account.env)
    synthesize(plan_of(4), tmp_path)
    network, storage, compute = (stack_folder(tmp_path, plan_of(4), role) for role in ROLES)
    before = remains(account)

    prepare(tf, account, network)
    interrupt_and_kill(tf, network)
    tf.apply(network)
    assert tf.changes(network) == {}

    for folder in (storage, compute):
        prepare(tf, account, folder)
    tf.apply(storage)
    tf.run(["apply", "-no-color", "-auto-approve", "-var=phase=validate"], compute)
    assert desired(account) == {"example-reserved": 1, "example-on-demand": 1}
    tf.apply(compute)
    assert desired(account) == {"example-reserved": 1, "example-on-demand": 3}

    for nodes in (6, 2):
        synthesize(plan_of(nodes), tmp_path)
        tf.apply(compute)
        assert desired(account)["example-on-demand"] == nodes - 1
        assert tf.changes(compute) == {}
    with pytest.raises(TerraformError, match="phase is validate or full"):
        tf.plan(compute, "-var=phase=half")

    for folder in (compute, storage, network):
        tf.destroy(folder)
        assert tf.state(folder) == []
    assert remains(account) == before


def test_states_live_in_the_bucket_that_was_made_for_them(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    tf = terraform.with_env(account.env)
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: example\nmodel: {parameters: 7B}\nworkload: {kind: training, tokens: 1.0e+11}\n"
        "state: {backend: s3, bucket: acme-states, region: us-east-1}\n"
    )
    states = bootstrap_state(spec, tmp_path / "bootstrap.out")
    (tmp_path / "state").mkdir()
    prepare(tf, account, states)
    assert tf.validate(states) == []
    tf.apply(states)
    assert tf.changes(states) == {}

    plan = example_plan(spec={"state": {"backend": "s3", "bucket": "acme-states", "region": "us-east-1"}})
    synthesize(plan, tmp_path)
    folder = stack_folder(tmp_path, plan, "network")
    account.write_override(folder)
    # As for the provider: a bucket cannot be a subdomain of a loopback address.
    tf.run(["init", "-no-color", "-backend-config=use_path_style=true"], folder)
    tf.apply(folder)
    s3 = account.client("s3")
    objects = s3.list_objects_v2(Bucket="acme-states")["Contents"]
    assert [stored["Key"] for stored in objects] == ["llmcluster/example-network.tfstate"]
    stored = s3.head_object(Bucket="acme-states", Key=objects[0]["Key"])
    (rule,) = s3.get_bucket_encryption(Bucket="acme-states")["ServerSideEncryptionConfiguration"]["Rules"]
    default = rule["ApplyServerSideEncryptionByDefault"]
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", default["KMSMasterKeyID"])
    assert tf.changes(folder) == {}


def test_a_bucket_that_exists_is_taken_over_with_what_is_in_it(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="acme-checkpoints")
    s3.put_object(Bucket="acme-checkpoints", Key="step-1000", Body=b"weights")
    tf = terraform.with_env(account.env)
    plan = example_plan(
        shared_storage=None, spec={"imports": {"storage.aws_s3_bucket.checkpoints": "acme-checkpoints"}}
    )
    synthesize(plan, tmp_path, then=add_import_blocks)
    network, storage, _ = (stack_folder(tmp_path, plan, role) for role in ROLES)
    for folder in (network, storage):
        prepare(tf, account, folder)
        tf.apply(folder)
    assert "aws_s3_bucket.checkpoints" in tf.state(storage)
    assert tf.changes(storage) == {}
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["acme-checkpoints"]
    assert s3.get_object(Bucket="acme-checkpoints", Key="step-1000")["Body"].read() == b"weights"
