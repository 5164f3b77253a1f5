"""Retention of blobs, the same for the storage accounts of checkpoints and of Terraform states."""

from cdktf_cdktf_provider_azurerm.storage_account import (
    StorageAccountBlobProperties,
    StorageAccountBlobPropertiesContainerDeleteRetentionPolicy,
    StorageAccountBlobPropertiesDeleteRetentionPolicy,
)
from cdktf_cdktf_provider_azurerm.storage_management_policy import (
    StorageManagementPolicy,
    StorageManagementPolicyRule,
    StorageManagementPolicyRuleActions,
    StorageManagementPolicyRuleActionsVersion,
    StorageManagementPolicyRuleFilters,
)
from constructs import Construct


def recoverable(days: int) -> StorageAccountBlobProperties:
    """Versioned blobs; deleted blobs and containers can be restored for `days` days."""
    return StorageAccountBlobProperties(
        versioning_enabled=True,
        delete_retention_policy=StorageAccountBlobPropertiesDeleteRetentionPolicy(days=days),
        container_delete_retention_policy=StorageAccountBlobPropertiesContainerDeleteRetentionPolicy(days=days),
    )


def old_versions_deleted(scope: Construct, construct_id: str, account_id: str, days: int) -> StorageManagementPolicy:
    """Adds a rule that deletes versions of blobs `days` days after their creation."""
    return StorageManagementPolicy(
        scope,
        construct_id,
        storage_account_id=account_id,
        rule=[
            StorageManagementPolicyRule(
                name="delete-old-versions",
                enabled=True,
                filters=StorageManagementPolicyRuleFilters(blob_types=["blockBlob"]),
                actions=StorageManagementPolicyRuleActions(
                    version=StorageManagementPolicyRuleActionsVersion(delete_after_days_since_creation=days)
                ),
            )
        ],
    )
