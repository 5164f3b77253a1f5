"""Errors of planning, and how an expected error becomes an exit code and a message."""

from dataclasses import asdict, dataclass
from typing import Final, Literal, NamedTuple

from provider_catalog.errors import InputError, LlmclusterError, NothingWrittenError, OutsideError, UnreadableError


class SpecError(InputError):
    """The input is wrong; the message names the field, the value given, what is allowed and what to do."""


@dataclass(frozen=True)
class NearestMiss:
    """A candidate that came close to serving the workload, and the reason why it does not."""

    candidate: str
    reason: str


Period = Literal["month", "run", "update"]
PERIOD_WORDS: Final[dict[Period, str]] = {"month": "a month", "run": "for the run", "update": "an update"}
"""Words that follow an amount in USD."""


class BudgetExcess(NamedTuple):
    """A bill that is above its budget."""

    period: Period
    usd: float
    budget_usd: float

    @property
    def ratio(self) -> float:
        """Ratio of the bill to the budget; above 1."""
        return self.usd / self.budget_usd

    @property
    def words(self) -> str:
        """The bill with its period, such as "1,200 USD a month"."""
        return f"{self.usd:,.0f} USD {PERIOD_WORDS[self.period]}"


ShortfallKind = Literal["budget", "time", "memory", "other"]
"""Constraint that the nearest candidate misses."""


@dataclass(frozen=True)
class NearestPlan:
    """A plan that is feasible when one constraint is relaxed and all others are kept."""

    field: str
    """Spec field of the constraint that is relaxed."""
    given: str | float | None
    """Value of the field in the spec."""
    needed: str | float | None
    """Value that makes the plan feasible; None: leave the field out."""
    change: str
    """The change and its plan, in words."""
    provider: str
    region: str
    instance_type: str
    nodes: int
    days: float | None
    """Duration of the training run in days; None for serving."""
    usd_per_month: float | None
    usd_per_run: float | None
    """Cost of the run, or of one update in continued training; None for serving."""

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
        lacks: ShortfallKind = "other",
        budget_excess: BudgetExcess | None = None,
    ) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.plans = plans
        """Plans that are feasible when one constraint is relaxed."""
        self.lacks: ShortfallKind = lacks
        """Constraint that the nearest candidate misses."""
        self.budget_excess = budget_excess
        """By how much the nearest candidate exceeds the budget; None unless that is its only shortfall."""


EXPECTED = (LlmclusterError, OSError)
"""Errors that are no bugs. The operating system's errors have the exit code and the kind of `OutsideError`."""


def failure_document(error: Exception) -> dict[str, object]:
    """Returns an expected error as data for JSON output.

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
    """Returns what failed and why. Only errors of writers that guarantee it say that nothing was half-written."""
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    if isinstance(error, UnreadableError):
        return f"{where}cannot be read: {reason}"
    if isinstance(error, NothingWrittenError):
        return f"{where}{reason}; nothing was half-written"
    return f"{where}{reason}"


def times(ratio: float) -> str:
    """Formats a ratio as words with two significant digits and no exponent."""
    return f"{ratio:,.0f} times" if ratio >= 100 else f"{ratio:.2g} times"
