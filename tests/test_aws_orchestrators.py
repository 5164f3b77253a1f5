"""Rules of AWS on clusters with an orchestrator and on Capacity Blocks; see test_aws_stacks.py for those without."""

import ipaddress
import itertools
import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from planner.errors import SpecError
from tests.support import parallelcluster
from tests.support.aws_stacks import ORCHESTRATED, Documents, cluster_plan, only, resources, statements, synthesize
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

NODES_GROUP = "${aws_security_group.nodes.id}"
COMPUTE_SUBNET = "${data.terraform_remote_state.network.outputs.compute_subnet_id}"
KEY = "${data.terraform_remote_state.storage.outputs.kms_key_arn}"

STAND_INS: Final = {
    "s3_bucket": "example-boot-123456789012-us-east-1",
    "s3_object": "on-node-configured.sh",
    "local": "2",
    "subnet_id": "subnet-0123456789abcdef0",
    "security_group": "sg-0123456789abcdef0",
    "file_system_id": "fs-0123456789abcdef0",
    "capacity_reservation": "cr-0123456789abcdef0",
    "partition": "aws",
    "iam_policy": "arn:aws:iam::123456789012:policy/example",
    "placement_group": "example",
}


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Documents]:
    return {name: synthesize(cluster_plan(name), tmp_path_factory.mktemp(name)) for name in ORCHESTRATED}


@pytest.fixture(params=list(ORCHESTRATED))
def cluster(request: pytest.FixtureRequest, clusters: dict[str, Documents]) -> Documents:
    return clusters[request.param]


@pytest.fixture(params=[name for name in ORCHESTRATED if name.startswith("kubernetes")])
def kubernetes(request: pytest.FixtureRequest, clusters: dict[str, Documents]) -> Documents:
    return clusters[request.param]


@pytest.fixture(params=[name for name in ORCHESTRATED if name.startswith("slurm")])
def slurm(request: pytest.FixtureRequest, clusters: dict[str, Documents]) -> Documents:
    return clusters[request.param]


def gpu_groups(documents: Documents) -> dict[str, dict[str, Any]]:
    return {name: group for name, group in resources(documents, "aws_eks_node_group").items() if name != "system"}


def manifests(documents: Documents) -> list[dict[str, Any]]:
    texts = documents["compute"]["files"].values()
    return [document for text in texts for document in yaml.safe_load_all(text)]


def pcluster(documents: Documents) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(documents["compute"]["locals"]["parallelcluster"])
    return loaded


# Fabric


def test_a1_a2_efa_group_is_on_every_interface_and_only_there(cluster: Documents) -> None:
    for template in resources(cluster, "aws_launch_template").values():
        assert "vpc_security_group_ids" not in template
        for interface in template["network_interfaces"]:
            assert NODES_GROUP in interface["security_groups"]


@pytest.mark.parametrize(
    ("name", "template", "efa_cards"),
    [
        ("kubernetes_gang", "reserved", range(32)),
        ("kubernetes_block", "capacity_block", range(32)),
        ("kubernetes_replicas", "spot", range(1)),
        ("kubernetes_gang", "system", range(0)),
    ],
)
def test_a3_node_groups_have_an_efa_interface_on_every_efa_card(
    clusters: dict[str, Documents], name: str, template: str, efa_cards: range
) -> None:
    interfaces = resources(clusters[name], "aws_launch_template")[template]["network_interfaces"]
    with_efa = [i["network_card_index"] for i in interfaces if i["interface_type"] in {"efa", "efa-only"}]
    assert with_efa == list(efa_cards)
    assert interfaces[0]["associate_public_ip_address"] == "false"


def test_a4_pods_get_addresses_too(tmp_path: Any) -> None:
    # A node takes one address without pods and 33 with them, and three system nodes as many: 11 x 33 and some.
    network = {"network": {"cidr": "10.0.0.0/24"}}
    synthesize(example_plan(nodes=8, spec=network), tmp_path / "none")
    with pytest.raises(SpecError, match=r"network\.cidr.*take 37\d addresses.*give a /22"):
        synthesize(example_plan(nodes=8, spec={**network, "orchestrator": "kubernetes"}), tmp_path / "kubernetes")


