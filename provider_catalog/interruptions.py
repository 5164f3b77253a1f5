"""How often training is interrupted, as published by those who ran it."""

from collections.abc import Iterable
from statistics import median
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact

Cause = Literal["gpu", "gpu_memory", "network", "host", "storage", "software", "maintenance", "unknown"]
FEW = 1.5
"""Within which a rate from one or a few clusters is held to be known. Our own choice; clusters differ by ten times."""
GPU_CAUSES: tuple[Cause, ...] = ("gpu", "gpu_memory")


class InterruptionRecord(Fact):
    """One run or cluster, and how often its training stopped."""

    name: str
    generation: str
    """Micro-architecture of the GPUs, as in gpus.yaml."""
    gpus: int | None = Field(default=None, gt=0)
    gpus_per_node: int = Field(gt=0)
    days: float | None = Field(default=None, gt=0)
    interruptions: float | None = Field(default=None, gt=0)
    per_thousand_node_days: float | None = Field(default=None, gt=0)
    """The rate, where the source gives no counts."""
    counted: Literal["all", "gpu"] = "all"
    """gpu: failures of GPUs and their memory only."""
    causes: dict[Cause, float] = Field(default_factory=dict)
    """Interruptions by cause; empty where the source does not tell. NVLink is gpu, cables and cards are network."""
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
        """Of what was counted."""
        if self.gpus is not None and self.days is not None and self.interruptions is not None:
            return self.interruptions / (self.gpus * self.days * 24)
        return (self.per_thousand_node_days or 0.0) / 1000 / self.gpus_per_node / 24


class InterruptionRate(NamedTuple):
    """Interruptions of one GPU in an hour."""

    low: float
    expected: float
    high: float
    source: str


def cause_shares(records: Iterable[InterruptionRecord]) -> dict[Cause, float]:
    """Share of each cause in the largest verified count that tells all of them; they sum to 1.

    Raises:
        CatalogError: no record does.
    """
    telling = [record for record in records if record.causes and record.verified and record.counted == "all"]
    if not telling:
        raise CatalogError("interruptions.yaml: no verified entry tells interruptions by cause")
    largest = max(telling, key=lambda record: record.interruptions or 0)
    total = sum(largest.causes.values())
    return {cause: count / total for cause, count in largest.causes.items()}


def interruption_rate(records: Iterable[InterruptionRecord], generation: str) -> InterruptionRate:
    """Median of what was verified for a GPU generation, and the range of everything published for it.

    Variants such as Blackwell Ultra count with their generation. One of which nothing is known gets those of all
    others; one of which only failures of GPUs are
    known, the share that these have elsewhere. No rate is taken to be known better than within a
    factor of FEW.
    """
    known = tuple(records)
    own = tuple(record for record in known if generation.startswith(record.generation))
    gpu_share = sum(share for cause, share in cause_shares(known).items() if cause in GPU_CAUSES)
    rates = [(record, record.per_gpu_hour / (gpu_share if record.counted == "gpu" else 1)) for record in own or known]
    verified = [(record, rate) for record, rate in rates if record.verified] or rates
    expected = median(rate for _, rate in verified)
    low, high = min(rate for _, rate in rates), max(rate for _, rate in rates)
    low, high = min(low, expected / FEW), max(high, expected * FEW)
    of = ", ".join(record.name for record, _ in verified) if own else f"every generation, none of them {generation}"
    return InterruptionRate(low, expected, high, f"median of what is published: {of}")
