"""What every part of a spec has in common."""

from pydantic import BaseModel, ConfigDict


class SpecModel(BaseModel):
    """Immutable; a misspelt key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)