def test_a5_nodes_stand_in_one_zone_and_the_control_plane_in_two(kubernetes: Documents) -> None:
    for group in resources(kubernetes, "aws_eks_node_group").values():
        assert group["subnet_ids"] == [COMPUTE_SUBNET]
    subnet_ids = only(kubernetes, "aws_eks_cluster")["vpc_config"]["subnet_ids"]
    assert subnet_ids == [
        COMPUTE_SUBNET,
        "${data.terraform_remote_state.network.outputs.control_plane_subnet_id}",
    ]
    zones = kubernetes["network"]["data"]["aws_availability_zones"]["others"]
    assert "use1-az6" in zones["exclude_zone_ids"]
    assert "use1-az3" in zones["exclude_zone_ids"]


# EKS user guide, "View Amazon EKS networking requirements for VPC and subnets".
@pytest.mark.parametrize(
    ("zone", "region"), [("use1-az3", "us-east-1"), ("usw1-az2", "us-west-1"), ("cac1-az3", "ca-central-1")]
)
def test_a5_nodes_in_a_zone_without_control_plane_leave_it_two_other_zones(
    zone: str, region: str, tmp_path: Path
) -> None:
    documents = synthesize(example_plan(zone=zone, region=region, spec={"orchestrator": "kubernetes"}), tmp_path)
    group = resources(documents, "aws_eks_node_group")["system"]
    assert group["subnet_ids"] == [COMPUTE_SUBNET]
    subnet_ids = only(documents, "aws_eks_cluster")["vpc_config"]["subnet_ids"]
    outputs = {f"${{data.terraform_remote_state.network.outputs.{name}}}" for name in documents["network"]["output"]}
    assert len(subnet_ids) == 2
    assert COMPUTE_SUBNET not in subnet_ids
    assert set(subnet_ids) < outputs
    zones = documents["network"]["data"]["aws_availability_zones"]["others"]
    assert zone in zones["exclude_zone_ids"]
    assert zones["lifecycle"]["postcondition"][0]["condition"] == "${length(self.names) >= 2}"
    assert "placement.zone" in zones["lifecycle"]["postcondition"][0]["error_message"]
    ranges = [subnet["cidr_block"] for subnet in documents["network"]["resource"]["aws_subnet"].values()]
    networks = [ipaddress.ip_network(cidr) for cidr in ranges]
    assert len(networks) == 4
    assert not any(one.overlaps(other) for one, other in itertools.combinations(networks, 2))


def test_a5_an_existing_network_in_a_zone_without_control_plane_is_refused(tmp_path: Path) -> None:
    network = {"vpc_id": "vpc-0a1b2c3d", "subnet_id": "subnet-0a1b2c3d", "control_plane_subnet_id": "subnet-1a1b2c3d"}
    spec = {"orchestrator": "kubernetes", "network": network}
    with pytest.raises(SpecError, match=r"network\.subnet_id: .*use1-az3.*placement\.zone"):
        synthesize(example_plan(zone="use1-az3", spec=spec), tmp_path / "refused")
    documents = synthesize(example_plan(spec=spec), tmp_path / "planned")
    rules = documents["network"]["data"]["aws_subnet"]["control_plane"]["lifecycle"]["postcondition"]
    assert any("use1-az3" in rule["condition"] and "availability_zone_id" in rule["condition"] for rule in rules)


def test_a5_a_gang_of_node_groups_shares_one_cluster_placement_group(clusters: dict[str, Documents]) -> None:
    gang = clusters["kubernetes_gang"]
    assert only(gang, "aws_placement_group")["strategy"] == "cluster"
    templates = resources(gang, "aws_launch_template")
    assert templates["reserved"]["placement"] == {"group_name": "${aws_placement_group.gang.name}"}
    assert "placement" not in templates["system"]
    assert not resources(clusters["kubernetes_replicas"], "aws_placement_group")


# Capacity


