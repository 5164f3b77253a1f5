"""The bill: its items, totals, range, and the cost of repeated updates."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.fields import Role, Sku
from provider_catalog.facts import Provenance


class Usage(PlanModel):
    """What the bill assumes of everything that is billed by use and stands in no resource."""

    quantities: dict[str, float] = Field(default_factory=dict)
    """What is billed by what passes or is kept, by the role of its line, in its unit: data, logs, checkpoints."""
    running_share: dict[str, float] = Field(default_factory=dict)
    """Share of the nodes that is paid for, on average, by way of buying: reserved, spot, on_demand, capacity_block.
    Reserved nodes are billed whether they run or not; a block may hold more instances than run."""
    reserved_option: str = "on-demand"
    """The rate at which reserved nodes are billed: a commitment is no resource either."""


class CostItem(PlanModel):
    """One line of the bill. usd_per_hour is the mean over the demand profile."""

    name: str
    role: Role
    """What it pays for, the same word on every cloud; the stacks map it to a resource address."""
    stack: Literal["network", "storage", "compute"]
    sku: Sku = ""
    """Of its price in the catalog: a service, or the name of an instance type."""
    resource: str | None = None
    quantity: float
    unit: str
    unit_price_usd: float | None
    """None: unknown; nobody could source it."""
    usd_per_hour: float | None
    provenance: Provenance


class TokenCosts(PlanModel):
    """USD for a million tokens of each kind; input times its price and output times its own are the whole bill.

    The hour is split by the time that the GPUs spend on prefill and on decode.
    """

    input_usd_per_million: float
    output_usd_per_million: float
    prefill_share: float


class CostDriver(PlanModel):
    """How far one assumption moves the bill while the others hold."""

    name: str
    assumption: str
    """From what to what, and according to whom."""
    low_usd: float
    high_usd: float
    """Change of the total, USD for the period of the range; low is 0 or less."""


class CostRange(PlanModel):
    """The total as low, expected and high, with the drivers' effects added up."""

    period: Literal["month", "run"]
    low_usd: float
    expected_usd: float
    high_usd: float
    drivers: tuple[CostDriver, ...]


class SpareNodesCost(PlanModel):
    """What the spare nodes that `performance.reliability` advises would cost beside the bill, in none of its sums."""

    nodes: int
    usd_per_hour: float
    """Bought as the nodes of the plan are, with disks and what else is billed by node."""
    usd_per_run: float | None
    share_of_bill: float


class Cost(PlanModel):
    """The bill. Sums cover the items with a known price; `unknown` names the others."""

    usd_per_hour: float | None
    usd_per_month: float | None
    """730 hours."""
    usd_per_year: float | None = None
    """8,760 hours."""
    usd_per_run: float | None = None
    usd_per_million_output_tokens: float | None = None
    """The whole bill over the output tokens alone, at what the fleet sustains times the mean of the demand profile.
    Its inverse is tokens for a dollar."""
    usd_per_million_training_tokens: float | None = None
    tokens: TokenCosts | None = None
    """Serving: input and output apart, at the same load."""
    usd_per_hour_by_stack: dict[str, float] = Field(default_factory=dict)
    usd_per_hour_by_phase: dict[str, float] = Field(default_factory=dict)
    """Serving: prefill and decode. Training: the parts of a step, and what failures and checkpoints cost."""
    usd_per_hour_by_rollout: dict[str, float] = Field(default_factory=dict, exclude_if=lambda phases: not phases)
    """Where the spec has a phase `validate`: that phase, in which reserved capacity is paid in full, and `full`."""
    range: CostRange | None = None
    items: tuple[CostItem, ...]
    spare_nodes: SpareNodesCost | None = None
    """None where none are advised, where the price is unknown, and in plans made before it."""
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    usage: Usage = Usage()


class UpdateOption(PlanModel):
    """One way to buy the nodes of an update; nodes alone."""

    name: str
    usd_per_update: float | None
    usd_per_year: float | None
    note: str
    chosen: bool = False


class UpdateCosts(PlanModel):
    """Continued training: one update and a year of them. None where a price is not known."""

    every_days: float
    per_year: float
    hours: float
    """From the start of the nodes to the last byte of the checkpoint."""
    hours_by_part: dict[str, float]
    usd_per_update: float | None = None
    """The compute stack for those hours."""
    standing_usd_per_month: float | None = None
    """Network and storage, which stay between updates."""
    usd_per_month: float | None = None
    usd_per_year: float | None = None
    options: tuple[UpdateOption, ...] = ()
