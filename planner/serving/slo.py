"""The SLO against what is predicted."""

from dataclasses import dataclass

from planner.plan.plan import InferencePerformance
from planner.spec import Slo
from planner.spec.workload import SloPercentile


@dataclass(frozen=True, slots=True)
class SloLine:
    """One latency of the SLO."""

    name: str
    statistic: SloPercentile
    asked_ms: float
    predicted_ms: float | None
    """None: the queue grows without end."""

    @property
    def slack_ms(self) -> float | None:
        """What is left; negative when the SLO is missed."""
        return None if self.predicted_ms is None else self.asked_ms - self.predicted_ms

    @property
    def holds(self) -> bool:
        """Whether the prediction keeps it."""
        return self.predicted_ms is not None and self.predicted_ms <= self.asked_ms * (1 + 1e-9)


def slo_lines(performance: InferencePerformance, slo: Slo) -> tuple[SloLine, SloLine]:
    """TTFT at the SLO's percentile and mean TPOT, asked and predicted."""
    return (
        SloLine("TTFT", slo.percentile, slo.ttft_ms, _ttft_ms(performance, slo.percentile)),
        SloLine("TPOT", "mean", slo.tpot_ms, performance.tpot_ms),
    )


def _ttft_ms(performance: InferencePerformance, percentile: SloPercentile) -> float | None:
    """A pinned static batch has no queue: all of its requests get their first token together."""
    if percentile == "mean" or performance.queueing is None:
        return performance.ttft_ms
    return performance.queueing.ttft_ms[percentile]