@pytest.mark.parametrize("name", ["kubernetes_block", "bare_block"])
def test_a7_a_capacity_block_is_a_market_with_a_target(clusters: dict[str, Documents], name: str) -> None:
    documents = clusters[name]
    template = resources(documents, "aws_launch_template")["capacity_block"]
    assert template["instance_market_options"] == {"market_type": "capacity-block"}
    target = template["capacity_reservation_specification"]["capacity_reservation_target"]
    assert target == {"capacity_reservation_id": "cr-0123456789abcdef0"}
    # Blocks are UltraClusters by themselves; a placement group can only be in the way.
    assert not resources(documents, "aws_placement_group")
    assert "placement" not in template


def test_a7_the_offering_is_asked_for_by_size_and_term(clusters: dict[str, Documents]) -> None:
    compute = clusters["bare_offer"]["compute"]
    offering = compute["data"]["aws_ec2_capacity_block_offering"]["capacity_block"]
    # 3 nodes stand in a block of 4, the next size on sale.
    assert (offering["instance_count"], offering["capacity_duration_hours"]) == (4, 7 * 24)
    assert offering["start_date_range"] == "2026-12-10T00:00:00Z"
    (condition,) = offering["lifecycle"]["postcondition"]
    assert "availability_zone" in condition["condition"]
    assert "capacity.block.zone" in condition["error_message"]


def test_a7_terraform_buys_no_block_and_says_how_to(clusters: dict[str, Documents]) -> None:
    # The provider's resource ends in an error after the purchase, and the next apply would buy another block
    # (hashicorp/terraform-provider-aws, issue 46829).
    for name, documents in clusters.items():
        assert not resources(documents, "aws_ec2_capacity_block_reservation"), name
    compute = clusters["bare_offer"]["compute"]
    assert not {"aws_launch_template", "aws_autoscaling_group"} & set(compute["resource"])
    assert compute["output"]["capacity_block_purchase"]["value"].startswith("aws ec2 purchase-capacity-block ")


def test_a7_nodes_of_a_block_start_when_it_has_started_and_are_let_go_before_it_ends(
    clusters: dict[str, Documents],
) -> None:
    group = resources(clusters["kubernetes_block"], "aws_eks_node_group")["capacity_block"]
    bare = only(clusters["bare_block"], "aws_autoscaling_group")
    assert group["capacity_type"] == "CAPACITY_BLOCK"
    assert group["scaling_config"]["desired_size"] == "${var.capacity_block_active ? 2 : 0}"
    assert bare["desired_capacity"] == bare["min_size"] == "${var.capacity_block_active ? 3 : 0}"
    for name in ("kubernetes_block", "bare_block"):
        assert clusters[name]["compute"]["variable"]["capacity_block_active"]["default"] is False
        end = only(clusters[name], "aws_autoscaling_schedule")
        # The block ends at 11:30 UTC of its last day, and EC2 terminates from 11:00.
        assert (end["start_time"], end["desired_capacity"], end["min_size"]) == ("2026-12-17T10:30:00Z", 0, 0)


def test_a7_a_slurm_partition_stands_in_the_block(clusters: dict[str, Documents]) -> None:
    documents = clusters["slurm_block"]
    (queue,) = pcluster(documents)["Scheduling"]["SlurmQueues"]
    assert queue["CapacityType"] == "CAPACITY_BLOCK"
    assert queue["CapacityReservationTarget"] == {"CapacityReservationId": "cr-0123456789abcdef0"}
    assert queue["Networking"]["PlacementGroup"] == {"Enabled": False}


def test_a8_each_kind_of_purchase_has_a_node_group_of_its_own(clusters: dict[str, Documents]) -> None:
    groups = gpu_groups(clusters["kubernetes_replicas"])
    kinds = {name: (group["capacity_type"], group["scaling_config"]["desired_size"]) for name, group in groups.items()}
    assert kinds == {"reserved": ("ON_DEMAND", 2), "on_demand": ("ON_DEMAND", 1), "spot": ("SPOT", 2)}
    templates = resources(clusters["kubernetes_replicas"], "aws_launch_template")
    assert [name for name, template in templates.items() if "capacity_reservation_specification" in template] == [
        "reserved"
    ]
    assert not any("instance_market_options" in template for template in templates.values())


