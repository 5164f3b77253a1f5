"""Published records of interrupted training runs, and the interruption rates that follow from them."""

from collections.abc import Iterable
from statistics import median
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact

Cause = Literal["gpu", "gpu_memory", "network", "host", "storage", "software", "maintenance", "unknown"]
LEAST_UNCERTAINTY_FACTOR = 1.5
"""Least factor between a rate and each end of its range, however many records agree. Our own choice: the rates of
clusters differ by up to ten times."""
GPU_CAUSES: tuple[Cause, ...] = ("gpu", "gpu_memory")


class InterruptionRecord(Fact):
    """One training run or cluster, and how often its training stopped."""

    name: str
    generation: str
    """Micro-architecture of the GPUs, as in gpus.yaml."""
    gpus: int | None = Field(default=None, gt=0)
    gpus_per_node: int = Field(gt=0)
    days: float | None = Field(default=None, gt=0)
    interruptions: float | None = Field(default=None, gt=0)
    per_thousand_node_days: float | None = Field(default=None, gt=0)
    """Interruptions per thousand node-days, where the source gives no counts."""
    counted: Literal["all", "gpu"] = "all"
    """Interruptions that the source counts; gpu means only failures of GPUs and their memory."""
    causes: dict[Cause, float] = Field(default_factory=dict)
    """Interruptions by cause; empty where the source does not state causes. NVLink counts as gpu; cables and network
    cards count as network."""
    verified: bool
    source: str
    as_of: str

    @model_validator(mode="after")
    def _count_or_rate(self) -> "InterruptionRecord":
        counts = (self.gpus, self.days, self.interruptions)
        if (None in counts) is (self.per_thousand_node_days is None):
            raise ValueError("give gpus, days and interruptions, or per_thousand_node_days")
        if self.causes and abs(sum(self.causes.values()) - (self.interruptions or 0)) > 1e-9:
            raise ValueError(f"causes sum to {sum(self.causes.values()):g}, interruptions are {self.interruptions}")
        return self

    @property
    def per_gpu_hour(self) -> float:
        """Rate of the counted interruptions, for one GPU in an hour."""
        if self.gpus is not None and self.days is not None and self.interruptions is not None:
            return self.interruptions / (self.gpus * self.days * 24)
        return (self.per_thousand_node_days or 0.0) / 1000 / self.gpus_per_node / 24


class InterruptionRate(NamedTuple):
    """Interruptions that one GPU causes in an hour, with the range of the published rates."""

    low: float
    expected: float
    high: float
    source: str


def cause_shares(records: Iterable[InterruptionRecord]) -> dict[Cause, float]:
    """The share of each cause, from the largest verified record that states all causes; the shares sum to 1.

    Raises:
        CatalogError: no verified record states its causes.
    """
    telling = [record for record in records if record.causes and record.verified and record.counted == "all"]
    if not telling:
        raise CatalogError("interruptions.yaml: no verified entry states interruptions by cause")
    largest = max(telling, key=lambda record: record.interruptions or 0)
    total = sum(largest.causes.values())
    return {cause: count / total for cause, count in largest.causes.items()}


def interruption_rate(records: Iterable[InterruptionRecord], generation: str) -> InterruptionRate:
    """The median of the verified rates of a GPU generation, and the range of all published rates.

    Variants such as Blackwell Ultra use the records of their generation. A generation without records uses the records
    of all generations. A record that counts only failures of GPUs is divided by the share of such failures elsewhere.
    Each end of the range is at least a factor of LEAST_UNCERTAINTY_FACTOR away from the median.
    """
    known = tuple(records)
    own = tuple(record for record in known if generation.startswith(record.generation))
    gpu_share = sum(share for cause, share in cause_shares(known).items() if cause in GPU_CAUSES)
    rates = [(record, record.per_gpu_hour / (gpu_share if record.counted == "gpu" else 1)) for record in own or known]
    verified = [(record, rate) for record, rate in rates if record.verified] or rates
    expected = median(rate for _, rate in verified)
    low, high = min(rate for _, rate in rates), max(rate for _, rate in rates)
    low, high = min(low, expected / LEAST_UNCERTAINTY_FACTOR), max(high, expected * LEAST_UNCERTAINTY_FACTOR)
    of = (
        ", ".join(record.name for record, _ in verified)
        if own
        else f"all generations, without any record of {generation}"
    )
    return InterruptionRate(low, expected, high, f"median of published rates: {of}")
