"""Orchestrators, Capacity Blocks and accelerators of another kind, as planning sees them."""

import re
from typing import Any

import pytest

from planner.errors import InfeasibleError, SpecError
from planner.plan.cost import CostItem
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.purchase.mix import block_mix
from planner.search.optimizer import plan as make_plan
from planner.spec import CapacityBlock
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.offers import offers

AWS = {"providers": ["aws"], "regions": ["us-east-1"]}
BLOCK = {"start": "2026-12-10", "days": 7}


def plan(**spec: Any) -> Plan:
    document: dict[str, Any] = {
        "name": "run",
        "model": "Qwen/Qwen2.5-7B",
        "workload": {"kind": "training", "tokens": 2e10, "deadline_days": 20},
        "placement": {**AWS, "instance_types": ["p5.48xlarge"]},
        **spec,
    }
    return make_plan(read_spec(document, "spec"), load_model("Qwen/Qwen2.5-7B", None), Catalog.load())


def item(found: Plan, role: str) -> CostItem:
    (one,) = [item for item in found.cost.items if item.role == role]
    return one


# Orchestrators


def test_control_plane_and_system_nodes_are_on_the_bill() -> None:
    # What runs by the hour shifts the choice towards more nodes for a shorter time.
    bare, kubernetes = plan(pin={"nodes": 2}), plan(orchestrator="kubernetes", pin={"nodes": 2})
    # Amazon EKS price page: 0.10 USD an hour for a cluster under standard support.
    assert item(kubernetes, "control_plane").usd_per_hour == pytest.approx(0.10)
    nodes = item(kubernetes, "service_nodes")
    assert nodes.quantity == 2
    assert nodes.unit_price_usd == pytest.approx(0.2016)
    # Its nodes' disks and the logs of its control plane are beside them.
    added = ("control_plane", "service_nodes", "service_root_disk", "log_data")
    usd = [item(kubernetes, role).usd_per_hour for role in added]
    assert None not in usd and bare.cost.usd_per_hour is not None
    assert kubernetes.cost.usd_per_hour == pytest.approx(bare.cost.usd_per_hour + sum(each or 0 for each in usd))


def test_the_head_node_of_slurm_is_on_the_bill() -> None:
    slurm = plan(orchestrator="slurm")
    assert item(slurm, "service_nodes").name == "head node: 1 m7i.2xlarge"
    assert not [line for line in slurm.cost.items if line.role == "control_plane"]


def test_an_orchestrator_without_stacks_on_the_cloud_is_refused_by_name() -> None:
    catalog = Catalog.load()
    for provider in catalog.providers:
        offered = catalog.provider_defaults(provider).orchestrators
        for orchestrator in ("none", "kubernetes", "slurm"):
            if orchestrator not in offered:
                with pytest.raises(
                    SpecError, match=rf"orchestrator is '{orchestrator}'.*{provider}.*{provider} has none"
                ):
                    plan(orchestrator=orchestrator, placement={"providers": [provider]})


def test_settings_of_another_orchestrator_are_refused() -> None:
    with pytest.raises(SpecError, match=r"kubernetes\.\w+ is given, but orchestrator is none"):
        plan(kubernetes={"version": "1.34"})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"public_api_cidrs": ["0.0.0.0/0"]}, r"kubernetes\.public_api_cidrs.*everybody"),
        ({"public_api_cidrs": ["203.0.113.7/24"]}, r"kubernetes\.public_api_cidrs.*203\.0\.113\.7/24"),
        ({"administrators": ["arn:aws:iam::1:user/x"]}, r"kubernetes\.administrators.*ARN of an IAM role"),
        ({"version": "latest"}, r"kubernetes\.version"),
    ],
)
def test_wrong_settings_of_kubernetes_are_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SpecError, match=named):
        plan(orchestrator="kubernetes", kubernetes=given)


# Capacity Blocks (rules A7, A8)