def test_a8_a_slurm_partition_targets_its_reservation_in_the_placement_group(clusters: dict[str, Documents]) -> None:
    documents = clusters["slurm_gang"]
    reservation = only(documents, "aws_ec2_capacity_reservation")
    (queue,) = pcluster(documents)["Scheduling"]["SlurmQueues"]
    assert reservation["instance_match_criteria"] == "targeted"
    assert reservation["placement_group_arn"] == "${aws_placement_group.gang.arn}"
    assert queue["CapacityReservationTarget"] == {
        "CapacityReservationId": "${aws_ec2_capacity_reservation.reserved.id}"
    }
    assert queue["Networking"]["PlacementGroup"] == {"Enabled": True, "Name": "${aws_placement_group.gang.name}"}
    (nodes,) = queue["ComputeResources"]
    assert nodes["MinCount"] == nodes["MaxCount"] == reservation["instance_count"] == 4


def test_a9_spot_partitions_take_the_deepest_pool_and_scale_to_nothing(clusters: dict[str, Documents]) -> None:
    queues = {queue["Name"]: queue for queue in pcluster(clusters["slurm_replicas"])["Scheduling"]["SlurmQueues"]}
    assert queues["spot"]["CapacityType"] == "SPOT"
    assert queues["spot"]["AllocationStrategy"] == "capacity-optimized"
    assert queues["spot"]["ComputeResources"][0]["MinCount"] == 0
    assert queues["on-demand"]["CapacityType"] == "ONDEMAND"


# Security


def test_a16_launch_templates_want_tokens_and_encrypt_with_the_customer_key(cluster: Documents) -> None:
    for template in resources(cluster, "aws_launch_template").values():
        # One hop also under Kubernetes: pods have Pod Identity, and none may take the role of its node.
        assert template["metadata_options"] == {
            "http_endpoint": "enabled",
            "http_tokens": "required",
            "http_put_response_hop_limit": 1,
        }
        for mapping in template["block_device_mappings"]:
            assert (mapping["ebs"]["encrypted"], mapping["ebs"]["kms_key_id"]) == ("true", KEY)


def test_a15_the_script_of_nodes_is_written_once_its_bucket_is_versioned_and_closed(
    clusters: dict[str, Documents],
) -> None:
    # Without the order the first version is made by chance before versioning, and has no version to go back to.
    waits_for = set(only(clusters["slurm_watched"], "aws_s3_object")["depends_on"])
    kinds = {"versioning", "server_side_encryption_configuration", "public_access_block", "policy"}
    assert {f"aws_s3_bucket_{kind}.scripts" for kind in kinds} <= waits_for


def test_a16_auto_scaling_uses_the_key_where_it_starts_the_nodes(cluster: Documents) -> None:
    # A key policy that names a role of AWS which the account does not have yet is refused (MalformedPolicyDocument).
    uses = any("AutoScaling" in statement["sid"] for statement in statements(cluster, "key"))
    assert uses != ("parallelcluster" in cluster["compute"].get("locals", {}))


def test_a16_slurm_demands_the_customer_key_for_root_volumes_where_it_is_asked_to(
    clusters: dict[str, Documents], tmp_path: Path
) -> None:
    documents = synthesize(
        example_plan(nodes=2, spec={"orchestrator": "slurm", "security": {"ebs_default_key": True}}), tmp_path
    )
    look_up = documents["compute"]["data"]["aws_ebs_default_kms_key"]["root_volumes"]
    (condition,) = look_up["lifecycle"]["postcondition"]
    assert "modify-ebs-default-kms-key-id" in condition["error_message"]
    # The head node starts the others, and needs what any user of EC2 does for volumes under a key.
    rights = "${aws_iam_policy.volumes.arn}"
    configuration = pcluster(documents)
    assert {"Policy": rights} in configuration["HeadNode"]["Iam"]["AdditionalIamPolicies"]
    assert rights not in json.dumps(configuration["Scheduling"])
    for statement in statements(documents, "volumes"):
        assert statement["resources"] == [KEY]
        assert statement["condition"][0]["variable"] == "kms:ViaService"
    assert "aws_ebs_default_kms_key" not in clusters["slurm_gang"]["compute"]["data"]


