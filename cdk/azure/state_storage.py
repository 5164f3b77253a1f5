"""The storage account that holds the Terraform states of all stacks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cdktf import TerraformResourceLifecycle, TerraformVariable
from cdktf_cdktf_provider_azurerm.data_azurerm_client_config import DataAzurermClientConfig
from cdktf_cdktf_provider_azurerm.resource_group import ResourceGroup
from cdktf_cdktf_provider_azurerm.role_assignment import RoleAssignment
from cdktf_cdktf_provider_azurerm.storage_account import (
    StorageAccount,
    StorageAccountNetworkRules,
)
from cdktf_cdktf_provider_azurerm.storage_container import StorageContainer
from constructs import Construct

from cdk.azure.blobs import old_versions_deleted, recoverable
from cdk.naming import named

STATE_DAYS: Final = 365
"""Days for which an earlier or a deleted state can be restored; soft delete keeps no blob longer."""

# learn.microsoft.com, "Naming rules and restrictions for Azure resources".
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_GROUP: Final = re.compile(r"[\w().-]{0,89}[\w()-]")


@dataclass(frozen=True)
class StateStorageConfig:
    """Names and place of the storage of the states."""

    account: str
    container: str
    resource_group: str
    region: str
    tags: Mapping[str, str]

    def __post_init__(self) -> None:
        """Checks the names.

        Raises:
            ValueError: Azure would refuse a name; the message has the field of the spec, its value and the rule.
        """
        rules = (
            ("state.bucket", self.account, _ACCOUNT, "3 to 24 lower-case letters and digits"),
            ("state.container", self.container, _CONTAINER, "3 to 63 lower-case letters, digits and single hyphens"),
            ("state.resource_group", self.resource_group, _GROUP, "1 to 90 letters, digits and _().- without a last ."),
        )
        for field, value, rule, allowed in rules:
            if not rule.fullmatch(value):
                raise ValueError(f"{field} is {value!r}, which Azure refuses as a name; allowed are {allowed}")


@dataclass(frozen=True)
class StateStorage:
    """Resources that the outputs of the stack name."""

    account: StorageAccount
    container: StorageContainer


def state_storage(scope: Construct, config: StateStorageConfig) -> StateStorage:
    """Adds the resource group, the account, its container, and the role that lets the one who applies it write states.

    The account accepts identities only, no account keys.
    """
    cidrs = TerraformVariable(
        scope,
        "client_cidrs",
        type="list(string)",
        nullable=False,
        description=(
            "Public addresses, or CIDR blocks of /30 and larger, from which Terraform runs, such as "
            '["203.0.113.7"]; [] if it runs in client_subnet_ids only'
        ),
    )
    subnets = TerraformVariable(
        scope,
        "client_subnet_ids",
        type="list(string)",
        default=[],
        nullable=False,
        description="Subnets in which Terraform runs; they need the service endpoint Microsoft.Storage",
    )
    kept = TerraformResourceLifecycle(prevent_destroy=True)
    group = named(
        ResourceGroup(
            scope, "group", name=config.resource_group, location=config.region, tags=dict(config.tags), lifecycle=kept
        ),
        "states",
    )
    account = named(
        StorageAccount(
            scope,
            "account",
            name=config.account,
            resource_group_name=group.name,
            location=group.location,
            account_kind="StorageV2",
            account_tier="Standard",
            # ZRS keeps copies in three zones: a state is small and irreplaceable.
            account_replication_type="ZRS",
            min_tls_version="TLS1_2",
            https_traffic_only_enabled=True,
            allow_nested_items_to_be_public=False,
            cross_tenant_replication_enabled=False,
            # The backend signs in with an identity (use_azuread_auth), so that no keys are needed.
            shared_access_key_enabled=False,
            default_to_oauth_authentication=True,
            local_user_enabled=False,
            network_rules=StorageAccountNetworkRules(
                default_action="Deny",
                bypass=["None"],
                ip_rules=cidrs.list_value,
                virtual_network_subnet_ids=subnets.list_value,
            ),
            blob_properties=recoverable(STATE_DAYS),
            tags=dict(config.tags),
            lifecycle=kept,
        ),
        "states",
    )
    container = named(
        StorageContainer(
            scope,
            "container",
            name=config.container,
            storage_account_id=account.id,
            container_access_type="private",
            lifecycle=kept,
        ),
        "states",
    )
    policy = old_versions_deleted(scope, "policy", account.id, STATE_DAYS)
    named(policy, "states")
    writer = RoleAssignment(
        scope,
        "writer",
        description="Whoever runs Terraform reads and writes states; owning the account gives no right to its blobs",
        scope=container.id,
        role_definition_name="Storage Blob Data Contributor",
        principal_id=DataAzurermClientConfig(scope, "current").object_id,
    )
    named(writer, "states")
    return StateStorage(account, container)