def test_a7_a_capacity_block_is_bought_whole_and_in_advance() -> None:
    found = plan(capacity={"block": BLOCK})
    purchase = found.choice.purchase
    assert purchase.capacity_block_nodes == found.choice.nodes
    assert purchase.reserved_nodes == purchase.spot_nodes == purchase.on_demand_nodes == 0
    compute = item(found, "compute_capacity_block")
    # AWS price page for Capacity Blocks, 2026-09-25: p5.48xlarge 41.528 USD an hour in us-east-1.
    assert compute.unit_price_usd == pytest.approx(41.528)
    assert compute.quantity == purchase.capacity_block_instances
    # The run is over before the block is; the block is paid for all the same.
    assert isinstance(found.performance, TrainingPerformance)
    assert found.performance.days < 7
    assert found.cost.usd_per_run == pytest.approx((found.cost.usd_per_hour or 0) * 7 * 24)


@pytest.mark.parametrize(("nodes", "bought"), [(1, 1), (2, 2), (3, 4), (5, 8), (33, 64), (64, 64)])
def test_a7_blocks_are_sold_in_powers_of_two(nodes: int, bought: int) -> None:
    mix = block_mix(nodes, CapacityBlock.model_validate(BLOCK), offers())
    assert (mix.purchase.capacity_block_nodes, mix.purchase.capacity_block_instances) == (nodes, bought)
    assert ("idle" in mix.purchase.reason) == (bought > nodes)


def test_a7_a_block_has_at_most_64_instances() -> None:
    with pytest.raises(ValueError, match="64"):
        block_mix(65, CapacityBlock.model_validate(BLOCK), offers())
    with pytest.raises(SpecError, match=r"pin\.nodes is 65.*64"):
        plan(capacity={"block": BLOCK}, pin={"nodes": 65})


@pytest.mark.parametrize("days", [1, 14, 21, 182])
def test_a7_block_terms_that_aws_sells_are_accepted(days: int) -> None:
    assert CapacityBlock.model_validate({**BLOCK, "days": days}).days == days


@pytest.mark.parametrize(("days", "named"), [(15, "next longer term is 21"), (20, "21"), (183, "182"), (0, "1")])
def test_a7_other_terms_are_refused_with_the_next_one(days: int, named: str) -> None:
    with pytest.raises(SpecError, match=rf"capacity\.block\.days.*{named}"):
        plan(capacity={"block": {**BLOCK, "days": days}})


def test_a7_the_term_is_a_deadline() -> None:
    # 20 days would do with fewer nodes than the block's two days do.
    month = plan(workload={"kind": "training", "tokens": 2e11, "deadline_days": 20})
    block = plan(
        workload={"kind": "training", "tokens": 2e11, "deadline_days": 20}, capacity={"block": {**BLOCK, "days": 2}}
    )
    assert block.choice.nodes > month.choice.nodes
    assert isinstance(block.performance, TrainingPerformance)
    assert block.performance.days <= 2


def test_a7_a_pinned_run_longer_than_its_block_says_so() -> None:
    found = plan(
        workload={"kind": "training", "tokens": 2e11, "deadline_days": 200},
        pin={"instance_type": "p5.48xlarge", "nodes": 1},
        capacity={"block": {**BLOCK, "days": 2}},
    )
    assert any("capacity.block.days is 2" in note for note in found.notes)


def test_a7_the_cluster_stands_in_the_zone_of_the_block() -> None:
    assert plan(capacity={"block": {**BLOCK, "zone": "use1-az4"}}).choice.zone == "use1-az4"
    with pytest.raises(
        SpecError, match=r"capacity\.block\.zone is use1-az4.*placement\.zone is use1-az6.*zone of the Capacity Block"
    ):
        plan(
            capacity={"block": {**BLOCK, "zone": "use1-az4"}},
            placement={**AWS, "zone": "use1-az6", "instance_types": ["p5.48xlarge"]},
        )


def test_a7_a_block_is_the_way_to_types_that_are_sold_in_no_other() -> None:
    placement = {"providers": ["aws"], "regions": ["us-east-2"], "instance_types": ["p5e.48xlarge"]}
    with pytest.raises(InfeasibleError) as raised:
        plan(placement=placement)
    assert "capacity.block" in raised.value.nearest[0].reason
    assert plan(placement=placement, capacity={"block": BLOCK}).choice.instance_type == "p5e.48xlarge"