def test_a16_slurm_nodes_want_tokens_and_encrypt(slurm: Documents) -> None:
    configuration = pcluster(slurm)
    assert configuration["Imds"] == {"ImdsSupport": "v2.0"}
    assert configuration["HeadNode"]["Imds"] == {"Secured": True}
    volumes = [configuration["HeadNode"]["LocalStorage"]["RootVolume"]]
    volumes += [q["ComputeSettings"]["LocalStorage"]["RootVolume"] for q in configuration["Scheduling"]["SlurmQueues"]]
    assert all(volume["Encrypted"] is True for volume in volumes)


def test_a17_the_api_is_private_and_the_head_node_has_no_public_address(
    kubernetes: Documents, clusters: dict[str, Documents]
) -> None:
    vpc_config = only(kubernetes, "aws_eks_cluster")["vpc_config"]
    assert vpc_config["endpoint_private_access"] is True
    assert vpc_config["endpoint_public_access"] is False
    head = pcluster(clusters["slurm_gang"])["HeadNode"]
    assert "ElasticIp" not in head["Networking"]
    assert "Ssh" not in head


def test_a17_the_api_opens_to_named_ranges_only(tmp_path: Any) -> None:
    opened = {"orchestrator": "kubernetes", "kubernetes": {"public_api_cidrs": ["203.0.113.0/24"]}}
    documents = synthesize(example_plan(spec=opened), tmp_path)
    vpc_config = only(documents, "aws_eks_cluster")["vpc_config"]
    assert vpc_config["endpoint_public_access"] is True
    assert vpc_config["public_access_cidrs"] == ["203.0.113.0/24"]


def test_a17_control_plane_is_logged_and_its_secrets_are_encrypted(kubernetes: Documents) -> None:
    cluster = only(kubernetes, "aws_eks_cluster")
    logs = resources(kubernetes, "aws_cloudwatch_log_group")["control_plane"]
    assert {"audit", "api", "authenticator"} <= set(cluster["enabled_cluster_log_types"])
    assert (logs["name"], logs["kms_key_id"]) == ("/aws/eks/example/cluster", KEY)
    assert logs["retention_in_days"] > 0
    assert cluster["encryption_config"] == {"resources": ["secrets"], "provider": {"key_arn": KEY}}
    (usable,) = [s for s in statements(kubernetes, "key") if s.get("sid") == "LogsUseKey"]
    assert usable["condition"][0]["values"][0].endswith(":log-group:/aws/eks/example/cluster")


def test_a18_administrators_are_access_entries_and_the_cluster_does_not_know_them(
    tmp_path: Any, kubernetes: Documents
) -> None:
    arn = "arn:aws:iam::123456789012:role/ops"
    named = {"orchestrator": "kubernetes", "kubernetes": {"administrators": [arn, arn]}}
    documents = synthesize(example_plan(spec=named), tmp_path)
    assert only(documents, "aws_eks_cluster")["access_config"] == only(kubernetes, "aws_eks_cluster")["access_config"]
    assert only(documents, "aws_eks_access_entry")["principal_arn"] == arn
    entry = only(kubernetes, "aws_eks_access_entry")
    assert entry["principal_arn"] == "${data.aws_iam_session_context.applier.issuer_arn}"
    assert entry["lifecycle"] == {"ignore_changes": ["principal_arn"]}


