"""The stack that is deployed before all others on Azure: the storage account in which their states live."""

from cdktf import App, LocalBackend, TerraformOutput, TerraformStack

from cdk.azure.names import checked_tags
from cdk.azure.provider import azurerm
from cdk.azure.states import StatesConfig, states
from planner.errors import SpecError
from planner.spec import ClusterSpec
from stacks.state import LOCAL_STATE_FOLDER, name_provider_source


def state_stack(app: App, spec: ClusterSpec) -> TerraformStack:
    """Adds group, account and container of `spec.state`. Its own state is a local file beside those of the stacks.

    Raises:
        SpecError: the region is missing, or Azure refuses a name or a tag.
    """
    state = spec.state
    if state.bucket is None or state.resource_group is None or state.region is None:
        raise SpecError("state.region is missing: the storage account of the states needs one, such as eastus")
    try:
        config = StatesConfig(
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
    built = states(stack, config)
    for name, value, description in (
        ("storage_account", built.account.name, "state.bucket of the specs"),
        ("container_id", built.container.id, "Scope of the role Storage Blob Data Contributor for all who apply"),
    ):
        TerraformOutput(stack, name, value=value, description=description)
    return stack
