"""Comparison of the SLO with the predicted latencies."""

from dataclasses import dataclass

from planner.plan.performance import InferencePerformance
from planner.spec import Slo
from planner.spec.serving_workload import SloPercentile


@dataclass(frozen=True, slots=True)
class SloLine:
    """One latency of the SLO beside its prediction."""

    name: str
    statistic: SloPercentile
    asked_ms: float
    predicted_ms: float | None
    """Predicted latency in ms; None where the queue grows without end."""

    @property
    def slack_ms(self) -> float | None:
        """Margin to the SLO in ms; negative where it is missed."""
        return None if self.predicted_ms is None else self.asked_ms - self.predicted_ms

    @property
    def holds(self) -> bool:
        """Whether the prediction is within the SLO."""
        return self.predicted_ms is not None and self.predicted_ms <= self.asked_ms * (1 + 1e-9)


def latency(ms: float) -> str:
    """Return a latency for messages: in seconds from 1000 ms on, else in milliseconds."""
    return f"{ms / 1e3:.3g} s" if ms >= 1000 else f"{ms:.3g} ms"


def slo_lines(performance: InferencePerformance, slo: Slo) -> tuple[SloLine, SloLine]:
    """Return TTFT at the SLO's percentile and mean TPOT, each asked and predicted."""
    return (
        SloLine("TTFT", slo.percentile, slo.ttft_ms, _ttft_ms(performance, slo.percentile)),
        SloLine("TPOT", "mean", slo.tpot_ms, performance.tpot_ms),
    )


def _ttft_ms(performance: InferencePerformance, percentile: SloPercentile) -> float | None:
    """Return the predicted TTFT. A pinned static batch has no queue: all its requests get the first token together."""
    if percentile == "mean" or performance.queueing is None:
        return performance.ttft_ms
    return performance.queueing.ttft_ms[percentile]
