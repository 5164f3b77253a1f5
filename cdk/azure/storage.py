"""Storage that outlives the nodes: shared file system, checkpoints, and the key that encrypts both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cdktf import Fn, TerraformLocal, TerraformResourceLifecycle, TerraformVariable
from cdktf_cdktf_provider_azurerm.data_azurerm_client_config import DataAzurermClientConfig
from cdktf_cdktf_provider_azurerm.key_vault import KeyVault, KeyVaultNetworkAcls
from cdktf_cdktf_provider_azurerm.key_vault_key import KeyVaultKey
from cdktf_cdktf_provider_azurerm.managed_lustre_file_system import (
    ManagedLustreFileSystem,
    ManagedLustreFileSystemEncryptionKey,
    ManagedLustreFileSystemIdentity,
    ManagedLustreFileSystemMaintenanceWindow,
)
from cdktf_cdktf_provider_azurerm.private_endpoint import (
    PrivateEndpoint,
    PrivateEndpointPrivateDnsZoneGroup,
    PrivateEndpointPrivateServiceConnection,
)
from cdktf_cdktf_provider_azurerm.role_assignment import RoleAssignment
from cdktf_cdktf_provider_azurerm.storage_account import (
    StorageAccount,
    StorageAccountCustomerManagedKey,
    StorageAccountIdentity,
)
from cdktf_cdktf_provider_azurerm.storage_container import StorageContainer
from cdktf_cdktf_provider_azurerm.user_assigned_identity import UserAssignedIdentity
from constructs import Construct

from cdk.azure.blobs import old_versions_deleted, recoverable
from cdk.azure.resource_names import SUFFIX_LENGTH, key_vault_name, storage_account_name
from cdk.naming import named

LUSTRE_MOUNT_NAME: Final = "lustrefs"
"""Name under which every Managed Lustre file system is exported (learn.microsoft.com, connect clients)."""

OLD_VERSIONS_KEPT_DAYS: Final = 30
DELETED_BLOBS_KEPT_DAYS: Final = 7

# The service requires a weekly maintenance window of 30 minutes and has no default.
_MAINTENANCE_DAY: Final = "Sunday"
_MAINTENANCE_TIME_UTC: Final = "03:00"


@dataclass(frozen=True)
class SharedFileSystemConfig:
    """A Managed Lustre file system. SKU, capacity and zone cannot be changed after it is created."""

    sku: str
    capacity_tib: int
    zone: str
    subnet_id: str


@dataclass(frozen=True)
class StorageConfig:
    """Settings of the storage."""

    cluster: str
    region: str
    resource_group_name: str
    endpoint_subnet_id: str
    blob_dns_zone_id: str
    shared: SharedFileSystemConfig | None
    protect: bool
    """Whether Terraform refuses to destroy the vault, the key, the checkpoints and the file system."""
    tags: Mapping[str, str]


@dataclass(frozen=True)
class ClusterStorage:
    """Resources to which other stacks refer."""

    key: KeyVaultKey
    account: StorageAccount
    container: StorageContainer
    endpoint: PrivateEndpoint
    shared: ManagedLustreFileSystem | None


def cluster_storage(scope: Construct, config: StorageConfig) -> ClusterStorage:
    """Adds vault and key, checkpoint storage with its private endpoint, and the shared file system if asked for.

    Raises:
        ValueError: no valid name of a storage account or vault can be made from the cluster's name.
    """
    client = DataAzurermClientConfig(scope, "current")
    unique = TerraformLocal(
        scope,
        "unique_suffix",
        Fn.substr(Fn.sha256(Fn.join("/", [client.subscription_id, config.cluster])), 0, SUFFIX_LENGTH),
    )
    reader = UserAssignedIdentity(
        scope,
        "encryption",
        name=f"id-{config.cluster}-encryption",
        resource_group_name=config.resource_group_name,
        location=config.region,
        tags=dict(config.tags),
    )
    vault, key, may_use_key = _encryption_key(scope, config, client, unique.as_string, reader)
    account, container = _checkpoints(scope, config, unique.as_string, reader, key, may_use_key)
    endpoint = PrivateEndpoint(
        scope,
        "checkpoints_endpoint",
        name=f"pe-{config.cluster}-checkpoints",
        resource_group_name=config.resource_group_name,
        location=config.region,
        subnet_id=config.endpoint_subnet_id,
        private_service_connection=PrivateEndpointPrivateServiceConnection(
            name="blob",
            private_connection_resource_id=account.id,
            subresource_names=["blob"],
            is_manual_connection=False,
        ),
        private_dns_zone_group=PrivateEndpointPrivateDnsZoneGroup(
            name="blob", private_dns_zone_ids=[config.blob_dns_zone_id]
        ),
        tags=dict(config.tags),
    )
    named(endpoint, "checkpoints")
    shared = None
    if config.shared is not None:
        shared = _shared_file_system(scope, config, config.shared, reader, vault, key, may_use_key)
    return ClusterStorage(key=key, account=account, container=container, endpoint=endpoint, shared=shared)


def _encryption_key(
    scope: Construct,
    config: StorageConfig,
    client: DataAzurermClientConfig,
    suffix: str,
    reader: UserAssignedIdentity,
) -> tuple[KeyVault, KeyVaultKey, RoleAssignment]:
    runners = TerraformVariable(
        scope,
        "key_vault_client_cidrs",
        type="list(string)",
        nullable=False,
        description=(
            "Public addresses or CIDR blocks from which Terraform runs and may reach the Key Vault, "
            'such as ["203.0.113.7"]; [] if it runs on a trusted Azure service'
        ),
    )
    vault = KeyVault(
        scope,
        "vault",
        name=key_vault_name(config.cluster, suffix),
        resource_group_name=config.resource_group_name,
        location=config.region,
        tenant_id=client.tenant_id,
        sku_name="standard",
        rbac_authorization_enabled=True,
        # Storage accounts and Managed Lustre refuse a key that could be deleted for good.
        purge_protection_enabled=True,
        soft_delete_retention_days=90,
        network_acls=KeyVaultNetworkAcls(
            # Both services fetch the key as trusted Azure services; they cannot use a private endpoint for it.
            bypass="AzureServices",
            default_action="Deny",
            ip_rules=runners.list_value,
        ),
        tags=dict(config.tags),
        lifecycle=_lifecycle(config),
    )
    named(vault, "encryption")
    may_create_key = RoleAssignment(
        scope,
        "key_administrator",
        description="Whoever runs Terraform creates and reads the key",
        scope=vault.id,
        role_definition_name="Key Vault Crypto Officer",
        principal_id=client.object_id,
    )
    key = KeyVaultKey(
        scope,
        "data",
        name="data",
        key_vault_id=vault.id,
        # Managed Lustre accepts 2048-bit RSA keys only (learn.microsoft.com, customer-managed keys).
        key_type="RSA",
        key_size=2048,
        key_opts=["wrapKey", "unwrapKey"],
        tags=dict(config.tags),
        depends_on=[may_create_key],
        lifecycle=_lifecycle(config),
    )
    may_use_key = RoleAssignment(
        scope,
        "key_reader",
        description="Checkpoints and shared file system wrap and unwrap their data keys",
        scope=vault.id,
        role_definition_name="Key Vault Crypto Service Encryption User",
        principal_id=reader.principal_id,
        principal_type="ServicePrincipal",
    )
    return vault, key, may_use_key


def _checkpoints(
    scope: Construct,
    config: StorageConfig,
    suffix: str,
    reader: UserAssignedIdentity,
    key: KeyVaultKey,
    may_use_key: RoleAssignment,
) -> tuple[StorageAccount, StorageContainer]:
    account = StorageAccount(
        scope,
        "checkpoints",
        name=storage_account_name(config.cluster, suffix),
        resource_group_name=config.resource_group_name,
        location=config.region,
        account_kind="StorageV2",
        account_tier="Standard",
        account_replication_type="LRS",
        access_tier="Hot",
        min_tls_version="TLS1_2",
        https_traffic_only_enabled=True,
        public_network_access_enabled=False,
        allow_nested_items_to_be_public=False,
        cross_tenant_replication_enabled=False,
        # The account accepts managed identities only, neither account keys nor local users.
        shared_access_key_enabled=False,
        default_to_oauth_authentication=True,
        local_user_enabled=False,
        blob_properties=recoverable(DELETED_BLOBS_KEPT_DAYS),
        identity=StorageAccountIdentity(type="UserAssigned", identity_ids=[reader.id]),
        customer_managed_key=StorageAccountCustomerManagedKey(
            # Without a version, the account follows the key when it is rotated.
            key_vault_key_id=key.versionless_id,
            user_assigned_identity_id=reader.id,
        ),
        tags=dict(config.tags),
        depends_on=[may_use_key],
        lifecycle=_lifecycle(config),
    )
    container = StorageContainer(
        scope,
        "checkpoints_container",
        name="checkpoints",
        storage_account_id=account.id,
        container_access_type="private",
        lifecycle=_lifecycle(config),
    )
    named(container, "checkpoints")
    policy = old_versions_deleted(scope, "checkpoints_policy", account.id, OLD_VERSIONS_KEPT_DAYS)
    named(policy, "checkpoints")
    return account, container


def _shared_file_system(
    scope: Construct,
    config: StorageConfig,
    shared: SharedFileSystemConfig,
    reader: UserAssignedIdentity,
    vault: KeyVault,
    key: KeyVaultKey,
    may_use_key: RoleAssignment,
) -> ManagedLustreFileSystem:
    return ManagedLustreFileSystem(
        scope,
        "shared",
        name=f"amlfs-{config.cluster}",
        resource_group_name=config.resource_group_name,
        location=config.region,
        zones=[shared.zone],
        sku_name=shared.sku,
        storage_capacity_in_tb=shared.capacity_tib,
        subnet_id=shared.subnet_id,
        maintenance_window=ManagedLustreFileSystemMaintenanceWindow(
            day_of_week=_MAINTENANCE_DAY, time_of_day_in_utc=_MAINTENANCE_TIME_UTC
        ),
        identity=ManagedLustreFileSystemIdentity(type="UserAssigned", identity_ids=[reader.id]),
        encryption_key=ManagedLustreFileSystemEncryptionKey(key_url=key.id, source_vault_id=vault.id),
        tags=dict(config.tags),
        depends_on=[may_use_key],
        lifecycle=_lifecycle(config),
    )


def _lifecycle(config: StorageConfig) -> TerraformResourceLifecycle | None:
    return TerraformResourceLifecycle(prevent_destroy=True) if config.protect else None
