"""What every part of a plan is that pydantic checks and serialises."""

from pydantic import BaseModel, ConfigDict


class PlanModel(BaseModel):
    """An immutable part of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
