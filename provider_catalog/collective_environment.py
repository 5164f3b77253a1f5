"""Environment variables of NCCL, RCCL and libfabric for an instance type, each with its reason."""

from fnmatch import fnmatchcase

from pydantic import Field

from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact
from provider_catalog.hardware import InstanceType


class Variable(Fact):
    """An environment variable that is set, or deliberately left at its default."""

    variable: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    value: str | None = Field(pattern=r"^[A-Za-z0-9_./:,=^@+ -]{0,256}$")
    """Value to set; None leaves the variable at its default, for the reason given."""
    reason: str
    source: str


class CollectiveRow(Fact):
    """A row of collectives.yaml; the comment at the top of that file explains the columns."""

    variable: str
    value: str | None = None
    fabrics: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    reason: str
    source: str
    as_of: str

    def holds_for(self, instance_type: InstanceType) -> bool:
        """Whether the row applies to that instance type; an empty condition applies to every type."""
        if self.fabrics and instance_type.fabric not in self.fabrics:
            return False
        return not self.instance_types or any(
            fnmatchcase(instance_type.name, pattern) for pattern in self.instance_types
        )


class CollectiveEnvironment(Fact):
    """The collectives.yaml of one cloud."""

    set: tuple[CollectiveRow, ...] = ()
    """Variables that are set."""
    left_alone: tuple[CollectiveRow, ...] = ()
    """Variables that are deliberately left at their defaults."""

    def environment(self, instance_type: InstanceType) -> tuple[Variable, ...]:
        """The variables to set, then the variables to leave at their defaults, each group sorted by name.

        Raises:
            CatalogError: two rows concern the same variable on that type.
        """
        found: dict[str, Variable] = {}
        for row in (*self.set, *self.left_alone):
            if not row.holds_for(instance_type):
                continue
            if row.variable in found:
                raise CatalogError(
                    f"collectives.yaml: {row.variable} has two rows for {instance_type.name}; narrow one row"
                )
            found[row.variable] = Variable(variable=row.variable, value=row.value, reason=row.reason, source=row.source)
        return tuple(sorted(found.values(), key=lambda entry: (entry.value is None, entry.variable)))


def values(environment: tuple[Variable, ...]) -> dict[str, str]:
    """The values of the variables that are set, by name."""
    return {entry.variable: entry.value for entry in environment if entry.value is not None}


def reasons(environment: tuple[Variable, ...]) -> dict[str, str]:
    """The reason and source of each variable that is set, by name."""
    return {entry.variable: f"{entry.reason} ({entry.source})" for entry in environment if entry.value is not None}
