"""The two ways in which planning says no. The command line turns them into exit codes 2 and 3."""

from dataclasses import asdict, dataclass
from typing import Final, Literal, NamedTuple

from provider_catalog.errors import CatalogError, NothingWrittenError, UnreadableError


class SpecError(ValueError):
    """The input is wrong. The message names the field, what was given, what is allowed and what to do."""


@dataclass(frozen=True)
class NearestMiss:
    """A candidate that nearly served, and what would make it fit."""

    candidate: str
    reason: str


Period = Literal["month", "run", "update"]
PERIODS: Final[dict[Period, str]] = {"month": "a month", "run": "the run", "update": "an update"}
"""In words, behind an amount."""


class Exceeded(NamedTuple):
    """A bill above its bound."""

    period: Period
    usd: float
    budget_usd: float

    @property
    def ratio(self) -> float:
        """Of the bill to its bound, above 1."""
        return self.usd / self.budget_usd

    @property
    def words(self) -> str:
        """The bill over its period, as in "1,200 USD a month"."""
        return f"{self.usd:,.0f} USD {PERIODS[self.period]}"


Lack = Literal["budget", "time", "memory", "other"]


@dataclass(frozen=True)
class NearestPlan:
    """A plan that exists once one constraint is relaxed, the others kept."""

    field: str
    """Of the spec: the constraint that is relaxed."""
    given: str | float | None
    needed: str | float | None
    """What suffices; None: leave the field out."""
    change: str
    """The same in words."""
    provider: str
    region: str
    instance_type: str
    nodes: int
    days: float | None
    """Of the run; None when serving."""
    usd_per_month: float | None
    usd_per_run: float | None
    """Of one update where training continues."""


class InfeasibleError(Exception):
    """No candidate satisfies the spec."""

    def __init__(
        self,
        message: str,
        nearest: tuple[NearestMiss, ...] = (),
        levers: tuple[str, ...] = (),
        plans: tuple[NearestPlan, ...] = (),
        lacks: Lack = "other",
        exceeded: Exceeded | None = None,
    ) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.levers = (*levers, *(plan.change for plan in plans))
        """Changes that would suffice, each alone."""
        self.plans = plans
        """Where the change leads to, as far as it is known as data."""
        self.lacks: Lack = lacks
        """What the nearest candidate falls short of."""
        self.exceeded = exceeded
        """The budget that it exceeds, where it lacks nothing else."""


WRONG_INPUT, INFEASIBLE, OUTSIDE_FAILED = 2, 3, 4
KINDS = {WRONG_INPUT: "wrong input", INFEASIBLE: "infeasible", OUTSIDE_FAILED: "outside failed"}
EXPECTED = (SpecError, CatalogError, InfeasibleError, OSError)
"""What may go wrong without being a bug."""


def failure_document(error: Exception) -> dict[str, object]:
    """An expected error as data, for output in JSON.

    Raises:
        Exception: `error` itself, when it is not one of `EXPECTED`.
    """
    code, _ = failure(error)
    document: dict[str, object] = {"exit_code": code, "kind": KINDS[code], "message": str(error)}
    if isinstance(error, InfeasibleError):
        document["lacks"] = error.lacks
        document["nearest_misses"] = [asdict(miss) for miss in error.nearest]
        document["would_help"] = list(error.levers)
        document["nearest_plans"] = [asdict(plan) for plan in error.plans]
    return {"error": document}


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
        return OUTSIDE_FAILED, f"error: {_outside_failure(error)}"
    raise error


def _outside_failure(error: OSError) -> str:
    """What failed and why; that nothing was half-written is said only of writers that guarantee it."""
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    if isinstance(error, UnreadableError):
        return f"{where}cannot be read: {reason}"
    if isinstance(error, NothingWrittenError):
        return f"{where}{reason}; nothing was half-written"
    return f"{where}{reason}"
