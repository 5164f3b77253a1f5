"""What every fact carries: an immutable record with a source and a date."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """An immutable record; unknown keys are an error, so that a misspelt column is not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Provenance(Fact):
    """Where a figure comes from. `as_of` is an ISO date, or a year or month where the source gives no day."""

    source: str
    as_of: str
    kind: Literal["live", "snapshot", "list", "negotiated"]


class CatalogError(ValueError):
    """The catalog does not hold what was asked for, or holds it wrongly. The message says what to do."""
