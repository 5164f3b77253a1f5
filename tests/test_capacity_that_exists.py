"""Zones that sell a type, the order of zones, and reservations that exist already: specs, plans and documents."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

from planner.errors import SpecError
from planner.plan.choice import Purchase
from planner.plan.plan import Plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.zones import FILE, read_zones
from tests.support.aws_matrix import planned
from tests.support.aws_stacks import ROLES, Documents, only, resources, stack_folder, synthesize
from tests.support.bills import assert_same_bill, bill_of
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

CR = "cr-0123456789abcdef0"
GROUP = "arn:aws:resource-groups:us-east-1:123456789012:group/racks"
CATALOG = Catalog.packaged()


def document(**fields: Any) -> dict[str, Any]:
    placement = {"providers": ["aws"], "regions": ["us-east-1"], **fields.pop("placement", {})}
    return {
        "name": "own",
        "model": "Qwen/Qwen2.5-1.5B",
        "workload": {"kind": "training", "tokens": 1e9, "deadline_days": 10},
        "placement": placement,
        **fields,
    }


def plan_of(**fields: Any) -> Plan:
    return planned(document(**fields), CATALOG)


def message(**fields: Any) -> str:
    with pytest.raises(SpecError) as raised:
        plan_of(**fields)
    return str(raised.value)


# Zones


def test_zones_are_those_that_ec2_answers() -> None:
    for (region, instance_type), row in read_zones(PACKAGED_DATA / "aws").items():
        offered = INSTANCE_TYPE_OFFERINGS["availability-zone-id"][region]
        assert set(row.zones) == {each["Location"] for each in offered if each["InstanceType"] == instance_type}


def test_every_type_has_a_known_zone_wherever_it_has_a_price() -> None:
    for price in CATALOG.instance_prices:
        if price.provider == "aws":
            assert CATALOG.zones("aws", price.region, price.instance_type), (price.region, price.instance_type)
    assert CATALOG.zones("azure", "eastus", "Standard_ND96asr_v4") is None


def test_a_row_that_is_repeated_is_refused(tmp_path: Path) -> None:
    row = "us-east-1,p5.48xlarge,use1-az1,here,2026\n"
    (tmp_path / FILE).write_text(f"region,instance_type,zones,source,as_of\n{row}{row}")
    with pytest.raises(CatalogError, match=r"us-east-1 p5.48xlarge has two rows"):
        read_zones(tmp_path)


def test_a_type_that_the_default_zone_does_not_sell_stands_where_it_is_sold() -> None:
    # The default of ap-northeast-2 is apne2-az2; EC2 sells g5 in apne2-az1, -az3 and -az4.
    serving = {"kind": "inference", "request_rate_per_s": 1, "prompt_tokens": 256, "output_tokens": 64}
    plan = plan_of(
        workload=serving, placement={"regions": ["ap-northeast-2"]}, pin={"instance_type": "g5.12xlarge", "nodes": 1}
    )
    assert plan.choice.zone == "apne2-az1"


def test_a_type_without_a_known_zone_is_planned_with_a_zone_of_the_spec_only() -> None:
    # EC2 offers no p5e in ca-central-1.
    pin = {"instance_type": "p6-b300.48xlarge", "nodes": 2}
    assert "placement.zone: missing; no zone of ca-central-1 is known to sell p6-b300.48xlarge" in message(
        placement={"regions": ["ca-central-1"]}, pin=pin
    )
    plan = plan_of(placement={"regions": ["ca-central-1"], "zone": "cac1-az1"}, pin=pin)
    assert plan.choice.zone == "cac1-az1"
    assert any("not known to be sold in cac1-az1" in note for note in plan.notes)


def test_the_first_zone_of_the_order_that_sells_the_type_is_planned_and_the_next_is_named() -> None:
    # EC2 sells p5en in use1-az2 and use1-az6.
    pin = {"instance_type": "p5en.48xlarge", "nodes": 2}
    plan = plan_of(placement={"zones": ["use1-az4", "use1-az6", "use1-az2"]}, pin=pin)
    assert plan.choice.zone == "use1-az6"
    assert any("next: use1-az4, use1-az2" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        ({"zone": "use1-az6", "zones": ["use1-az4"]}, "give one of the two"),
        ({"zones": ["use1-az4", "use1-az4"]}, "name each once"),
        ({"zones": ["us-east-1a"]}, "placement.zones[0] is 'us-east-1a'"),
        ({"zones": ["use1-az6", "usw2-az1"]}, "placement.zones[1] is 'usw2-az1'"),
        ({"providers": ["azure"], "regions": ["eastus"], "zones": ["1"]}, "placement.zones: not supported on"),
    ],
)
def test_an_order_of_zones_that_makes_no_sense_is_refused(placement: dict[str, Any], words: str) -> None:
    assert words in message(placement=placement)


# Reservations


def test_all_nodes_run_in_the_reservation_at_the_on_demand_rate_and_the_rest_of_it_is_named() -> None:
    own = {"id": CR, "instance_type": "p5.48xlarge", "zone": "use1-az2", "instances": 6}
    plan = plan_of(pin={"nodes": 4}, capacity={"reservation": own})
    choice = plan.choice
    assert (choice.instance_type, choice.zone, choice.purchase.reserved_nodes) == ("p5.48xlarge", "use1-az2", 4)
    (line,) = [item for item in plan.cost.items if item.role == "compute_reserved"]
    # AWS price list: 55.04 USD an hour.
    assert line.usd_per_hour == pytest.approx(4 * 55.04)
    assert any("2 of the 6 instances" in note and "AWS bills them too" in note for note in plan.notes)


def test_a_plan_takes_no_more_nodes_than_the_reservation_holds() -> None:
    own = {"id": CR, "instance_type": "p5.48xlarge", "instances": 2}
    plan = plan_of(capacity={"reservation": own})
    assert plan.choice.nodes <= 2
    assert all(point.nodes <= 2 for point in plan.pareto)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"capacity": {"reservation": {"id": "cr-xyz"}}},
            "capacity.reservation.id: Id of the reservation",
        ),
        ({"capacity": {"reservation": CR}}, f"{{id: {CR}}}"),
        ({"capacity": {"reservation": "always"}}, "allowed: auto or none"),
        ({"capacity": {"reservation": {}}}, "give id (cr-...) or group"),
        ({"capacity": {"reservation": {"id": CR, "group": GROUP}}}, "one of the two"),
        ({"capacity": {"reservation": {"group": CR}}}, "capacity.reservation.group: ARN of a resource group"),
        ({"capacity": {"reservation": {"id": CR, "zonee": "x"}}}, "did you mean 'zone'"),
        ({"capacity": {"reservation": {"id": CR}, "interruption": "tolerate"}}, "drop one of the two"),
        (
            {
                "capacity": {"block": {"start": "2026-12-10", "days": 7}},
                "pin": {"node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200}},
            },
            "capacity.block is capacity of a cloud, and pin.node is a node of your own; drop one",
        ),
        (
            {"capacity": {"reservation": {"id": CR}, "block": {"start": "2026-12-10", "days": 7}}},
            "a launch template buys nodes in one way",
        ),
        (
            {
                "capacity": {"reservation": {"id": CR, "instance_type": "p5.48xlarge"}},
                "pin": {"instance_type": "p4d.24xlarge"},
            },
            "pin p5.48xlarge, or leave pin.instance_type out",
        ),
        (
            {
                "capacity": {"reservation": {"id": CR, "instance_type": "p5.48xlarge"}},
                "placement": {"instance_types": ["p4d.24xlarge"]},
            },
            "which placement.instance_types does not allow",
        ),
        (
            {"capacity": {"reservation": {"id": CR, "zone": "use1-az2"}}, "placement": {"zone": "use1-az6"}},
            "set placement.zone to use1-az2",
        ),
        (
            {"capacity": {"reservation": {"id": CR, "instances": 4}}, "pin": {"nodes": 5}},
            "pin at most 4 nodes",
        ),
        (
            {"capacity": {"reservation": {"group": GROUP}}, "placement": {"regions": ["us-west-2"]}},
            "set placement.regions to [us-east-1]",
        ),
        (
            {"capacity": {"reservation": {"id": CR, "instance_type": "p5.48xlrge"}}},
            "did you mean 'p5.48xlarge'",
        ),
        (
            {
                "capacity": {"reservation": {"id": CR}},
                "pin": {"node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200}},
            },
            "pin.node is a node of your own",
        ),
        (
            {"capacity": {"reservation": {"id": CR}}, "placement": {"providers": ["azure"], "regions": ["eastus"]}},
            "capacity.reservation: not supported on",
        ),
    ],
)
def test_a_reservation_that_contradicts_the_spec_is_refused_with_what_fits(fields: dict[str, Any], words: str) -> None:
    assert words in message(**fields)


def test_what_a_spec_does_not_say_is_not_in_it() -> None:
    # Hashes of specs and locks that stand must not change.
    capacity = read_spec(document(), "own").model_dump(mode="json")
    assert capacity["capacity"]["reservation"] == "auto"
    assert "zones" not in capacity["placement"]


# Documents


def reserved(orchestrator: str, **own: Any) -> Plan:
    return example_plan(
        nodes=2,
        purchase=Purchase(reserved_nodes=2),
        spec={"orchestrator": orchestrator, "capacity": {"reservation": own}},
    )


def target(documents: Documents) -> dict[str, Any]:
    template = resources(documents, "aws_launch_template")["reserved"]
    found: dict[str, Any] = template["capacity_reservation_specification"]["capacity_reservation_target"]
    return found


@pytest.mark.parametrize("orchestrator", ["none", "kubernetes"])
def test_a8_templates_target_the_reservation_or_the_group_and_nothing_new_is_reserved(
    orchestrator: str, tmp_path: Path
) -> None:
    documents = synthesize(reserved(orchestrator, id=CR, placement_group="racks"), tmp_path / "id")
    assert target(documents) == {"capacity_reservation_id": CR}
    assert not resources(documents, "aws_ec2_capacity_reservation")
    assert not resources(documents, "aws_placement_group")
    if orchestrator == "none":
        assert only(documents, "aws_autoscaling_group")["placement_group"] == "racks"
    else:
        template = resources(documents, "aws_launch_template")["reserved"]
        assert template["placement"] == {"group_name": "racks"}
    documents = synthesize(reserved(orchestrator, group=GROUP), tmp_path / "group")
    assert target(documents) == {"capacity_reservation_resource_group_arn": GROUP}
    groups = resources(documents, "aws_autoscaling_group").values()
    assert all("placement_group" not in group for group in groups)
    assert "placement" not in resources(documents, "aws_launch_template")["reserved"]


@pytest.mark.parametrize(
    ("own", "target_of_queue", "placement"),
    [
        (
            {"id": CR, "placement_group": "racks"},
            {"CapacityReservationId": CR},
            {"Enabled": True, "Name": "racks"},
        ),
        ({"group": GROUP}, {"CapacityReservationResourceGroupArn": GROUP}, {"Enabled": False}),
    ],
)
def test_a8_the_partition_of_parallelcluster_targets_the_reservation(
    own: dict[str, str], target_of_queue: dict[str, str], placement: dict[str, Any], tmp_path: Path
) -> None:
    files = synthesize(reserved("slurm", **own), tmp_path)["compute"]["files"]
    configuration = yaml.safe_load(files["parallelcluster.yaml"])
    (queue,) = configuration["Scheduling"]["SlurmQueues"]
    assert queue["CapacityReservationTarget"] == target_of_queue
    assert queue["Networking"]["PlacementGroup"] == placement


@pytest.mark.parametrize("orchestrator", ["none", "kubernetes", "slurm"])
@pytest.mark.parametrize("own", [{"id": CR}, {"group": GROUP}], ids=["id", "group"])
def test_the_documents_cost_what_the_plan_says(orchestrator: str, own: dict[str, str], tmp_path: Path) -> None:
    pin = {"instance_type": "p5.48xlarge", "nodes": 2}
    plan = plan_of(pin=pin, orchestrator=orchestrator, capacity={"reservation": own})
    synthesize(plan, tmp_path)
    found = bill_of(plan, [stack_folder(tmp_path, plan, role) for role in ROLES], tmp_path)
    assert_same_bill(plan, found)
    # AWS price list: 55.04 USD an hour.
    assert found.usd_per_hour_by_role()["compute_reserved"] == pytest.approx(2 * 55.04)


def test_checks_are_in_the_stacks_that_create_and_not_in_those_that_only_store(tmp_path: Path) -> None:
    spot = example_plan(nodes=2, purchase=Purchase(spot_nodes=2))
    documents = synthesize(spot, tmp_path)
    for role in ("network", "compute"):
        data = documents[role]["data"]
        assert data["aws_servicequotas_service_quota"]["spot"]["quota_code"] == "L-7212CCBC"
        assert "on_demand" not in data["aws_servicequotas_service_quota"]
        assert "nodes" in data["aws_ec2_instance_type_offerings"]
    assert "aws_servicequotas_service_quota" not in documents["storage"]["data"]


def test_nodes_of_a_capacity_block_count_against_no_quota(tmp_path: Path) -> None:
    # EC2 user guide, "Capacity Blocks for ML".
    block = example_plan(
        nodes=2,
        instance_type="p5.48xlarge",
        purchase=Purchase(capacity_block_nodes=2, capacity_block_instances=2),
        spec={"capacity": {"block": {"start": "2026-12-10", "days": 7}}},
    )
    assert "aws_servicequotas_service_quota" not in synthesize(block, tmp_path)["network"]["data"]
