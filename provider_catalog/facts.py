"""Base classes of facts: immutable records, and the provenance of a figure."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """An immutable record. Unknown keys are errors, so that a misspelt column does not go unnoticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Provenance(Fact):
    """The source, date and kind of a figure.

    `as_of` is an ISO date, or a year or month where the source gives no day. A `derived` figure is calculated from
    published ones, and its source says how.
    """

    source: str
    as_of: str
    kind: Literal["live", "snapshot", "list", "negotiated", "derived"]
