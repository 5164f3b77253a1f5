"""Spec model for alarms and metrics."""

from pydantic import Field

from planner.spec.base import SpecModel
from planner.spec.text import Email


class Observability(SpecModel):
    """Alarms by e-mail and metrics in Amazon Managed Prometheus (AWS). Both are billed and off by default."""

    notify: tuple[Email, ...] = Field(
        default=(),
        max_length=10,
        description=(
            "E-mail addresses that receive alarms about GPU and fabric errors, a full file system, Spot interruptions "
            "and the budget (budget.usd_per_month, else the planned bill). Empty: no alarms"
        ),
    )
    metrics: bool = Field(
        default=False,
        description=(
            "Whether nodes run metric exporters and the stack has an Amazon Managed Prometheus workspace and a Grafana "
            "dashboard"
        ),
    )
