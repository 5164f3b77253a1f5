"""Parts that all Azure stacks share: backend, provider, tags, outputs."""

from collections.abc import Sequence

from cdktf import App, TerraformOutput, TerraformResource, TerraformStack

from cdk.azure.provider import azurerm
from cdk.azure.tags import checked_tags
from cdk.naming import address
from planner.plan.plan import Plan
from stacks.clouds import StackRole, stack_id
from stacks.state import depend_on, name_provider_source, set_backend


def new_stack(app: App, plan: Plan, role: StackRole) -> TerraformStack:
    """Adds an empty stack with its backend and its provider."""
    stack = TerraformStack(app, stack_id(plan, role))
    set_backend(stack, plan)
    azurerm(stack)
    name_provider_source(stack, "azurerm")
    return stack


def add_output(
    stack: TerraformStack,
    name: str,
    value: object,
    description: str,
    *,
    after: Sequence[TerraformResource] = (),
) -> None:
    """Adds an output to a stack.

    Args:
        stack: The stack.
        name: Name of the output.
        value: Value, which may hold references.
        description: What the value is, for the reader of the document.
        after: Resources that must exist before other stacks may see the output.
    """
    output = TerraformOutput(stack, name, value=value, description=description)
    if after:
        depend_on(output, [address(resource) for resource in after])


def tags(plan: Plan) -> dict[str, str]:
    """Tags of every resource: the user's, and two of ours.

    Raises:
        ValueError: Azure would refuse a tag.
    """
    return checked_tags({**plan.spec.tags, "cluster": plan.name, "managed-by": "llmcluster"})
