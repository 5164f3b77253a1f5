"""What a resource needs of another is an order too: here Terraform sees each one that AWS does not wait for by itself.

Terraform makes and removes side by side whatever no reference or `depends_on` puts in an order. Each test names what
goes wrong without.
"""

import json
import re
from typing import Any, Final

import pytest

from planner.plan.choice import Purchase
from tests.support.aws_stacks import FEATURES, ORCHESTRATED, Documents, synthesize
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

REFERENCE: Final = re.compile(r"(?:data\.)?(?:aws_\w+|local)\.\w+")


def waits_of(document: dict[str, Any]) -> dict[str, set[str]]:
    """Return everything that each resource, data source and local of a stack waits for, directly or not."""
    direct = {
        prefix + f"{kind}.{name}": set(REFERENCE.findall(json.dumps(content)))
        for prefix, section in (("", "resource"), ("data.", "data"))
        for kind, entries in document.get(section, {}).items()
        for name, content in entries.items()
    }
    direct |= {f"local.{name}": set(REFERENCE.findall(json.dumps(v))) for name, v in document.get("locals", {}).items()}

    def closure(address: str) -> set[str]:
        found: set[str] = set()
        left = [address]
        while left:
            for other in direct.get(left.pop(), ()):
                if other not in found:
                    found.add(other)
                    left.append(other)
        return found

    return {address: closure(address) for address in direct}


def having(document: dict[str, Any], kind: str, argument: str, owner: str) -> set[str]:
    """Resources of `kind` whose `argument` refers to `owner`."""
    entries = document["resource"].get(kind, {})
    return {f"{kind}.{name}" for name, content in entries.items() if f"${{{owner}." in str(content[argument])}


def of_kind(order: dict[str, set[str]], *kinds: str) -> list[str]:
    return [address for address in order if address.split(".")[0] in kinds]


GANGS: Final = {
    orchestrator: example_plan(
        nodes=4,
        purchase=Purchase(reserved_nodes=2, on_demand_nodes=1, spot_nodes=1),
        spec={"orchestrator": orchestrator, "rollout": {"validation_nodes": 2}},
    )
    for orchestrator in ("none", "kubernetes")
}
PLANS: Final = {
    **FEATURES,
    **{f"{orchestrator}_gang": plan for orchestrator, plan in GANGS.items()},
    "replicas": example_plan(**ORCHESTRATED["kubernetes_replicas"]),
}


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Documents]:
    return {name: synthesize(plan, tmp_path_factory.mktemp(name)) for name, plan in PLANS.items()}


@pytest.fixture(params=[f"{name}-{role}" for name in PLANS for role in ("network", "storage", "compute")])
def stack(request: pytest.FixtureRequest, documents: dict[str, Documents]) -> dict[str, Any]:
    name, role = request.param.rsplit("-", 1)
    return documents[name][role]


GROUPS: Final = ("aws_autoscaling_group", "aws_eks_node_group")


def test_a1_nodes_and_file_servers_start_with_the_rules_of_their_groups_and_end_before_them(
    stack: dict[str, Any],
) -> None:
    # A node that boots without its egress reaches neither Session Manager nor its packages, and EFA hangs.
    order = waits_of(stack)
    for user in of_kind(order, *GROUPS, "aws_fsx_lustre_file_system", "aws_vpc_endpoint"):
        for group in (needed for needed in order[user] if needed.startswith("aws_security_group.")):
            for kind in ("aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule"):
                assert having(stack, kind, "security_group_id", group) <= order[user], (user, group)


ROLES_USED_BY: Final = (
    *GROUPS,
    "aws_eks_cluster",
    "aws_eks_addon",
    "aws_eks_pod_identity_association",
    "aws_flow_log",
)


def test_a18_a_role_has_its_rights_before_it_is_used_and_until_it_is_not(stack: dict[str, Any]) -> None:
    # Nodes that end save their work with the role of the node; EKS removes interfaces with that of the cluster
    # (terraform-aws-modules/terraform-aws-autoscaling, issue 268; the provider's example of aws_eks_node_group).
    order = waits_of(stack)
    for user in of_kind(order, *ROLES_USED_BY):
        for role in (needed for needed in order[user] if needed.startswith("aws_iam_role.")):
            rights = having(stack, "aws_iam_role_policy", "role", role)
            rights |= having(stack, "aws_iam_role_policy_attachment", "role", role)
            assert rights, role
            assert rights <= order[user], (user, role)


