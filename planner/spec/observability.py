"""What is watched, and who hears of it."""

from pydantic import Field

from planner.spec.base import SpecModel
from planner.spec.text import Email


class Observability(SpecModel):
    """AWS: alarms by mail, and metrics in a managed Prometheus. Off until it is asked for: both are on the bill."""

    notify: tuple[Email, ...] = Field(
        default=(),
        max_length=10,
        description=(
            "Addresses that hear of GPU and fabric errors, a full file system, Spot interruptions, and of the budget "
            "(budget.usd_per_month, or else the planned bill)"
        ),
    )
    metrics: bool = Field(
        default=False,
        description=("Exporters on the nodes, a managed Prometheus workspace, a Grafana dashboard beside the stack"),
    )
