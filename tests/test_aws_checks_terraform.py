"""Terraform checks zone, quota, image and reservation against a local AWS before it creates anything."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from planner.plan.choice import Purchase
from planner.plan.plan import Plan
from tests.support import moto_account
from tests.support.aws_remains import remains
from tests.support.aws_stacks import stack_folder, synthesize
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform, TerraformError

NOTHING: Final = "the network stack created something before its check failed"


def prepared(tf: Terraform, account: MotoServer, plan: Plan, folder: Path, role: str = "network") -> Path:
    """The folder of a stack, ready to be planned."""
    synthesize(plan, folder)
    stack = stack_folder(folder, plan, role)
    account.write_override(stack)
    tf.init(stack)
    return stack


def refusal(tf: Terraform, stack: Path) -> str:
    """What an apply that fails prints, in one line."""
    with pytest.raises(TerraformError) as raised:
        tf.apply(stack)
    return " ".join(str(raised.value).replace("│", " ").split())


def no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moto_account, "PUBLIC_PARAMETERS", ())
    monkeypatch.setattr(moto_account, "PARALLELCLUSTER", "aws-parallelcluster-3.15.0-amzn2023-hvm-x86_64-1")


def low_quota(_: pytest.MonkeyPatch) -> None:
    # Two p4d.24xlarge take 192.
    moto_account.lower_quota("L-417A185B", 191)


FAULTS: Final[dict[str, tuple[str, dict[str, Any], Callable[[pytest.MonkeyPatch], None] | None, tuple[str, ...]]]] = {
    # DescribeInstanceTypeOfferings: p4d is sold in use1-az1, az2, az4 and az6.
    "zone": ("none", {"zone": "use1-az3"}, None, ("placement.zone", "use1-az1, use1-az2, use1-az4, use1-az6")),
    "quota": ("kubernetes", {}, low_quota, ("L-417A185B", "191 vCPUs in us-east-1", "2 x p4d.24xlarge take 192")),
    "image of plain nodes": ("none", {}, no_image, ("deeplearning/ami/x86_64/base-oss", "placement.regions")),
    "image of EKS": ("kubernetes", {}, no_image, ("kubernetes.version, now 1.35",)),
    "image of ParallelCluster": ("slurm", {}, no_image, ("aws-parallelcluster-3.16.*-amzn2023-hvm-x86_64-*",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_check_names_the_fix_and_leaves_nothing_behind(
    fault: str, terraform: Terraform, account: MotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator, choice, inject, words = FAULTS[fault]
    if inject is not None:
        inject(monkeypatch)
        account.reset()
        inject(monkeypatch)
    tf = terraform.with_env(account.env)
    plan = example_plan(nodes=2, spec={"orchestrator": orchestrator}, **choice)
    stack, before = prepared(tf, account, plan, tmp_path), remains(account)
    message = refusal(tf, stack)
    for word in words:
        assert word in message
    assert remains(account) == before, NOTHING
    assert not (tmp_path / "state" / "example-network.tfstate").exists()


def test_a_larger_plan_is_checked_again_before_the_compute_stack_grows(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    tf = terraform.with_env(account.env)
    plan = example_plan(nodes=1, instance_type="g6.xlarge", shared_storage=None)
    network = prepared(tf, account, plan, tmp_path)
    tf.apply(network)
    # g6.xlarge has 4 vCPUs.
    moto_account.lower_quota("L-DB2E81BA", 7)
    larger = example_plan(nodes=2, instance_type="g6.xlarge", shared_storage=None)
    documents = synthesize(larger, tmp_path)
    compute = stack_folder(tmp_path, larger, "compute")
    storage = {"value": "stand-in", "type": "string"}
    (tmp_path / "state" / "example-storage.tfstate").write_text(
        json.dumps(
            {
                "version": 4,
                "terraform_version": "1.11.4",
                "serial": 1,
                "lineage": "00000000-0000-0000-0000-000000000000",
                "outputs": dict.fromkeys(documents["storage"]["output"], storage),
                "resources": [],
            }
        )
    )
    tf.init(compute)
    before = remains(account)
    assert "L-DB2E81BA" in refusal(tf, compute)
    assert remains(account) == before
    # The limit that a check reads does not stand in the way of a destroy.
    moto_account.lower_quota("L-DB2E81BA", 0)
    tf.destroy(network)
    assert tf.state(network) == []


def reservation(account: MotoServer, **changes: Any) -> str:
    """The id of a new reservation of four p4d.24xlarge in use1-az6, which is us-east-1a here."""
    zones = account.client("ec2").describe_availability_zones()["AvailabilityZones"]
    names = {zone["ZoneId"]: zone["ZoneName"] for zone in zones}
    asked = {
        "InstanceType": "p4d.24xlarge",
        "InstancePlatform": "Linux/UNIX",
        "InstanceCount": 4,
        "AvailabilityZone": names[changes.pop("zone", "use1-az6")],
        "InstanceMatchCriteria": "targeted",
        **changes,
    }
    made = account.client("ec2").create_capacity_reservation(**asked)["CapacityReservation"]
    return str(made["CapacityReservationId"])


def in_reservation(**own: Any) -> Plan:
    return example_plan(
        nodes=4,
        zone="use1-az6",
        purchase=Purchase(reserved_nodes=4),
        spec={"capacity": {"reservation": own}},
    )


TAG: Final = {"Key": "cluster", "Values": ["example"]}
QUERY: Final = json.dumps({"ResourceTypeFilters": ["AWS::AllSupported"], "TagFilters": [TAG]})
"""moto makes no group without a query."""
GROUP: Final = "arn:aws:ec2:us-east-1:123456789012:placement-group/racks"
MISFITS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "type": ({"InstanceType": "p5.48xlarge"}, "holds p5.48xlarge, and the nodes are p4d.24xlarge"),
    "zone": ({"zone": "use1-az4"}, "capacity.reservation.zone"),
    "count": ({"InstanceCount": 3}, "holds 3 instances, and the plan has 4 nodes"),
    "end": ({"EndDateType": "limited", "EndDate": "2025-01-01T00:00:00Z"}, "ended on 2025-01-01"),
    "placement group": ({"PlacementGroupArn": GROUP}, "was made in racks"),
}


def test_a_reservation_that_does_not_fit_is_refused_with_what_it_is(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    tf, before = terraform.with_env(account.env), remains(account)
    stack = prepared(tf, account, in_reservation(id="cr-0123456789abcdef0"), tmp_path)
    assert "cr-0123456789abcdef0" in refusal(tf, stack)
    assert remains(account) == before
    for changes, words in MISFITS.values():
        found = reservation(account, **changes)
        before = remains(account)
        synthesize(in_reservation(id=found), tmp_path)
        assert words in refusal(tf, stack)
        assert remains(account) == before
    assert not (tmp_path / "state" / "example-network.tfstate").exists()


def test_a8_a_reservation_that_fits_passes_and_a_group_has_to_hold_reservations(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    tf = terraform.with_env(account.env)
    fits = in_reservation(id=reservation(account, PlacementGroupArn=GROUP), placement_group="racks")
    stack = prepared(tf, account, fits, tmp_path)
    assert tf.plan(stack)["resource_changes"]

    groups = account.client("resource-groups")
    pool = [{"Type": "AWS::EC2::CapacityReservationPool"}]
    arns = {
        name: groups.create_group(
            Name=name, Configuration=configuration, ResourceQuery={"Type": "TAG_FILTERS_1_0", "Query": QUERY}
        )["Group"]["GroupArn"]
        for name, configuration in (("pool", pool), ("tagged", []))
    }
    synthesize(in_reservation(group=arns["pool"]), tmp_path)
    assert tf.plan(stack)["resource_changes"]
    synthesize(in_reservation(group=arns["tagged"]), tmp_path)
    assert "is not a group of capacity reservations" in refusal(tf, stack)