def test_a7_a_type_sold_by_the_block_alone_is_not_planned_by_the_hour() -> None:
    placement = {"providers": ["aws"], "regions": ["us-east-2"]}
    with pytest.raises(SpecError, match=r"p5e.48xlarge is sold only as a Capacity Block; set its dates"):
        plan(placement=placement, pin={"instance_type": "p5e.48xlarge", "nodes": 2})


def test_a7_types_that_are_not_sold_by_block_are_refused() -> None:
    with pytest.raises(SpecError, match=r"capacity\.block.*g6\.xlarge is not sold as a Capacity Block.*p5\.48xlarge"):
        plan(placement=AWS, pin={"instance_type": "g6.xlarge"}, capacity={"block": BLOCK})
    with pytest.raises(InfeasibleError) as raised:
        plan(placement={**AWS, "instance_types": ["g6e.48xlarge"]}, capacity={"block": BLOCK})
    assert "not sold as a Capacity Block" in raised.value.nearest[0].reason


@pytest.mark.parametrize(
    ("capacity", "named"),
    [
        (
            {"block": BLOCK, "interruption": "tolerate"},
            r"block and interruption: tolerate exclude each other: a launch template buys nodes in one way",
        ),
        ({"block": BLOCK, "reservation": "none"}, r"reservation is none"),
    ],
)
def test_a8_mixtures_that_aws_does_not_allow_are_refused_with_the_reason(capacity: dict[str, Any], named: str) -> None:
    with pytest.raises(SpecError, match=named):
        plan(capacity=capacity)


def test_a_commitment_is_a_note_and_no_resource() -> None:
    reserved = plan(workload={"kind": "training", "tokens": 2e12, "deadline_days": 20})
    assert reserved.choice.purchase.reserved_nodes
    assert any("Savings Plan" in note for note in reserved.notes)


# Accelerators of another kind


@pytest.mark.parametrize("name", ["trn1.32xlarge", "trn2.48xlarge", "inf2.48xlarge", "trn1n.32xlarge"])
@pytest.mark.parametrize("field", ["pin.instance_type", "placement.instance_types[0]"])
def test_trainium_and_inferentia_are_refused_with_the_reason(name: str, field: str) -> None:
    spec: dict[str, Any] = (
        {"pin": {"instance_type": name}}
        if field.startswith("pin")
        else {"placement": {**AWS, "instance_types": [name]}}
    )
    with pytest.raises(SpecError) as raised:
        plan(**spec)
    assert str(raised.value).startswith(f"{field} is '{name}'")
    assert "Neuron SDK, not CUDA" in str(raised.value)


@pytest.mark.parametrize(
    ("instance_type", "region", "capacity", "counted"),
    [
        # AWS General Reference, "Amazon EC2 endpoints and quotas".
        ("p4d.24xlarge", "us-east-1", {}, r'2 x p4d\.24xlarge use 192 vCPUs .*"Running On-Demand P.*L-417A185B'),
        ("p5.48xlarge", "us-east-1", {"reservation": "none"}, r"2 x p5\.48xlarge use 384 vCPUs .*L-417A185B"),
        ("p4d.24xlarge", "us-east-1", {"interruption": "tolerate", "reservation": "none"}, r"vCPUs .*L-7212CCBC"),
        ("g6.48xlarge", "us-east-1", {"reservation": "none"}, r"2 x g6\.48xlarge use 384 vCPUs .*L-DB2E81BA"),
    ],
)
def test_a10_quotas_are_counted_in_vcpus_and_named(
    instance_type: str, region: str, capacity: dict[str, Any], counted: str
) -> None:
    decided = plan(
        workload={"kind": "training", "tokens": 1e9, "deadline_days": 30},
        placement={"providers": ["aws"], "regions": [region]},
        pin={"instance_type": instance_type, "nodes": 2},
        capacity=capacity,
    )
    assert [note for note in decided.notes if re.search(counted, note)], decided.notes
