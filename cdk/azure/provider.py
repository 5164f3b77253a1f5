"""The azurerm provider block, the same in every stack."""

from cdktf_cdktf_provider_azurerm.provider import (
    AzurermProvider,
    AzurermProviderFeatures,
    AzurermProviderFeaturesKeyVault,
    AzurermProviderFeaturesResourceGroup,
    AzurermProviderFeaturesStorage,
    AzurermProviderFeaturesVirtualMachineScaleSet,
)
from constructs import Construct


def azurerm(scope: Construct) -> AzurermProvider:
    """Adds the provider. Subscription and credentials come from ARM_SUBSCRIPTION_ID, the Azure CLI or OIDC."""
    return AzurermProvider(
        scope,
        "azurerm",
        storage_use_azuread=True,
        features=[
            AzurermProviderFeatures(
                # Purge protection forbids the purge that the provider would try on destroy.
                key_vault=[
                    AzurermProviderFeaturesKeyVault(
                        purge_soft_delete_on_destroy=False,
                        purge_soft_deleted_keys_on_destroy=False,
                        recover_soft_deleted_key_vaults=True,
                        recover_soft_deleted_keys=True,
                    )
                ],
                resource_group=[AzurermProviderFeaturesResourceGroup(prevent_deletion_if_contains_resources=True)],
                # The account has no public endpoint, so that Terraform can read it through Resource Manager only.
                storage=[AzurermProviderFeaturesStorage(data_plane_available=False)],
                # If this were on, any change of the scale set's model would reimage nodes in the middle of a job.
                virtual_machine_scale_set=[
                    AzurermProviderFeaturesVirtualMachineScaleSet(
                        roll_instances_when_required=False, reimage_on_manual_upgrade=False
                    )
                ],
            )
        ],
    )
