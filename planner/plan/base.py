"""Base model of plan objects."""

from pydantic import BaseModel, ConfigDict


class PlanModel(BaseModel):
    """Base model of plan objects: immutable and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
