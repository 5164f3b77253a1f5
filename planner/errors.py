"""The two ways in which planning says no. The command line turns them into exit codes 2 and 3."""

from dataclasses import dataclass

from provider_catalog.errors import CatalogError


class SpecError(ValueError):
    """The input is wrong. The message names the field, what was given, what is allowed and what to do."""


@dataclass(frozen=True)
class NearestMiss:
    """A candidate that nearly served, and what would make it fit."""

    candidate: str
    reason: str


class InfeasibleError(Exception):
    """No candidate satisfies the spec."""

    def __init__(self, message: str, nearest: tuple[NearestMiss, ...] = (), levers: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.levers = levers
        """Changes that would suffice, each alone."""


WRONG_INPUT, INFEASIBLE, OUTSIDE_FAILED = 2, 3, 4
EXPECTED = (SpecError, CatalogError, InfeasibleError, OSError)
"""What may go wrong without being a bug."""


def failure(error: Exception) -> tuple[int, str]:
    """Exit code and message of an expected error: 2 wrong input, 3 infeasible, 4 a file or an outside tool failed.

    Raises:
        Exception: `error` itself, when it is not one of `EXPECTED`: that is a bug.
    """
    if isinstance(error, SpecError | CatalogError):
        return WRONG_INPUT, f"error: {error}"
    if isinstance(error, InfeasibleError):
        nearest = [f"  {miss.candidate}: {miss.reason}" for miss in error.nearest]
        helps = ["what would help:", *(f"  {lever}" for lever in error.levers)] if error.levers else []
        return INFEASIBLE, "\n".join([f"infeasible: {error}", *nearest, *helps])
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return OUTSIDE_FAILED, f"error: {where}{error.strerror or error}; nothing was half-written"
    raise error