def test_a18_jobs_reach_the_checkpoints_by_pod_identity_and_nodes_do_not(kubernetes: Documents) -> None:
    association = only(kubernetes, "aws_eks_pod_identity_association")
    assert association["role_arn"] == "${aws_iam_role.job.arn}"
    policies = {policy["role"] for policy in resources(kubernetes, "aws_iam_role_policy").values()}
    assert "${aws_iam_role.job.id}" in policies
    assert "${aws_iam_role.node.id}" not in policies
    accounts = [m for m in manifests(kubernetes) if m["kind"] == "ServiceAccount"]
    names = [(a["metadata"]["namespace"], a["metadata"]["name"]) for a in accounts]
    assert names == [(association["namespace"], association["service_account"])]
    for document in ("job_trust", "cni_trust"):
        (trust,) = statements(kubernetes, document)
        assert trust["principals"] == [{"type": "Service", "identifiers": ["pods.eks.amazonaws.com"]}]
        assert trust["actions"] == ["sts:AssumeRole", "sts:TagSession"]


# Kubernetes


def test_a19_gpu_nodes_have_the_nvidia_image_and_repel_everything_else(kubernetes: Documents) -> None:
    groups = gpu_groups(kubernetes)
    assert groups
    for group in groups.values():
        assert group["ami_type"] == "AL2023_x86_64_NVIDIA"
        assert group["taint"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
        assert group["update_config"] == {"max_unavailable": 1}
        assert group["launch_template"]["id"].startswith("${aws_launch_template.")
    system = resources(kubernetes, "aws_eks_node_group")["system"]
    assert system["ami_type"] == "AL2023_x86_64_STANDARD"
    assert "taint" not in system
    assert system["scaling_config"]["desired_size"] >= 2


def test_a19_managed_node_groups_leave_out_what_eks_sets(kubernetes: Documents) -> None:
    # EKS user guide, "Launch template configuration basics": these are refused in the template.
    for template in resources(kubernetes, "aws_launch_template").values():
        assert not {"iam_instance_profile", "instance_initiated_shutdown_behavior", "hibernation_options"} & set(
            template
        )
        assert not any("subnet_id" in interface for interface in template["network_interfaces"])
    for group in resources(kubernetes, "aws_eks_node_group").values():
        assert "instance_types" not in group
        assert "disk_size" not in group


def test_a19_device_plugins_run_on_the_nodes_that_have_the_devices(clusters: dict[str, Documents]) -> None:
    for name in ("kubernetes_gang", "kubernetes_replicas"):
        (labels,) = {tuple(sorted(group["labels"].items())) for group in gpu_groups(clusters[name]).values()}
        plugins = {m["metadata"]["name"]: m["spec"] for m in manifests(clusters[name]) if m["kind"] == "DaemonSet"}
        assert set(plugins) == {"nvidia-device-plugin", "efa-device-plugin"}
        for spec in plugins.values():
            pod = spec["template"]["spec"]
            assert set(pod["nodeSelector"].items()) <= set(labels)
            assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
            assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_a19_no_efa_plugin_where_there_is_no_efa(tmp_path: Any) -> None:
    plan = example_plan(instance_type="g6.xlarge", nodes=1, spec={"orchestrator": "kubernetes"})
    files = synthesize(plan, tmp_path)["compute"]["files"]
    assert "efa-device-plugin.yaml" not in yaml.safe_load(files["kubernetes/kustomization.yaml"])["resources"]
    assert "kubernetes/efa-device-plugin.yaml" not in files


def test_a19_nodes_wait_for_network_and_identity_add_ons_and_coredns_waits_for_nodes(
    kubernetes: Documents, clusters: dict[str, Documents]
) -> None:
    addons = {addon["addon_name"]: addon for addon in resources(kubernetes, "aws_eks_addon").values()}
    assert {"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent"} <= set(addons)
    # A node becomes ready with these, and CoreDNS needs one that is.
    for group in resources(kubernetes, "aws_eks_node_group").values():
        assert {"aws_eks_addon.vpc_cni", "aws_eks_addon.pod_identity_agent"} <= set(group["depends_on"])
    assert addons["coredns"]["depends_on"] == ["aws_eks_node_group.system"]
    with_volume = {name for name in clusters if resources(clusters[name], "aws_eks_addon").get("fsx_csi_driver")}
    assert with_volume == {"kubernetes_gang", "kubernetes_block"}


def test_eks_repairs_gpu_nodes_by_what_the_monitoring_agent_finds(clusters: dict[str, Documents]) -> None:
    for cluster in (clusters[name] for name in clusters if name.startswith("kubernetes")):
        groups = resources(cluster, "aws_eks_node_group")
        assert all(
            group["node_repair_config"] == {"enabled": True} for name, group in groups.items() if name != "system"
        )
        agent = resources(cluster, "aws_eks_addon")["node_monitoring_agent"]
        assert agent["addon_name"] == "eks-node-monitoring-agent"
        # The chart gives the agent itself every toleration, and the host engine of DCGM none.
        settings = json.loads(agent["configuration_values"])
        assert settings == {"dcgmAgent": {"tolerations": [{"operator": "Exists"}]}}


def test_a14_local_disks_are_one_raid_0_under_kubernetes(clusters: dict[str, Documents]) -> None:
    text = clusters["kubernetes_gang"]["compute"]["locals"]["user_data"]
    assert "Content-Type: application/node.eks.aws" in text
    part = text.split("Content-Type: application/node.eks.aws\n\n")[1].split("--//--")[0]
    assert yaml.safe_load(part)["spec"] == {"instance": {"localStorage": {"strategy": "RAID0"}}}
    assert "user_data" not in resources(clusters["kubernetes_gang"], "aws_launch_template")["system"]


def test_shared_volume_is_the_file_system(clusters: dict[str, Documents]) -> None:
    volume, claim = yaml.safe_load_all(clusters["kubernetes_gang"]["compute"]["locals"]["volume_manifest"])
    storage = "data.terraform_remote_state.storage.outputs"
    assert volume["spec"]["csi"] == {
        "driver": "fsx.csi.aws.com",
        "volumeHandle": f"${{{storage}.shared_file_system_id}}",
        "volumeAttributes": {
            "dnsname": f"${{{storage}.shared_dns_name}}",
            "mountname": f"${{{storage}.shared_mount_name}}",
        },
    }
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]


