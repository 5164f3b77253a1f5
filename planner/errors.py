"""Errors of planning, and how an expected error becomes an exit code and a message."""

from dataclasses import asdict, dataclass
from typing import Final, Literal, NamedTuple

from provider_catalog.errors import InputError, LlmclusterError, NothingWrittenError, OutsideError, UnreadableError


class SpecError(InputError):
    """The input is wrong; the message names the field, the value given, what is allowed and what to do."""


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
    """Cost of one update where training continues."""

    @property
    def changes_something(self) -> bool:
        """Whether the needed value differs from the given one."""
        return self.needed is None or self.needed != self.given


class InfeasibleError(LlmclusterError):
    """No candidate satisfies the spec; the error carries what came nearest and what would help."""

    exit_code = 3
    kind = "infeasible"

    def __init__(
        self,
        message: str,
        nearest: tuple[NearestMiss, ...] = (),
        plans: tuple[NearestPlan, ...] = (),
        lacks: Lack = "other",
        exceeded: Exceeded | None = None,
    ) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.plans = plans
        """Plans that exist once one constraint is relaxed."""
        self.lacks: Lack = lacks
        """What the nearest candidate falls short of."""
        self.exceeded = exceeded
        """The budget that it exceeds, where it lacks nothing else."""


EXPECTED = (LlmclusterError, OSError)
"""Errors that are no bugs. The operating system's errors have the exit code and the kind of `OutsideError`."""


def failure_document(error: Exception) -> dict[str, object]:
    """An expected error as data, for output in JSON.

    Raises:
        Exception: `error` itself, when it is not one of `EXPECTED`.
    """
    code, _ = failure(error)
    kind = error.kind if isinstance(error, LlmclusterError) else OutsideError.kind
    document: dict[str, object] = {"exit_code": code, "kind": kind, "message": str(error)}
    if isinstance(error, InfeasibleError):
        document["lacks"] = error.lacks
        document["nearest_misses"] = [asdict(near_miss) for near_miss in error.nearest]
        document["would_help"] = [plan.change for plan in error.plans]
        document["nearest_plans"] = [asdict(plan) for plan in error.plans]
    return {"error": document}


def failure(error: Exception) -> tuple[int, str]:
    """Exit code and message of an expected error. The exit code stands on the class of the error.

    Raises:
        Exception: `error` itself, when it is not one of `EXPECTED`: that is a bug.
    """
    if isinstance(error, InfeasibleError):
        nearest = [f"  {near_miss.candidate}: {near_miss.reason}" for near_miss in error.nearest]
        helps = ["what would help:", *(f"  {plan.change}" for plan in error.plans)] if error.plans else []
        return error.exit_code, "\n".join([f"infeasible: {error}", *nearest, *helps])
    if isinstance(error, LlmclusterError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, OSError):
        return OutsideError.exit_code, f"error: {_outside_failure(error)}"
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


def times(ratio: float) -> str:
    """A ratio in words, to two digits and without an exponent."""
    return f"{ratio:,.0f} times" if ratio >= 100 else f"{ratio:.2g} times"
