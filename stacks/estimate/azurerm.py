"""Meters of the resources of the AzureRM provider: a reader for each kind of resource."""

from typing import Final

from stacks.estimate.documents import Resource
from stacks.estimate.meters import (
    Context,
    Meter,
    NotPriced,
    Reader,
    Reading,
    by_use,
    disk_meters,
    nat_gateway,
    node_meters,
    public_address,
)

PROVIDER: Final = "azure"
GIB_PER_TIB: Final = 1024
FREE: Final = frozenset(
    {
        "azurerm_capacity_reservation_group",
        "azurerm_key_vault",
        "azurerm_nat_gateway_public_ip_association",
        "azurerm_network_security_group",
        "azurerm_network_security_rule",
        "azurerm_private_dns_zone_virtual_network_link",
        "azurerm_resource_group",
        "azurerm_role_assignment",
        "azurerm_storage_container",
        "azurerm_storage_management_policy",
        "azurerm_subnet",
        "azurerm_subnet_nat_gateway_association",
        "azurerm_subnet_network_security_group_association",
        "azurerm_user_assigned_identity",
        "azurerm_virtual_network",
    }
)
"""Kinds of resources that Azure does not bill by themselves; a vault is billed through its keys and operations."""


def _key(resource: Resource, _: Context) -> Reading:
    if resource.text("key_type").endswith("-HSM"):
        return [NotPriced("keys in hardware security modules have no price in the catalog")]
    return [Meter("encryption_key", "key", "encryption_key_month", resource.count, "key-month")]


def _account(resource: Resource, context: Context) -> Reading:
    kind = (resource.text("account_tier"), resource.text("account_replication_type"), resource.text("access_tier"))
    if kind[:2] != ("Standard", "LRS") or kind[2] not in ("Hot", ""):
        return [NotPriced(f"storage of kind {' '.join(kind)} has no price in the catalog; Standard LRS Hot has")]
    return by_use(context, "checkpoint_storage", "blobs in the account", "object_storage_gb_month", "GiB-month")


def _lustre(resource: Resource, _: Context) -> Reading:
    size_tib, sku = resource.number("storage_capacity_in_tb"), resource.text("sku_name")
    if size_tib is None or not sku:
        return [NotPriced("storage_capacity_in_tb or sku_name is not known before apply")]
    # The argument says "tb", but the service means TiB (Create an Azure Managed Lustre file system, Microsoft Learn).
    return [Meter("shared_storage", f"Lustre {sku}", sku, size_tib * GIB_PER_TIB * resource.count, "GiB-month")]


def _endpoint(resource: Resource, context: Context) -> Reading:
    hourly = Meter("private_endpoint", "private endpoint", "private_endpoint_hour", resource.count, "hour")
    role, name = "private_endpoint_data", "data through the endpoint"
    return [hourly, *by_use(context, role, name, "private_endpoint_gb", "GB-month")]


def _dns_zone(resource: Resource, _: Context) -> Reading:
    return [Meter("private_dns_zone", "private DNS zone", "private_dns_zone_month", resource.count, "zone-month")]


def _reservation(resource: Resource, context: Context) -> Reading:
    sku = resource.block("sku")
    if not sku.get("name") or sku.get("capacity") is None:
        return [NotPriced("sku is not known before apply")]
    return node_meters(context, "reserved", str(sku["name"]), float(sku["capacity"]) * resource.count)


def _scale_set(resource: Resource, context: Context) -> Reading:
    nodes, instance_type = resource.number("instances"), resource.text("sku")
    if nodes is None or not instance_type:
        return [NotPriced("instances or sku is not known before apply")]
    nodes *= resource.count
    if context.resources.linked(resource, "azurerm_capacity_reservation_group") is not None:
        meters: Reading = []  # the reservation is billed, with or without nodes in it
    elif resource.text("priority", "Regular") == "Spot":
        meters = node_meters(context, "spot", instance_type, nodes)
    else:
        meters = node_meters(context, "on_demand", instance_type, nodes)
    return [*meters, *_root_disks(resource, context, instance_type, nodes)]


def _root_disks(resource: Resource, context: Context, instance_type: str, nodes: float) -> Reading:
    disk = resource.block("os_disk")
    if disk.get("diff_disk_settings"):
        return []  # the disk is on the host's own disk, which is free
    if disk.get("storage_account_type") != "Premium_LRS" or not disk.get("disk_size_gb"):
        return [NotPriced("only Premium_LRS disks of a stated size have a price in the catalog")]
    return disk_meters(context, instance_type, nodes * float(disk["disk_size_gb"]))


OFFERS: Final[dict[str, str]] = {}
"""Kinds of data sources for something that can be bought, and the kinds of resources that buy it."""
OUTPUTS: Final[dict[str, Reader]] = {}
"""Readers of the outputs from which another tool builds billed resources."""
READERS: Final[dict[str, Reader]] = {
    "azurerm_capacity_reservation": _reservation,
    "azurerm_key_vault_key": _key,
    "azurerm_linux_virtual_machine_scale_set": _scale_set,
    "azurerm_managed_lustre_file_system": _lustre,
    "azurerm_nat_gateway": nat_gateway,
    "azurerm_private_dns_zone": _dns_zone,
    "azurerm_private_endpoint": _endpoint,
    "azurerm_public_ip": public_address,
    "azurerm_storage_account": _account,
}
