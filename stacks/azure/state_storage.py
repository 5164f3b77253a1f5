"""The stack of the storage account that holds the Terraform states of all other stacks. It is deployed first."""

from cdktf import App, LocalBackend, TerraformOutput, TerraformStack

from cdk.azure.provider import azurerm
from cdk.azure.state_storage import StateStorageConfig, state_storage
from cdk.azure.tags import checked_tags
from planner.errors import SpecError
from planner.spec import ClusterSpec
from stacks.state import LOCAL_STATE_FOLDER, name_provider_source


def state_stack(app: App, spec: ClusterSpec) -> TerraformStack:
    """Adds resource group, account and container of `spec.state`. The state of this stack is a local file.

    Raises:
        SpecError: the region is missing, or Azure refuses a name or a tag.
    """
    state = spec.state
    if state.bucket is None or state.resource_group is None or state.region is None:
        raise SpecError("state.region: missing; the storage account of the states needs a region, such as eastus")
    try:
        config = StateStorageConfig(
            account=state.bucket,
            container=state.container,
            resource_group=state.resource_group,
            region=state.region,
            tags=checked_tags({**spec.tags, "managed-by": "llmcluster"}),
        )
    except ValueError as error:
        raise SpecError(str(error)) from error
    stack = TerraformStack(app, config.account)
    LocalBackend(stack, path=f"{LOCAL_STATE_FOLDER}/{config.account}.tfstate")
    azurerm(stack)
    name_provider_source(stack, "azurerm")
    built = state_storage(stack, config)
    for name, value, description in (
        ("storage_account", built.account.name, "Name of the storage account, for state.bucket of the specs"),
        (
            "container_id",
            built.container.id,
            "Scope at which all who run Terraform need the role Storage Blob Data Contributor",
        ),
    ):
        TerraformOutput(stack, name, value=value, description=description)
    return stack
