"""The storage stack: key, shared file system, checkpoints."""

from collections.abc import Mapping
from typing import Final

from cdktf import App, TerraformStack

from cdk.azure.storage import LUSTRE_MOUNT_NAME, SharedFileSystemConfig, StorageConfig, cluster_storage
from cdk.naming import address
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from stacks.azure.base import add_output, new_stack
from stacks.clouds import BuiltStack
from stacks.state import remote_state

GIB_PER_TIB: Final = 1024


def storage_stack(
    app: App,
    plan: Plan,
    catalog: Catalog,
    tags: Mapping[str, str],
    network_stack: TerraformStack,
    *,
    protect_data: bool,
) -> BuiltStack:
    """Adds the storage of `plan` to `app`; Terraform cannot destroy protected data.

    Raises:
        SpecError: Azure does not sell the shared file system in this size, or no zone is given for it.
    """
    stack = new_stack(app, plan, "storage")
    network = remote_state(stack, network_stack, plan)
    shared = None
    size_tib = capacity_tib(plan, catalog)
    if plan.choice.shared_storage and size_tib:
        shared = SharedFileSystemConfig(
            sku=plan.choice.shared_storage.sku,
            capacity_tib=size_tib,
            zone=_zone(plan),
            subnet_id=network.get_string("lustre_subnet_id"),
        )
    storage = cluster_storage(
        stack,
        StorageConfig(
            cluster=plan.name,
            region=plan.choice.region,
            resource_group_name=network.get_string("resource_group_name"),
            endpoint_subnet_id=network.get_string("endpoints_subnet_id"),
            blob_dns_zone_id=network.get_string("blob_dns_zone_id"),
            shared=shared,
            protect=protect_data and plan.spec.storage.keep_on_destroy,
            tags=tags,
        ),
    )
    # No node starts, and no right is granted, before the container can be reached.
    add_output(
        stack,
        "checkpoint_container_id",
        storage.container.id,
        "Resource id of the checkpoint container",
        after=[storage.endpoint],
    )
    add_output(
        stack,
        "checkpoint_container_url",
        f"{storage.account.primary_blob_endpoint}{storage.container.name}",
        "URL of the checkpoint container, for azcopy and for the Azure SDKs with the identity of a node",
    )
    addresses = {
        "encryption_key": address(storage.key),
        "checkpoint_storage": address(storage.account),
        "private_endpoint": address(storage.endpoint),
        "private_endpoint_data": address(storage.endpoint),
    }
    if storage.shared:
        add_output(
            stack,
            "lustre_source",
            f"{storage.shared.mgs_address}@tcp:/{LUSTRE_MOUNT_NAME}",
            "Mount source of the shared file system: its management address and its name",
        )
        addresses["shared_storage"] = address(storage.shared)
    return BuiltStack("storage", stack, addresses)


def capacity_tib(plan: Plan, catalog: Catalog) -> int | None:
    """Capacity of the shared file system in TiB; None without one.

    Raises:
        SpecError: Azure does not sell the file system in this size (rule Z6).
    """
    shared = plan.choice.shared_storage
    if shared is None:
        return None
    legal_gib = catalog.shared_file_system("azure", shared.sku).legal_size_gib(shared.size_gib)
    if legal_gib != shared.size_gib or shared.size_gib % GIB_PER_TIB:
        raise SpecError(
            f"storage.shared_tib: {shared.sku} is not sold with {shared.size_gib} GiB; "
            f"the next purchasable size is {legal_gib // GIB_PER_TIB} TiB"
        )
    return shared.size_gib // GIB_PER_TIB


def _zone(plan: Plan) -> str:
    # Rule Z6.
    if plan.choice.zone is None:
        raise SpecError(
            f"placement.zone: none given for region {plan.choice.region}, but a Managed Lustre file system is created "
            "in a zone; give a zone number such as 1, in a region that has zones"
        )
    return plan.choice.zone
