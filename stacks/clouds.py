"""The interface of a cloud: a class that builds the stacks of a Plan, found by the entry points `llmcluster.clouds`."""

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Literal, Protocol

from cdktf import App, TerraformStack

from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog

ENTRY_POINT_GROUP: Final = "llmcluster.clouds"

StackRole = Literal["network", "storage", "compute"]


@dataclass(frozen=True)
class BuiltStack:
    """A stack of a cluster, ready to be synthesized."""

    role: StackRole
    stack: TerraformStack
    addresses: dict[str, str] = field(default_factory=dict)
    """Terraform addresses of billed resources by `CostItem.role`: `{"nat_gateway": "aws_nat_gateway.cluster"}`."""
    files: dict[str, str] = field(default_factory=dict)
    """Contents of further files of the stack, by path relative to its folder."""


class Cloud(Protocol):
    """A cloud, which builds the stacks of a plan in the order in which they are deployed."""

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Adds the stacks of `plan` to `app`: network, storage, compute."""
        ...


def stack_id(plan: Plan, role: StackRole) -> str:
    """Name of a stack, also of its folder in the output and of its state."""
    return f"{plan.name}-{role}"


def registered_clouds() -> dict[str, EntryPoint]:
    """Entry points of the clouds by name (`Choice.provider`). None of the clouds is imported."""
    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)}


def load_cloud(provider: str) -> Cloud:
    """The cloud of that name. Only this cloud is imported: the provider binding of each takes seconds to load.

    Raises:
        SpecError: no cloud is registered for `provider`.
    """
    registered = registered_clouds()
    if provider not in registered:
        known = ", ".join(registered) or "none; install the project first (pip install -e .)"
        raise SpecError(
            f"provider {provider!r} can be planned but not synthesized; stacks exist for: {known}. "
            "Change placement.providers, or register a cloud as an entry point of " + ENTRY_POINT_GROUP
        )
    cloud: Cloud = registered[provider].load()()
    return cloud