# Slurm


def test_slurm_configuration_is_the_same_in_the_output_and_beside_the_stack(slurm: Documents) -> None:
    compute = slurm["compute"]
    assert compute["files"]["parallelcluster.yaml"] == compute["locals"]["parallelcluster"]
    assert compute["output"]["cluster_configuration"]["value"] == "${local.parallelcluster}"


def with_stand_ins(documents: Documents) -> str:
    """The configuration as Terraform would resolve it."""
    text: str = documents["compute"]["locals"]["parallelcluster"]
    for reference, value in STAND_INS.items():
        text = re.sub(rf"\$\{{[^}}]*{reference}[^}}]*\}}", value, text)
    return text


@pytest.mark.parametrize("name", [name for name in ORCHESTRATED if name.startswith("slurm")])
def test_parallelcluster_takes_the_configuration(name: str, clusters: dict[str, Documents]) -> None:
    jsonschema.validate(yaml.safe_load(with_stand_ins(clusters[name])), parallelcluster.SCHEMA)


def test_the_package_of_parallelcluster_takes_the_configuration_too(clusters: dict[str, Documents]) -> None:
    package = parallelcluster.folder()
    if package is None:
        pytest.skip("the package of ParallelCluster is not installed: `make tools` brings it")
    texts = {name: with_stand_ins(documents) for name, documents in clusters.items() if name.startswith("slurm")}
    wrong = texts["slurm_gang"].replace("ONDEMAND", "RESERVED")
    found = parallelcluster.problems(package, {**texts, "wrong": wrong})
    assert list(found) == ["wrong"], found
    assert "CapacityType" in found["wrong"]


