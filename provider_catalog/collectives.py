"""The environment of NCCL, RCCL and libfabric on an instance type: each variable with its reason."""

from fnmatch import fnmatchcase

from pydantic import Field

from provider_catalog.facts import CatalogError, Fact
from provider_catalog.hardware import InstanceType


class Variable(Fact):
    """An environment variable, or one that is better left alone."""

    variable: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    value: str | None = Field(pattern=r"^[A-Za-z0-9_./:,=^@+ -]{0,256}$")
    """None: not set, for the reason given."""
    reason: str
    source: str


class Setting(Fact):
    """A row of collectives.yaml, which explains the columns."""

    variable: str
    value: str | None = None
    fabrics: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    reason: str
    source: str
    as_of: str

    def holds_for(self, instance_type: InstanceType) -> bool:
        """Whether the row is about that instance type; a condition that is left out holds for all."""
        if self.fabrics and instance_type.fabric not in self.fabrics:
            return False
        return not self.instance_types or any(
            fnmatchcase(instance_type.name, pattern) for pattern in self.instance_types
        )


class Collectives(Fact):
    """The collectives.yaml of one cloud."""

    set: tuple[Setting, ...] = ()
    left_alone: tuple[Setting, ...] = ()

    def environment(self, instance_type: InstanceType) -> tuple[Variable, ...]:
        """Variables to set, then those to leave alone, each sorted by name.

        Raises:
            CatalogError: two rows speak of one variable on that type.
        """
        found: dict[str, Variable] = {}
        for row in (*self.set, *self.left_alone):
            if not row.holds_for(instance_type):
                continue
            if row.variable in found:
                raise CatalogError(
                    f"collectives.yaml: {row.variable} stands there twice for {instance_type.name}; narrow one row"
                )
            found[row.variable] = Variable(variable=row.variable, value=row.value, reason=row.reason, source=row.source)
        return tuple(sorted(found.values(), key=lambda entry: (entry.value is None, entry.variable)))


def values(environment: tuple[Variable, ...]) -> dict[str, str]:
    """What is set, by name."""
    return {entry.variable: entry.value for entry in environment if entry.value is not None}


def reasons(environment: tuple[Variable, ...]) -> dict[str, str]:
    """Why, by name, of what is set."""
    return {entry.variable: f"{entry.reason} ({entry.source})" for entry in environment if entry.value is not None}
