"""Parts that all AWS stacks share: backend, provider, tags, outputs."""

from collections.abc import Mapping
from typing import Final

from cdktf import App, TerraformOutput, TerraformStack

from cdk.aws.provider import aws
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.text import shortened, terraform_literal
from stacks.clouds import StackRole, stack_id
from stacks.state import name_provider_source, set_backend

_TAG_SIGNS: Final = " _.:/=+-@"
"""EC2 user guide, "Tag restrictions"; what services beside EC2 take as well."""


def new_stack(app: App, plan: Plan, role: StackRole) -> TerraformStack:
    """Adds an empty stack with its backend and its provider, which tags every resource."""
    stack = TerraformStack(app, stack_id(plan, role))
    set_backend(stack, plan)
    aws(stack, plan.choice.region, tags(plan))
    name_provider_source(stack, "aws")
    return stack


def add_outputs(stack: TerraformStack, outputs: Mapping[str, tuple[object, str]]) -> None:
    """Adds outputs to a stack, given as value and description by name."""
    for name, (value, description) in outputs.items():
        TerraformOutput(stack, name, value=value, description=description)


def add_thresholds(stack: TerraformStack, plan: Plan) -> None:
    """Adds the bandwidths that a burn-in has to reach as an output."""
    thresholds = plan.choice.pass_thresholds.model_dump(exclude_none=True)
    description = "Bus bandwidths in GB/s that the nodes have to reach in an all-reduce"
    add_outputs(stack, {"pass_thresholds": (thresholds, description)})


def tags(plan: Plan) -> dict[str, str]:
    """Tags of every resource: the user's, and two of ours.

    Raises:
        SpecError: see `checked_tags`.
    """
    return {**checked_tags(plan.spec.tags), "cluster": plan.name, "managed-by": "llmcluster"}


def checked_tags(given: Mapping[str, str]) -> dict[str, str]:
    """The user's tags.

    Raises:
        SpecError: AWS would refuse a tag (EC2 user guide, "Tag restrictions").
    """
    for key, value in given.items():
        for part in (key, value):
            if signs := sorted({sign for sign in part if not (sign.isalnum() or sign in _TAG_SIGNS)}):
                raise SpecError(
                    f"tags: {shortened(key)}: {shortened(value)} holds {' '.join(map(shortened, signs))}; AWS takes"
                    f" letters, digits, spaces and {_TAG_SIGNS.strip()}"
                )
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise SpecError(
                f"tags: {shortened(key)}: {shortened(value)} is not a tag that AWS accepts; keys have 1 to 128 "
                "characters and do not begin with aws:, values have at most 256"
            )
    return {terraform_literal(key): terraform_literal(value) for key, value in given.items()}
