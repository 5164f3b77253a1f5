"""The schema check of Azure documents, and that it can fail."""

import copy
from typing import Any

import pytest

from tests.support.azure_schema import missing_outputs, problems, resource_types, schema

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

SOUND: dict[str, Any] = {
    "provider": {"azurerm": [{"features": [{}]}]},
    "variable": {"zone": {"type": "string"}},
    "resource": {
        "azurerm_resource_group": {"cluster": {"name": "rg", "location": "eastus", "tags": {"a": "b"}}},
        "azurerm_public_ip": {
            "nat": {
                "name": "pip",
                "location": "${azurerm_resource_group.cluster.location}",
                "resource_group_name": "${azurerm_resource_group.cluster.name}",
                "allocation_method": "Static",
                "zones": ["${var.zone}"],
                "depends_on": ["azurerm_resource_group.cluster"],
                "lifecycle": {"prevent_destroy": True},
            }
        },
        "azurerm_managed_lustre_file_system": {
            "shared": {
                "name": "amlfs",
                "location": "eastus",
                "resource_group_name": "rg",
                "sku_name": "AMLFS-Durable-Premium-250",
                "storage_capacity_in_tb": 8,
                "subnet_id": "/subscriptions/s",
                "zones": ["1"],
                "maintenance_window": {"day_of_week": "Friday", "time_of_day_in_utc": "22:00"},
            }
        },
    },
    "output": {"address": {"value": "${azurerm_public_ip.nat.ip_address}"}},
}


def broken(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(SOUND)
    *way, last = path.split("/")
    node = document
    for step in way:
        node = node[step]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return document


NAT = "resource/azurerm_public_ip/nat"
LUSTRE = "resource/azurerm_managed_lustre_file_system/shared"


@pytest.mark.slow
def test_a_sound_document_has_no_problems() -> None:
    assert problems(SOUND) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{NAT}/allocation", "Static", "unknown argument 'allocation'"),
        (f"{NAT}/allocation_method", None, "required argument 'allocation_method' is missing"),
        (f"{NAT}/name", 7, "expected a string, found int 7"),
        (f"{NAT}/zones", "1", "expected a list, found str '1'"),
        (f"{NAT}/tags", ["a"], "expected a map"),
        (f"{LUSTRE}/storage_capacity_in_tb", "8", "expected a number, found str '8'"),
        (f"{LUSTRE}/storage_capacity_in_tb", True, "expected a number, found bool True"),
        (f"{LUSTRE}/maintenance_window/time_of_day_utc", "1", "unknown argument 'time_of_day_utc'"),
        (f"{LUSTRE}/maintenance_window/day_of_week", None, "required argument 'day_of_week' is missing"),
        (f"{LUSTRE}/maintenance_window", "Friday", "expected a block"),
        (f"{LUSTRE}/maintenance_window", [{"day_of_week": "a", "time_of_day_in_utc": "b"}] * 2, "one block is allowed"),
        ("resource/azurerm_moon", {"base": {}}, "azurerm has no resource azurerm_moon"),
        (f"{NAT}/resource_group_name", "${azurerm_resource_group.other.name}", "other is not in the document"),
        (f"{NAT}/resource_group_name", "${azurerm_resource_group.cluster.title}", "no attribute 'title'"),
        (f"{NAT}/name", '${join("-", [azurerm_resource_group.cluster.title])}', "no attribute 'title'"),
        (f"{NAT}/name", "pip-${var.suffix}", "var.suffix is not declared"),
        (f"{NAT}/depends_on", ["azurerm_subnet.compute"], "azurerm_subnet.compute is not in the document"),
        ("output/address/value", "${azurerm_public_ip.gone.id}", "azurerm_public_ip.gone is not in the document"),
        ("provider/azurerm", [{"region": "eastus"}], "unknown argument 'region'"),
        (
            "resource/azurerm_resource_group/cluster/location",
            "${azurerm_public_ip.nat.location}",
            "cycle: azurerm_resource_group.cluster -> azurerm_public_ip.nat -> azurerm_resource_group.cluster",
        ),
    ],
)
def test_faults_that_azurerm_or_terraform_would_refuse_are_found(path: str, value: Any, said: str) -> None:
    assert any(said in problem for problem in problems(broken(path, value)))


def test_an_output_that_the_other_stack_lacks_is_found() -> None:
    reader = {"resource": {"azurerm_subnet": {"a": {"name": "${data.terraform_remote_state.network.outputs.vnet}"}}}}
    assert missing_outputs({"network": {"output": {"vnet": {}}}, "storage": reader}) == []
    (problem,) = missing_outputs({"network": {"output": {}}, "storage": reader})
    assert "network.outputs.vnet" in problem


def test_the_schema_is_the_providers() -> None:
    # 4.55.0 has over a thousand resources; these names and their quirks are in its documentation.
    assert len(resource_types()) > 1000
    lustre = schema("resource", "azurerm_managed_lustre_file_system")
    assert lustre is not None
    assert {name for name, argument in lustre.arguments.items() if argument.required} == {
        "name",
        "resource_group_name",
        "location",
        "maintenance_window",
        "sku_name",
        "storage_capacity_in_tb",
        "subnet_id",
        "zones",
    }
    assert "mgs_address" in lustre.attributes
    assert "mgs_address" not in lustre.arguments
