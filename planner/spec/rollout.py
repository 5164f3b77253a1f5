"""How the nodes of a cluster come up."""

from pydantic import Field

from planner.spec.base import SpecModel


class Rollout(SpecModel):
    """First a few nodes that prove themselves, then all: the variable `phase` of the compute stack."""

    validation_nodes: int | None = Field(
        default=None,
        gt=0,
        le=64,
        description=("AWS: nodes of the phase validate, on which the burn-in is run; without it there is one phase"),
    )
