"""Spec model for the order in which nodes are created."""

from pydantic import Field

from planner.spec.base import SpecModel


class Rollout(SpecModel):
    """Validation of a few nodes before all nodes are created, by the variable `phase` of the compute stack."""

    validation_nodes: int | None = Field(
        default=None,
        gt=0,
        le=64,
        description=(
            "AWS: number of nodes in the phase validate, in which the burn-in test runs. Default: all nodes are "
            "created in a single phase"
        ),
    )