def test_nodes_that_come_with_a_phase_read_that_phase(documents: dict[str, Documents]) -> None:
    # They would read the old one at boot, and wait in its burn-in for nodes that are never asked for again.
    for name in ("none_gang", "closed"):
        order = waits_of(documents[name]["compute"])
        for group in of_kind(order, "aws_autoscaling_group"):
            assert "aws_ssm_parameter.phase" in order[group]


@pytest.mark.parametrize("gang", ["none_gang", "kubernetes_gang"])
def test_a8_a_gang_holds_its_reservation_before_it_pays_for_other_nodes(
    gang: str, documents: dict[str, Documents]
) -> None:
    order = waits_of(documents[gang]["compute"])
    groups = [group for group in of_kind(order, *GROUPS) if not group.endswith(".system")]
    assert len(groups) == 3
    for group in groups:
        assert "aws_ec2_capacity_reservation.reserved" in order[group]


def test_replicas_do_not_wait_for_capacity_of_others(documents: dict[str, Documents]) -> None:
    order = waits_of(documents["replicas"]["compute"])
    assert "aws_ec2_capacity_reservation.reserved" in order["aws_eks_node_group.reserved"]
    assert "aws_ec2_capacity_reservation.reserved" not in order["aws_eks_node_group.spot"]


def test_a19_a_node_finds_its_network_and_the_agent_of_pod_identity(stack: dict[str, Any]) -> None:
    # Without the CNI a node never becomes ready, and its group ends in CREATE_FAILED.
    order = waits_of(stack)
    for group in of_kind(order, "aws_eks_node_group"):
        before = {f"aws_eks_addon.{name}" for name in ("pod_identity_agent", "vpc_cni", "kube_proxy")}
        assert before <= order[group]
        # On destroy the other way round: CoreDNS goes while there are nodes that it can be drained from.
        assert "aws_eks_node_group.system" in order["aws_eks_addon.coredns"]
        assert "aws_cloudwatch_log_group.control_plane" in order[group]


def test_a15_settings_of_a_bucket_are_changed_one_after_the_other(stack: dict[str, Any]) -> None:
    # S3 answers OperationAborted to two changes of who may reach a bucket (hashicorp/terraform-provider-aws,
    # issues 7628 and 33478), when it is made and when it goes.
    order = waits_of(stack)
    for block in of_kind(order, "aws_s3_bucket_public_access_block"):
        name = block.split(".")[1]
        policy, ownership = f"aws_s3_bucket_policy.{name}", f"aws_s3_bucket_ownership_controls.{name}"
        assert block in order[policy]
        assert policy in order[ownership]
        # An expiry of versions means nothing to a bucket that keeps none yet.
        assert f"aws_s3_bucket_versioning.{name}" in order[f"aws_s3_bucket_lifecycle_configuration.{name}"]


def test_nothing_is_sent_to_a_topic_that_does_not_take_it_yet(stack: dict[str, Any]) -> None:
    order = waits_of(stack)
    for sender in of_kind(order, "aws_cloudwatch_metric_alarm", "aws_cloudwatch_event_target"):
        assert "aws_sns_topic_policy.alarms" in order[sender]


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("open", {"aws_route.compute_nat", "aws_route.public_internet", "aws_vpc_endpoint.s3"}),
        ("closed", {"aws_vpc_endpoint.s3", "aws_vpc_endpoint.ssm", "aws_vpc_endpoint.ecr_dkr", "aws_vpc_endpoint.kms"}),
    ],
)
def test_a4_a_subnet_is_told_to_other_stacks_once_its_nodes_can_get_out(
    name: str, ways: set[str], documents: dict[str, Documents]
) -> None:
    # The outputs of an apply that failed are written too; nodes would boot without packages and Session Manager.
    network = documents[name]["network"]
    told = set(network["output"]["compute_subnet_id"]["depends_on"])
    assert ways | {"aws_route_table_association.compute"} <= told
    assert {f"aws_vpc_endpoint.{endpoint}" for endpoint in network["resource"]["aws_vpc_endpoint"]} <= told


def test_the_way_out_stands_before_what_needs_it_and_goes_after_it(documents: dict[str, Documents]) -> None:
    # EC2 takes no gateway from a network that still has public addresses (provider, aws_eip and aws_nat_gateway).
    order = waits_of(documents["open"]["network"])
    for address in ("aws_eip.nat", "aws_nat_gateway.cluster"):
        assert "aws_internet_gateway.cluster" in order[address]
