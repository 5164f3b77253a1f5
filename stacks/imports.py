"""Import blocks from the spec: the next apply takes existing resources over instead of creating them."""

from collections.abc import Iterable

from cdktf import TerraformResource

from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.suggestions import did_you_mean
from provider_catalog.text import shortened, terraform_literal
from stacks.clouds import BuiltStack


def add_import_blocks(plan: Plan, stacks: Iterable[BuiltStack]) -> None:
    """Adds an import block for each of the spec's imports.

    Raises:
        SpecError: an address is not that of a resource of the plan.
    """
    if not plan.spec.imports:
        return
    resources = {
        f"{built.role}.{resource.terraform_resource_type}.{resource.friendly_unique_id}": resource
        for built in stacks
        for resource in built.stack.node.find_all()
        if isinstance(resource, TerraformResource)
    }
    for address, resource_id in plan.spec.imports.items():
        if address not in resources:
            hint = did_you_mean(address, resources, at_most=3)
            raise SpecError(
                f"imports: {shortened(address)} is not a resource of this cluster; {hint}addresses are "
                "<stack>.<type>.<name>, and the stacks are network, storage and compute"
            )
        resources[address].import_from(terraform_literal(resource_id))