def test_slurm_in_a_closed_network_does_without_route_53_and_reaches_dynamodb(clusters: dict[str, Documents]) -> None:
    # ParallelCluster guide, "AWS ParallelCluster in a single subnet with no internet access".
    closed = clusters["slurm_closed"]
    settings = pcluster(closed)["Scheduling"]["SlurmSettings"]
    assert settings["Dns"] == {"DisableManagedDns": True, "UseEc2Hostnames": True}
    endpoints = {
        endpoint["service_name"].removeprefix("com.amazonaws.us-east-1."): endpoint["vpc_endpoint_type"]
        for endpoint in closed["network"]["resource"]["aws_vpc_endpoint"].values()
    }
    assert endpoints["dynamodb"] == endpoints["s3"] == "Gateway"
    assert {endpoints[service] for service in ("cloudformation", "ec2", "logs")} == {"Interface"}
    rules = resources(closed, "aws_vpc_security_group_egress_rule")
    assert "prefix_list_id" in rules["to_dynamodb"] and "0.0.0.0/0" not in json.dumps(rules)
    assert "Dns" not in pcluster(clusters["slurm_gang"])["Scheduling"]["SlurmSettings"]


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
    jsonschema.validate(configuration, parallelcluster.SCHEMA)
    configuration["Scheduling"]["SlurmQueues"][0]["CapacityType"] = "RESERVED"  # type: ignore[index]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(configuration, parallelcluster.SCHEMA)


def test_slurm_nodes_have_efa_scratch_and_the_shared_file_system(clusters: dict[str, Documents]) -> None:
    gang, replicas = pcluster(clusters["slurm_gang"]), pcluster(clusters["slurm_replicas"])
    (queue,) = gang["Scheduling"]["SlurmQueues"]
    assert queue["ComputeResources"][0]["Efa"] == {"Enabled": True}
    assert queue["ComputeSettings"]["LocalStorage"]["EphemeralVolume"] == {"MountDir": "/scratch"}
    (shared,) = gang["SharedStorage"]
    assert shared["FsxLustreSettings"] == {
        "FileSystemId": "${data.terraform_remote_state.storage.outputs.shared_file_system_id}"
    }
    spot = replicas["Scheduling"]["SlurmQueues"][1]
    assert spot["ComputeResources"][0]["Efa"] == {"Enabled": False}
    assert "EphemeralVolume" not in spot["ComputeSettings"]["LocalStorage"]


# Names and the bill


def test_a20_names_stay_within_their_limits(tmp_path: Any) -> None:
    longest = "a" * 29
    for orchestrator in ("kubernetes", "slurm"):
        plan = example_plan(
            spec={
                "name": longest,
                "orchestrator": orchestrator,
                "rollout": {"validation_nodes": 2},
                "observability": {"notify": ["ops@example.com"], "metrics": True},
            },
            region="ap-northeast-1",
            zone="apne1-az4",
        )
        documents = synthesize(plan.model_copy(update={"name": longest}), tmp_path / orchestrator)
        for kind, limit in (
            ("aws_iam_role", 64),
            ("aws_iam_policy", 128),
            ("aws_eks_cluster", 100),
            ("aws_launch_template", 128),
            ("aws_s3_bucket", 63),
            ("aws_cloudwatch_metric_alarm", 255),
            ("aws_prometheus_scraper", 100),
            ("aws_sns_topic", 256),
        ):
            for resource in resources(documents, kind).values():
                # The account number stands where the reference is.
                given = (resource.get(key) for key in ("name", "bucket", "alarm_name", "alias"))
                name = next(filter(None, given)).replace(
                    "${data.aws_caller_identity.current.account_id}", "123456789012"
                )
                assert 3 <= len(name) <= limit, name
        for group in resources(documents, "aws_eks_node_group").values():
            assert len(group["node_group_name"]) <= 63


def test_every_billed_role_has_an_address(clusters: dict[str, Documents]) -> None:
    kubernetes = clusters["kubernetes_replicas"]["compute"]["addresses"]
    assert kubernetes["control_plane"] == "aws_eks_cluster.cluster"
    assert kubernetes["service_nodes"] == "aws_eks_node_group.system"
    assert kubernetes["compute_spot"] == "aws_eks_node_group.spot"
    block = clusters["bare_block"]["compute"]["addresses"]
    assert block["compute_capacity_block"] == "aws_autoscaling_group.capacity_block"
