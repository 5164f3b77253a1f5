"""The Azure stacks: sound by the provider's schema, and obeying the cloud rules Z1 to Z9."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cdktf import App

from cdk.azure.sizes import vm_sizes
from planner.errors import SpecError
from planner.plan.choice import Purchase, SharedStorage
from planner.plan.layout import Layout
from planner.plan.performance import InferencePerformance
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from stacks.azure import AzureCluster
from stacks.hcl import readable_hcl
from tests.support.azure_schema import missing_outputs, problems, schema
from tests.support.azure_stacks import Documents, addresses, documents
from tests.support.plans import example_plan
from tests.support.terraform import Terraform

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

SCALE_SET = "azurerm_linux_virtual_machine_scale_set"


def serving(nodes_per_replica: int, **choice: Any) -> Plan:
    plan = example_plan("azure", layout=Layout(tensor=8, pipeline=nodes_per_replica, data=2), **choice)
    performance = InferencePerformance(
        engine="written for tests",
        ttft_ms=1.0,
        tpot_ms=1.0,
        prefill_ms=1.0,
        decode_step_ms=1.0,
        batch=1,
        max_concurrency=1,
        requests_per_s=1.0,
        tokens_per_s=1.0,
        tokens_per_s_per_gpu=1.0,
        breakdown_ms={},
    )
    return plan.model_copy(update={"performance": performance})


def single_nodes(*, reserved_nodes: int = 0, on_demand_nodes: int = 0, spot_nodes: int = 0) -> Plan:
    purchase = Purchase(reserved_nodes=reserved_nodes, on_demand_nodes=on_demand_nodes, spot_nodes=spot_nodes)
    nodes = reserved_nodes + on_demand_nodes + spot_nodes
    return example_plan(
        "azure",
        instance_type="Standard_NC24ads_A100_v4",
        gpu="A100-PCIe-80GB",
        nodes=nodes,
        multi_node=False,
        root_disk_gib=256,
        root_disk="network",
        purchase=purchase,
    )


GANG = example_plan("azure")
SPOT = example_plan("azure", purchase=Purchase(spot_nodes=4))
SIZE_500 = SharedStorage(
    sku="AMLFS-Durable-Premium-500",
    deployment_type="AMLFS-Durable-Premium-500",
    size_gib=4096,
    requested_gib=1200,
    throughput_mb_per_s=2000,
    throughput_mb_per_s_per_tib=500,
)
PLANS = {
    "gang": GANG,
    "spot gang": SPOT,
    "spot and on-demand replicas of two nodes": serving(2, purchase=Purchase(spot_nodes=2, on_demand_nodes=2)),
    "single nodes, bought three ways": single_nodes(reserved_nodes=2, on_demand_nodes=1, spot_nodes=1),
    "H100": example_plan("azure", instance_type="Standard_ND96isr_H100_v5", gpu="H100", nodes=2),
    "AMD": example_plan("azure", instance_type="Standard_ND96isr_MI300X_v5", gpu="MI300X", nodes=2),
    "no shared storage": example_plan("azure", shared_storage=None),
    "no zone, no shared storage": example_plan("azure", region="westus", zone=None, shared_storage=None),
    "other size, tags, s3 state": example_plan(
        "azure",
        shared_storage=SIZE_500,
        spec={"tags": {"team": "nlp"}, "state": {"backend": "s3", "bucket": "b", "region": "us-east-1"}},
    ),
    "azurerm state": example_plan(
        "azure", spec={"state": {"backend": "azurerm", "bucket": "tfstate", "resource_group": "rg-state"}}
    ),
}


def resources(found: Documents, kind: str) -> dict[str, Any]:
    return {
        name: body for document in found.values() for name, body in document.get("resource", {}).get(kind, {}).items()
    }


def every_resource(found: Documents) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for document in found.values():
        for kind, instances in document.get("resource", {}).items():
            for name, body in instances.items():
                yield kind, name, body


def refusal(plan: Plan) -> str:
    with pytest.raises(SpecError) as refused:
        AzureCluster().build(App(), plan, Catalog.load())
    message = str(refused.value)
    assert not re.search(r"\brules? [A-Z]\d", message), "a message states its rule in words"
    return message


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_stack_is_sound_by_the_providers_schema(plan: Plan) -> None:
    found = documents(plan)
    assert {role: problems(document) for role, document in found.items()} == {
        "network": [],
        "storage": [],
        "compute": [],
    }
    assert missing_outputs(found) == []


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_address_on_the_bill_is_a_resource_of_its_stack(plan: Plan) -> None:
    found = documents(plan)
    for role, by_cost_role in addresses(plan).items():
        for address in by_cost_role.values():
            kind, name = address.split(".")
            assert name in found[role]["resource"][kind]


def test_every_bought_node_is_on_the_bill_by_its_kind() -> None:
    compute = addresses(PLANS["single nodes, bought three ways"])["compute"]
    assert compute["compute_reserved"] == "azurerm_capacity_reservation.cluster"
    assert compute["compute_spot"] == f"{SCALE_SET}.spot"
    assert compute["compute_on_demand"] == f"{SCALE_SET}.on_demand"


def test_z1_a_gang_is_one_uniform_scale_set_in_one_placement_group() -> None:
    (nodes,) = resources(documents(GANG), SCALE_SET).values()
    assert nodes["single_placement_group"] is True
    assert nodes["overprovision"] is False
    assert nodes["instances"] == 4
    assert nodes["sku"] == "Standard_ND96asr_v4"


def test_z1_a_gang_is_not_split_between_spot_and_on_demand() -> None:
    message = refusal(example_plan("azure", purchase=Purchase(spot_nodes=2, on_demand_nodes=2)))
    assert "2 on-demand nodes cannot be divided into gangs of 4 nodes" in message
    assert "capacity.interruption" in message


def test_z1_replicas_are_not_split_between_scale_sets() -> None:
    assert "cannot be divided into gangs of 2 nodes" in refusal(
        serving(2, purchase=Purchase(spot_nodes=1, on_demand_nodes=3))
    )


def test_z1_a_placement_group_holds_100_nodes() -> None:
    message = refusal(example_plan("azure", nodes=101))
    assert "one placement group, which is one InfiniBand network, holds at most 100 VMs" in message


@pytest.mark.parametrize("purchase", [Purchase(reserved_nodes=4), Purchase(reserved_nodes=3, on_demand_nodes=1)])
def test_z2_a_gang_is_not_reserved_because_infiniband_and_reservations_exclude_each_other(purchase: Purchase) -> None:
    message = refusal(example_plan("azure", purchase=purchase))
    assert "reserved nodes cannot work together over InfiniBand" in message
    assert "Set capacity.reservation to none" in message


def test_z2_single_nodes_are_reserved_outside_a_placement_group() -> None:
    found = documents(PLANS["single nodes, bought three ways"])
    nodes = resources(found, SCALE_SET)["reserved"]
    assert nodes["single_placement_group"] is False
    assert "proximity_placement_group_id" not in nodes
    assert nodes["capacity_reservation_group_id"] == "${azurerm_capacity_reservation_group.cluster.id}"
    assert "azurerm_capacity_reservation.cluster" in nodes["depends_on"]
    (reservation,) = resources(found, "azurerm_capacity_reservation").values()
    assert reservation["sku"] == {"name": "Standard_NC24ads_A100_v4", "capacity": 2}
    assert reservation["zone"] == nodes["zones"][0]


def test_z2_sizes_that_take_no_reservation_are_refused() -> None:
    message = refusal(example_plan("azure", nodes=1, purchase=Purchase(reserved_nodes=1)))
    assert "Azure has no on-demand capacity reservation for Standard_ND96asr_v4" in message


def test_z4_image_is_ubuntu_hpc_with_the_drivers_of_the_gpu() -> None:
    for plan, sku in ((GANG, "2204"), (PLANS["AMD"], "2204-rocm")):
        (nodes,) = resources(documents(plan), SCALE_SET).values()
        image = nodes["source_image_reference"]
        assert (image["publisher"], image["offer"], image["sku"]) == ("microsoft-dsvm", "ubuntu-hpc", sku)


@pytest.mark.parametrize(("plan", "topology"), [(GANG, "ndv4"), (PLANS["H100"], "ndv5")], ids=["NDv4", "NDv5"])
def test_z4_nodes_know_the_topology_file_of_their_size(plan: Plan, topology: str) -> None:
    user_data = documents(plan)["compute"]["locals"]["user_data"]
    assert f"NCCL_TOPO_FILE=/opt/microsoft/{topology}/topo.xml" in user_data
    assert "NCCL_IB_PCI_RELAXED_ORDERING=1" in user_data


def test_z4_every_azure_instance_type_of_the_catalog_can_be_built() -> None:
    assert {name for provider, name in Catalog.load().instance_types if provider == "azure"} == set(vm_sizes())


def test_z6_lustre_stands_in_one_zone_with_its_nodes_and_has_a_maintenance_window() -> None:
    found = documents(GANG)
    (lustre,) = resources(found, "azurerm_managed_lustre_file_system").values()
    (nodes,) = resources(found, SCALE_SET).values()
    assert lustre["zones"] == nodes["zones"] == ["1"]
    assert lustre["storage_capacity_in_tb"] == 16
    assert set(lustre["maintenance_window"]) == {"day_of_week", "time_of_day_in_utc"}


def test_z6_lustre_has_a_subnet_of_its_own() -> None:
    found = documents(GANG)
    readers = [
        (kind, name)
        for kind, name, body in every_resource(found)
        if "lustre_subnet_id" in str(body) or "azurerm_subnet.lustre.id" in str(body)
    ]
    assert {kind for kind, _ in readers} == {
        "azurerm_managed_lustre_file_system",
        "azurerm_subnet_network_security_group_association",
        "azurerm_subnet_nat_gateway_association",
    }


@pytest.mark.parametrize("size_gib", [8192, 20000, 24576])
def test_z6_a_capacity_that_is_not_sold_is_refused(size_gib: int) -> None:
    shared = GANG.choice.shared_storage
    assert shared is not None
    message = refusal(example_plan("azure", shared_storage=shared.model_copy(update={"size_gib": size_gib})))
    assert f"is not sold with {size_gib} GiB; the next purchasable size is" in message


def test_z6_lustre_needs_a_zone() -> None:
    message = refusal(example_plan("azure", zone=None))
    assert "placement.zone" in message
    assert "a Managed Lustre file system is created in a zone" in message


def test_a_capacity_block_is_refused_because_azure_sells_none() -> None:
    assert "capacity.block" in refusal(example_plan("azure", purchase=Purchase(capacity_block_nodes=4)))


def test_z7_spot_nodes_are_evicted_for_capacity_only_and_deleted() -> None:
    (nodes,) = resources(documents(SPOT), SCALE_SET).values()
    assert (nodes["priority"], nodes["eviction_policy"], nodes["max_bid_price"]) == ("Spot", "Delete", -1)


def test_z7_regular_nodes_carry_no_spot_settings() -> None:
    (nodes,) = resources(documents(GANG), SCALE_SET).values()
    assert nodes["priority"] == "Regular"
    assert not {"eviction_policy", "max_bid_price"} & set(nodes)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_z8_the_only_public_address_is_the_nat_gateways(plan: Plan) -> None:
    found = documents(plan)
    assert set(resources(found, "azurerm_public_ip")) == {"nat"}
    for nodes in resources(found, SCALE_SET).values():
        assert "public_ip_address" not in str(nodes)
    for subnet in resources(found, "azurerm_subnet").values():
        assert subnet["default_outbound_access_enabled"] is False


def test_z8_every_subnet_denies_the_internet_and_egress_goes_through_nat() -> None:
    found = documents(GANG)
    subnets = set(resources(found, "azurerm_subnet"))
    assert set(resources(found, "azurerm_subnet_network_security_group_association")) == subnets
    assert set(resources(found, "azurerm_subnet_nat_gateway_association")) == {"compute", "lustre"}
    rules = resources(found, "azurerm_network_security_rule").values()
    assert all(rule["description"] for rule in rules)
    inbound = sorted((rule for rule in rules if rule["direction"] == "Inbound"), key=lambda rule: rule["priority"])
    assert inbound[-1]["access"] == "Deny"
    assert inbound[-1]["source_address_prefix"] == "Internet"
    assert all(rule["source_address_prefix"] not in ("*", "0.0.0.0/0", "Internet") for rule in inbound[:-1])


def test_z8_keys_cannot_be_purged_and_encrypt_files_and_checkpoints() -> None:
    found = documents(GANG)
    (vault,) = resources(found, "azurerm_key_vault").values()
    assert vault["purge_protection_enabled"] is True
    assert vault["network_acls"]["default_action"] == "Deny"
    (account,) = resources(found, "azurerm_storage_account").values()
    assert account["customer_managed_key"]["key_vault_key_id"] == "${azurerm_key_vault_key.data.versionless_id}"
    (lustre,) = resources(found, "azurerm_managed_lustre_file_system").values()
    assert lustre["encryption_key"]["key_url"] == "${azurerm_key_vault_key.data.id}"
    # Without the role in place Azure refuses both at creation.
    for user in (account, lustre):
        assert "azurerm_role_assignment.key_reader" in user["depends_on"]


def test_z8_checkpoints_are_private_versioned_and_without_keys() -> None:
    found = documents(GANG)
    (account,) = resources(found, "azurerm_storage_account").values()
    assert account["public_network_access_enabled"] is False
    assert account["shared_access_key_enabled"] is False
    assert account["allow_nested_items_to_be_public"] is False
    assert account["min_tls_version"] == "TLS1_2"
    assert account["blob_properties"]["versioning_enabled"] is True
    (endpoint,) = resources(found, "azurerm_private_endpoint").values()
    assert endpoint["private_service_connection"]["subresource_names"] == ["blob"]
    assert resources(found, "azurerm_storage_management_policy")


def test_z8_nodes_have_an_identity_that_reaches_checkpoints_only() -> None:
    compute = documents(GANG)["compute"]["resource"]
    (nodes,) = compute[SCALE_SET].values()
    assert nodes["identity"]["type"] == "UserAssigned"
    (role,) = compute["azurerm_role_assignment"].values()
    assert role["role_definition_name"] == "Storage Blob Data Contributor"
    assert role["scope"] == "${data.terraform_remote_state.storage.outputs.checkpoint_container_id}"


def test_z8_nobody_logs_on_with_a_password() -> None:
    (nodes,) = resources(documents(GANG), SCALE_SET).values()
    assert nodes["disable_password_authentication"] is True
    assert "admin_password" not in nodes
    assert "default" not in documents(GANG)["compute"]["variable"]["ssh_public_key"]


@pytest.mark.parametrize(
    ("plan", "ephemeral"), [(GANG, True), (single_nodes(on_demand_nodes=1), False)], ids=["NDv4", "NC24"]
)
def test_z8_the_os_disk_is_ephemeral_where_the_size_allows(plan: Plan, ephemeral: bool) -> None:
    (nodes,) = resources(documents(plan), SCALE_SET).values()
    assert ("diff_disk_settings" in nodes["os_disk"]) is ephemeral
    assert nodes["os_disk"]["caching"] == ("ReadOnly" if ephemeral else "ReadWrite")


def test_z9_globally_unique_names_end_in_digits_of_the_subscription() -> None:
    storage = documents(GANG)["storage"]
    (account,) = storage["resource"]["azurerm_storage_account"].values()
    (vault,) = storage["resource"]["azurerm_key_vault"].values()
    assert account["name"].endswith("${local.unique_suffix}")
    assert vault["name"].endswith("${local.unique_suffix}")
    assert "subscription_id" in storage["locals"]["unique_suffix"]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_everything_that_takes_tags_carries_those_of_the_cluster_and_of_the_user(plan: Plan) -> None:
    wanted = {"cluster": "example", "managed-by": "llmcluster", **plan.spec.tags}
    for kind, name, body in every_resource(documents(plan)):
        found = schema("resource", kind)
        if found and "tags" in found.arguments:
            assert body.get("tags") == wanted, f"{kind}.{name}"


def test_data_cannot_be_destroyed_by_accident() -> None:
    kept = {
        kind for kind, _, body in every_resource(documents(GANG)) if body.get("lifecycle", {}).get("prevent_destroy")
    }
    assert kept == {
        "azurerm_key_vault",
        "azurerm_key_vault_key",
        "azurerm_managed_lustre_file_system",
        "azurerm_storage_account",
        "azurerm_storage_container",
    }


def test_compute_holds_no_data_so_that_it_can_be_destroyed_alone() -> None:
    assert set(documents(PLANS["single nodes, bought three ways"])["compute"]["resource"]) == {
        SCALE_SET,
        "azurerm_capacity_reservation",
        "azurerm_capacity_reservation_group",
        "azurerm_role_assignment",
        "azurerm_user_assigned_identity",
    }


def test_a_change_of_the_model_reboots_no_running_node() -> None:
    (features,) = documents(GANG)["compute"]["provider"]["azurerm"][0]["features"]
    assert features["virtual_machine_scale_set"] == [
        {"roll_instances_when_required": False, "reimage_on_manual_upgrade": False}
    ]


def test_no_credentials_and_no_subscription_stand_in_the_documents() -> None:
    for document in documents(GANG).values():
        (provider,) = document["provider"]["azurerm"]
        assert set(provider) == {"features", "storage_use_azuread"}


def test_user_data_fits_and_mounts_the_file_system_of_the_storage_stack() -> None:
    found = documents(GANG)
    (nodes,) = found["compute"]["resource"][SCALE_SET].values()
    assert nodes["custom_data"] == "${base64encode(local.user_data)}"
    user_data = found["compute"]["locals"]["user_data"]
    assert user_data.startswith("#cloud-config\n")
    assert "${data.terraform_remote_state.storage.outputs.lustre_source}" in user_data
    # Compute REST API, OSProfile.customData: 65535 bytes.
    assert len(base64.b64encode(user_data.encode())) <= 65535


def test_unknown_instance_type_and_bad_network_name_their_field() -> None:
    assert "network.cidr" in refusal(example_plan("azure", spec={"network": {"cidr": "10.42.0.0/24"}}))
    assert "instance_type" in refusal(example_plan("azure", instance_type="Standard_ND40rs_v2"))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_nodes_start_with_their_rights_and_their_way_out_and_end_before_them(plan: Plan) -> None:
    # The identity of a node does not bring its role with it, nor a subnet its NAT gateway: Terraform makes and removes
    # side by side what no reference or depends_on puts in an order.
    found = documents(plan)
    network, storage, compute = (found[role] for role in ("network", "storage", "compute"))
    for nodes in compute["resource"][SCALE_SET].values():
        assert "azurerm_role_assignment.checkpoints" in nodes["depends_on"]
    kinds = (
        "azurerm_nat_gateway_public_ip_association",
        "azurerm_subnet_nat_gateway_association",
        "azurerm_subnet_network_security_group_association",
        "azurerm_private_dns_zone_virtual_network_link",
    )
    ways = {f"{kind}.{name}" for kind in kinds for name in network["resource"][kind]}
    told = {name: output for name, output in network["output"].items() if name.endswith("_subnet_id")}
    assert {"compute_subnet_id", "endpoints_subnet_id"} <= set(told)
    for output in told.values():
        assert set(output["depends_on"]) == ways
    # Nodes are told the container once its name leads to the private endpoint.
    assert storage["output"]["checkpoint_container_id"]["depends_on"] == ["azurerm_private_endpoint.checkpoints"]


@pytest.mark.parametrize("name", ["gang", "single nodes, bought three ways"])
def test_the_hcl_for_review_is_what_terraform_fmt_writes(terraform: Terraform, name: str, tmp_path: Path) -> None:
    for built in AzureCluster().build(App(outdir=str(tmp_path / "out")), PLANS[name], Catalog.load()):
        folder = tmp_path / built.role
        folder.mkdir()
        hcl = readable_hcl(built.stack.to_hcl_terraform()["hcl"], built.stack.to_terraform())
        (folder / "cdk.tf").write_text(hcl, encoding="utf-8")
        assert terraform.run(["fmt", "-check", "-diff", "-no-color"], folder).stdout == ""
