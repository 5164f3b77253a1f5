"""What every fact carries: an immutable record with a source and a date."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """An immutable record; unknown keys are an error, so that a misspelt column is not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Provenance(Fact):
    """Where a figure comes from. `as_of` is an ISO date, or a year or month where the source gives no day.

    A `derived` figure is worked out from published ones; its source says how.
    """

    source: str
    as_of: str
    kind: Literal["live", "snapshot", "list", "negotiated", "derived"]
