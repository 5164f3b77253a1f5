"""What exists already: `import` blocks from the spec, so that the next apply takes it over instead of making it."""

import difflib
from collections.abc import Iterable

from cdktf import TerraformResource

from planner.errors import SpecError
from planner.plan import Plan
from provider_catalog.text import shortened, terraform_literal
from stacks.clouds import BuiltStack


def take_over(plan: Plan, stacks: Iterable[BuiltStack]) -> None:
    """Adds an import block for each of the spec's imports.

    Raises:
        SpecError: an address that no stack of the plan has.
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
            near = difflib.get_close_matches(address, resources, n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(near)}? " if near else ""
            raise SpecError(
                f"imports: {shortened(address)} is no resource of this cluster; {hint}addresses are "
                "<stack>.<type>.<name>, and the stacks are network, storage, compute"
            )
        resources[address].import_from(terraform_literal(resource_id))
