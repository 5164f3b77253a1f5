"""The seam between a Plan and a cloud: a cloud is one class, found through the entry points `llmcluster.clouds`."""

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
    """One stack of a cluster, ready to be synthesized."""

    role: StackRole
    stack: TerraformStack
    addresses: dict[str, str] = field(default_factory=dict)
    """Terraform address in this stack by `CostItem.role`, such as `{"shared_storage": "aws_fsx_..._system.shared"}`."""
    files: dict[str, str] = field(default_factory=dict)
    """What goes with the stack but is no part of its document, by path relative to the folder of the stack."""


class Cloud(Protocol):
    """What a cloud contributes: the stacks of a plan, in the order in which they are deployed."""

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Adds the stacks of `plan` to `app`: network, storage, compute."""
        ...


def stack_id(plan: Plan, role: StackRole) -> str:
    """Name of a stack, of its folder in the output and of its state."""
    return f"{plan.name}-{role}"


def registered_clouds() -> dict[str, EntryPoint]:
    """Clouds by the name that `Choice.provider` holds. None of them is imported yet."""
    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)}


def load_cloud(provider: str) -> Cloud:
    """The cloud of that name. No other one is imported: each brings a provider binding that takes seconds to load.

    Raises:
        SpecError: nobody registered stacks for `provider`.
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
