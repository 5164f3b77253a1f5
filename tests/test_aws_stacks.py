"""Rules of AWS on the synthesized documents. What Terraform judges by itself is in test_aws_terraform.py."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from planner.errors import SpecError
from planner.plan.choice import Purchase
from tests.support.aws_stacks import (
    CLUSTERS,
    ROLES,
    Documents,
    cluster_plan,
    only,
    resources,
    statements,
    synthesize,
)
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

ANYWHERE = {"0.0.0.0/0", "::/0"}


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Documents]:
    return {name: synthesize(cluster_plan(name), tmp_path_factory.mktemp(name)) for name in CLUSTERS}


@pytest.fixture(params=list(CLUSTERS))
def cluster(request: pytest.FixtureRequest, clusters: dict[str, Documents]) -> Documents:
    return clusters[request.param]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, content in value.items():
            yield key
            yield from strings(content)
    elif isinstance(value, list):
        for content in value:
            yield from strings(content)
    elif isinstance(value, str):
        yield value


# Fabric


def test_a1_efa_group_allows_all_traffic_from_and_to_itself(cluster: Documents) -> None:
    rules = cluster["compute"]["resource"]
    group = "${aws_security_group.nodes.id}"
    for direction in ("ingress", "egress"):
        assert any(
            rule["ip_protocol"] == "-1"
            and rule["security_group_id"] == group
            and rule.get("referenced_security_group_id") == group
            for rule in rules[f"aws_vpc_security_group_{direction}_rule"].values()
        ), direction


def test_a1_every_efa_interface_is_in_that_group(cluster: Documents) -> None:
    for template in resources(cluster, "aws_launch_template").values():
        for interface in template["network_interfaces"]:
            assert "${aws_security_group.nodes.id}" in interface["security_groups"]


def test_a2_security_groups_are_on_the_interfaces_and_not_on_the_template(cluster: Documents) -> None:
    for template in resources(cluster, "aws_launch_template").values():
        assert "vpc_security_group_ids" not in template
        assert "security_group_names" not in template
        assert all(interface["security_groups"] for interface in template["network_interfaces"])


@pytest.mark.parametrize(
    ("name", "efa_cards"),
    [
        ("p4d_gang_reserved", range(4)),
        ("p5_gang", range(32)),
        ("p5en_single", range(16)),
        ("b300_gang", range(1, 17)),
        ("g6e_replicas", range(1)),
        ("g6_single", range(0)),
    ],
)
def test_a3_templates_have_an_efa_interface_on_every_efa_card(
    clusters: dict[str, Documents], name: str, efa_cards: range
) -> None:
    for template in resources(clusters[name], "aws_launch_template").values():
        interfaces = template["network_interfaces"]
        with_efa = [i["network_card_index"] for i in interfaces if i["interface_type"] in {"efa", "efa-only"}]
        assert with_efa == list(efa_cards)
        assert (interfaces[0]["network_card_index"], interfaces[0]["device_index"]) == (0, 0)
        assert interfaces[0]["interface_type"] != "efa-only"


def test_a4_nothing_gets_a_public_address(cluster: Documents) -> None:
    for subnet in resources(cluster, "aws_subnet").values():
        assert subnet["map_public_ip_on_launch"] is False
    for template in resources(cluster, "aws_launch_template").values():
        asked = [i.get("associate_public_ip_address") for i in template["network_interfaces"]]
        assert set(asked) <= {"false", None}


def test_a4_a_network_too_small_for_the_gang_is_a_spec_error(tmp_path: Any) -> None:
    plan = example_plan(nodes=64, spec={"network": {"cidr": "10.0.0.0/26"}})
    with pytest.raises(SpecError, match=r"network\.cidr.*10\.0\.0\.0/26 is too small.*give a /24"):
        synthesize(plan, tmp_path)


def test_a5_one_zone_for_everything(cluster: Documents) -> None:
    assert {s["availability_zone_id"] for s in resources(cluster, "aws_subnet").values()} == {"use1-az6"}
    compute_subnet = "${data.terraform_remote_state.network.outputs.compute_subnet_id}"
    for group in resources(cluster, "aws_autoscaling_group").values():
        assert group["vpc_zone_identifier"] == [compute_subnet]
    for file_system in resources(cluster, "aws_fsx_lustre_file_system").values():
        assert file_system["subnet_ids"] == [compute_subnet]


def test_a5_a_gang_shares_one_cluster_placement_group(clusters: dict[str, Documents]) -> None:
    for name in ("p4d_gang_reserved", "p4d_gang_spot", "p5_gang", "b300_gang"):
        assert only(clusters[name], "aws_placement_group")["strategy"] == "cluster"
        for group in resources(clusters[name], "aws_autoscaling_group").values():
            assert group["placement_group"] == "${aws_placement_group.gang.name}"
    for name in ("p5en_single", "g6_single", "g6e_replicas"):
        assert not resources(clusters[name], "aws_placement_group")


def test_a5_without_a_zone_and_without_a_default_the_spec_must_name_one(tmp_path: Any) -> None:
    plan = example_plan(region="sa-east-1", zone=None)
    with pytest.raises(SpecError, match=r"placement\.zone.*sa-east-1"):
        synthesize(plan, tmp_path)


def test_a5_a_zone_name_is_refused_because_it_means_another_place_elsewhere(tmp_path: Any) -> None:
    with pytest.raises(SpecError, match=r"placement\.zone.*us-east-1a.*use1-az6"):
        synthesize(example_plan(zone="us-east-1a"), tmp_path)


def test_a6_device_rdma_is_asked_for_on_p4d_only(clusters: dict[str, Documents]) -> None:
    for name, documents in clusters.items():
        user_data = documents["compute"]["locals"]["user_data"]
        assert ("FI_EFA_USE_DEVICE_RDMA" in user_data) == name.startswith("p4d"), name
        assert ("FI_PROVIDER=efa" in user_data) == (name != "g6_single"), name


# Capacity


def test_a8_each_kind_of_purchase_has_a_template_of_its_own(clusters: dict[str, Documents]) -> None:
    documents = clusters["g6e_replicas"]
    templates, groups = resources(documents, "aws_launch_template"), resources(documents, "aws_autoscaling_group")
    assert set(templates) == set(groups) == {"reserved", "on_demand", "spot"}
    assert [name for name, template in templates.items() if "capacity_reservation_specification" in template] == [
        "reserved"
    ]
    assert not any("instance_market_options" in template for template in templates.values())
    assert {name: group["desired_capacity"] for name, group in groups.items()} == {
        "reserved": 2,
        "on_demand": 1,
        "spot": 2,
    }


def test_a8_a_gangs_reservation_is_targeted_and_names_the_placement_group(clusters: dict[str, Documents]) -> None:
    documents = clusters["p4d_gang_reserved"]
    reservation = only(documents, "aws_ec2_capacity_reservation")
    template = only(documents, "aws_launch_template")

    assert reservation["instance_match_criteria"] == "targeted"
    assert reservation["placement_group_arn"] == "${aws_placement_group.gang.arn}"
    assert reservation["instance_count"] == only(documents, "aws_autoscaling_group")["desired_capacity"] == 4
    target = template["capacity_reservation_specification"]["capacity_reservation_target"]
    assert target == {"capacity_reservation_id": "${aws_ec2_capacity_reservation.reserved.id}"}


def test_a8_types_sold_only_by_capacity_block_cannot_be_reserved_otherwise(tmp_path: Any) -> None:
    plan = example_plan(instance_type="p5e.48xlarge", nodes=2, purchase=Purchase(reserved_nodes=2))
    with pytest.raises(SpecError, match=r"p5e\.48xlarge cannot be bought as On-Demand.*capacity-block"):
        synthesize(plan, tmp_path)


def test_a9_spot_takes_the_deepest_pool_and_nothing_but_spot(clusters: dict[str, Documents]) -> None:
    for name in ("p4d_gang_spot", "g6e_replicas"):
        group = resources(clusters[name], "aws_autoscaling_group")["spot"]
        distribution = group["mixed_instances_policy"]["instances_distribution"]
        assert distribution["spot_allocation_strategy"] in {"capacity-optimized", "price-capacity-optimized"}
        assert distribution["on_demand_base_capacity"] == 0
        assert distribution["on_demand_percentage_above_base_capacity"] == 0
        assert "launch_template" not in group


def test_a9_a_gang_is_whole_and_replicas_come_and_go(clusters: dict[str, Documents]) -> None:
    gang = only(clusters["p4d_gang_spot"], "aws_autoscaling_group")
    replicas = resources(clusters["g6e_replicas"], "aws_autoscaling_group")["spot"]

    assert gang["min_size"] == gang["desired_capacity"] == gang["max_size"] == 2
    assert gang["capacity_rebalance"] is False
    assert (replicas["min_size"], replicas["max_size"]) == (0, 2)
    assert replicas["capacity_rebalance"] is True


# Storage


def test_a11_throughput_and_key_belong_to_persistent_file_systems(clusters: dict[str, Documents]) -> None:
    persistent = only(clusters["p4d_gang_reserved"], "aws_fsx_lustre_file_system")
    scratch = only(clusters["g6_single"], "aws_fsx_lustre_file_system")

    assert (persistent["deployment_type"], persistent["storage_capacity"]) == ("PERSISTENT_2", 2400)
    assert persistent["per_unit_storage_throughput"] == 125
    assert persistent["kms_key_id"] == "${aws_kms_key.cluster.arn}"
    assert (scratch["deployment_type"], scratch["storage_capacity"]) == ("SCRATCH_2", 1200)
    assert "per_unit_storage_throughput" not in scratch
    assert "kms_key_id" not in scratch


def test_a12_lustre_ports_are_open_between_servers_and_from_and_to_clients_only(clusters: dict[str, Documents]) -> None:
    storage = clusters["p4d_gang_reserved"]["storage"]["resource"]
    servers, clients = "${aws_security_group.shared.id}", "${aws_security_group.shared_clients.id}"
    wanted = {
        (group, peer, ports)
        for group, peer in ((servers, servers), (servers, clients), (clients, servers))
        for ports in ((988, 988), (1018, 1023))
    }
    for direction in ("ingress", "egress"):
        rules = storage[f"aws_vpc_security_group_{direction}_rule"].values()
        assert {
            (r["security_group_id"], r["referenced_security_group_id"], (r["from_port"], r["to_port"])) for r in rules
        } == wanted
        assert {rule["ip_protocol"] for rule in rules} == {"tcp"}


def test_a12_nodes_are_clients_on_their_primary_interface(clusters: dict[str, Documents]) -> None:
    primary, *others = only(clusters["p5_gang"], "aws_launch_template")["network_interfaces"]
    clients = "${data.terraform_remote_state.storage.outputs.shared_clients_security_group_id}"
    assert clients in primary["security_groups"]
    assert not any(clients in interface["security_groups"] for interface in others)


def test_a15_the_checkpoint_bucket_is_versioned_encrypted_and_private(cluster: Documents) -> None:
    storage = cluster["storage"]["resource"]
    (encryption,) = storage["aws_s3_bucket_server_side_encryption_configuration"]["checkpoints"]["rule"]
    by_default = encryption["apply_server_side_encryption_by_default"]
    public_access = storage["aws_s3_bucket_public_access_block"]["checkpoints"]
    rules = storage["aws_s3_bucket_lifecycle_configuration"]["checkpoints"]["rule"]

    assert storage["aws_s3_bucket_versioning"]["checkpoints"]["versioning_configuration"]["status"] == "Enabled"
    assert by_default == {"sse_algorithm": "aws:kms", "kms_master_key_id": "${aws_kms_key.cluster.arn}"}
    assert encryption["bucket_key_enabled"] is True
    for setting in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
        assert public_access[setting] is True
    assert any("noncurrent_version_expiration" in rule for rule in rules)
    assert any("abort_incomplete_multipart_upload" in rule for rule in rules)
    (tls_only,) = statements({"storage": cluster["storage"]}, "checkpoints")
    assert tls_only["effect"] == "Deny"
    assert tls_only["condition"] == [{"test": "Bool", "variable": "aws:SecureTransport", "values": ["false"]}]


def test_resources_that_hold_data_are_protected_from_destroy(clusters: dict[str, Documents]) -> None:
    documents = clusters["p4d_gang_reserved"]
    storage = {"storage": documents["storage"]}
    for kind in ("aws_kms_key", "aws_s3_bucket", "aws_fsx_lustre_file_system"):
        assert only(storage, kind)["lifecycle"]["prevent_destroy"] is True


# Security


def test_a16_instance_metadata_needs_a_token_and_goes_one_hop(cluster: Documents) -> None:
    for template in resources(cluster, "aws_launch_template").values():
        assert template["metadata_options"] == {
            "http_endpoint": "enabled",
            "http_tokens": "required",
            "http_put_response_hop_limit": 1,
        }


def test_a16_root_disks_are_encrypted_with_the_customer_key(cluster: Documents) -> None:
    for template in resources(cluster, "aws_launch_template").values():
        for mapping in template["block_device_mappings"]:
            assert mapping["ebs"]["encrypted"] == "true"
            assert mapping["ebs"]["kms_key_id"] == "${data.terraform_remote_state.storage.outputs.kms_key_arn}"


def test_a16_auto_scaling_may_use_the_key_and_grant_it_to_volumes(cluster: Documents) -> None:
    granted = {
        action: statement
        for statement in statements(cluster, "key")
        for action in statement["actions"]
        if any("AWSServiceRoleForAutoScaling" in arn for p in statement["principals"] for arn in p["identifiers"])
    }
    # EC2 Auto Scaling user guide, "Required AWS KMS key policy for use with encrypted volumes".
    assert set(granted) == {
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:DescribeKey",
        "kms:CreateGrant",
    }
    assert granted["kms:CreateGrant"]["condition"] == [
        {"test": "Bool", "variable": "kms:GrantIsForAWSResource", "values": ["true"]}
    ]
    assert all(key["enable_key_rotation"] is True for key in resources(cluster, "aws_kms_key").values())


def test_a17_nobody_comes_in_from_outside(cluster: Documents) -> None:
    for rule in resources(cluster, "aws_vpc_security_group_ingress_rule").values():
        assert "cidr_ipv4" not in rule
        assert "cidr_ipv6" not in rule
        assert not (rule["ip_protocol"] == "tcp" and rule["from_port"] <= 22 <= rule["to_port"])
    for group in resources(cluster, "aws_security_group").values():
        assert not {"ingress", "egress"} & set(group)
    assert not {"ingress", "egress"} & set(only(cluster, "aws_default_security_group"))
    for template in resources(cluster, "aws_launch_template").values():
        assert "key_name" not in template


def test_a17_only_https_goes_out(cluster: Documents) -> None:
    rules = resources(cluster, "aws_vpc_security_group_egress_rule").values()
    outward = [(rule["from_port"], rule["to_port"]) for rule in rules if rule.get("cidr_ipv4") in ANYWHERE]
    assert outward == [(443, 443)]


def test_a18_no_statement_of_a_role_allows_everything(cluster: Documents) -> None:
    policies = cluster["compute"]["data"]["aws_iam_policy_document"]
    for name, policy in policies.items():
        for statement in policy["statement"]:
            assert not any("*" in action for action in statement["actions"]), name
            # Service Authorization Reference, "Amazon EC2 Auto Scaling": descriptions have no resource.
            if statement["actions"] != ["autoscaling:DescribeAutoScalingInstances"]:
                assert "*" not in statement.get("resources", []), name


# Terraform


def test_a20_names_are_within_the_limits_of_aws(tmp_path: Any) -> None:
    longest = "a" + "b" * 28
    plan = example_plan(
        region="ap-southeast-2", zone="apse2-az3", nodes=3, purchase=Purchase(reserved_nodes=1, on_demand_nodes=2)
    ).model_copy(update={"name": longest})
    documents = synthesize(plan, tmp_path)

    account = "${data.aws_caller_identity.current.account_id}"
    bucket = only(documents, "aws_s3_bucket")["bucket"].replace(account, "123456789012")
    assert longest in bucket
    assert 3 <= len(bucket) <= 63
    for kind, limit in (
        ("aws_launch_template", 128),
        ("aws_autoscaling_group", 255),
        ("aws_iam_role", 64),
        ("aws_placement_group", 255),
        ("aws_security_group", 255),
    ):
        for resource in resources(documents, kind).values():
            assert 3 <= len(resource["name"]) <= limit, kind


def test_a20_provider_tags_everything_and_carries_no_credentials(tmp_path: Any) -> None:
    documents = synthesize(example_plan(spec={"tags": {"cost-center": "research"}}), tmp_path)
    for role in ROLES:
        (provider,) = documents[role]["provider"]["aws"]
        assert set(provider) == {"region", "default_tags"}
        assert provider["default_tags"] == [
            {"tags": {"cost-center": "research", "cluster": "example", "managed-by": "llmcluster"}}
        ]
    template = only(documents, "aws_launch_template")
    tagged = {spec["resource_type"]: spec["tags"] for spec in template["tag_specifications"]}
    assert set(tagged) == {"instance", "volume", "network-interface"}
    assert all(tags["cost-center"] == "research" for tags in tagged.values())


@pytest.mark.parametrize("tags", [{"aws:mine": "x"}, {"": "x"}, {"k" * 129: "x"}, {"k": "v" * 257}])
def test_a20_tags_that_aws_refuses_are_a_spec_error(tmp_path: Any, tags: dict[str, str]) -> None:
    with pytest.raises(SpecError, match="tags"):
        synthesize(example_plan(spec={"tags": tags}), tmp_path)


def test_every_rule_variable_and_output_is_described(cluster: Documents) -> None:
    described = [
        *resources(cluster, "aws_vpc_security_group_ingress_rule").values(),
        *resources(cluster, "aws_vpc_security_group_egress_rule").values(),
        *resources(cluster, "aws_security_group").values(),
        *(output for role in ROLES for output in cluster[role]["output"].values()),
        *(variable for role in ROLES for variable in cluster[role].get("variable", {}).values()),
    ]
    assert all(thing["description"] for thing in described)


def test_every_billed_role_has_a_resource(cluster: Documents) -> None:
    for role in ROLES:
        for billed, address in cluster[role]["addresses"].items():
            kind, name = address.split(".")
            assert name in cluster[role]["resource"][kind], billed


def test_the_same_plan_gives_the_same_bytes_in_any_folder(tmp_path: Any) -> None:
    plan = cluster_plan("g6e_replicas")
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()

    first, second = synthesize(plan, tmp_path / "here"), synthesize(plan, tmp_path / "there")

    assert json.dumps(first) == json.dumps(second)
    assert not any(str(tmp_path) in text for text in strings(first))
