"""The bill: its items, totals, range, and the cost of repeated updates."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.fields import Role, Sku
from provider_catalog.facts import Provenance


class Usage(PlanModel):
    """Assumptions of the bill about usage, which no Terraform resource states."""

    quantities: dict[str, float] = Field(default_factory=dict)
    """Quantity of usage-based items, such as data transfer, logs and checkpoints, by role and in the unit of the
    item."""
    running_share: dict[str, float] = Field(default_factory=dict)
    """Mean share of the nodes that is billed, by purchase kind: reserved, spot, on_demand, capacity_block. Reserved
    nodes are billed whether they run or not. A Capacity Block may have more instances than run, so its share may exceed
    1."""
    spot_restart_share: float = Field(default=0.0, ge=0, exclude_if=lambda share: not share)
    """Serving: node-hours that restarts of reclaimed Spot nodes add, as a share of the node-hours in use. The running
    share of Spot nodes has them."""
    reserved_option: str = "on-demand"
    """Commitment term whose rate is billed for reserved nodes; `on-demand` without a commitment."""


class CostItem(PlanModel):
    """One item of the bill. usd_per_hour is the mean over the demand profile."""

    name: str
    role: Role
    """The thing that the item pays for, in the same word for every cloud; the stacks map it to a resource address."""
    stack: Literal["network", "storage", "compute"]
    sku: Sku = ""
    """Key of the price in the catalog: a service or an instance type."""
    resource: str | None = None
    quantity: float
    unit: str
    unit_price_usd: float | None
    """Price per unit in USD; None if no source is known."""
    usd_per_hour: float | None
    provenance: Provenance


class TokenCosts(PlanModel):
    """Cost of a million input and output tokens in USD. Both together cover the whole bill.

    The cost of an hour is split by the time that GPUs spend on prefill and on decode.
    """

    input_usd_per_million: float
    output_usd_per_million: float
    prefill_share: float
    """Share of the cost that is attributed to prefill, and so to input tokens."""


class CostDriver(PlanModel):
    """Effect of one uncertain assumption on the bill while the others stay fixed."""

    name: str
    assumption: str
    """Range of the assumption and its source."""
    low_usd: float
    high_usd: float
    """Change of the total in USD per period of the range; low_usd is 0 or negative."""


class CostRange(PlanModel):
    """Low, expected and high total in USD per period; the effects of all drivers are added up."""

    period: Literal["month", "run"]
    low_usd: float
    expected_usd: float
    high_usd: float
    drivers: tuple[CostDriver, ...]


class SpareNodesCost(PlanModel):
    """Cost of the spare nodes that `performance.reliability` recommends. No sum of the bill includes it."""

    nodes: int
    usd_per_hour: float
    """Spare nodes with their disks and other per-node items, bought like the nodes of the plan."""
    usd_per_run: float | None
    share_of_bill: float
    """Cost of the spare nodes divided by the bill."""


class Cost(PlanModel):
    """The bill. Totals cover the items with a known price; `unknown` names the others."""

    usd_per_hour: float | None
    usd_per_month: float | None
    """Cost of 730 hours."""
    usd_per_year: float | None = None
    """Cost of 8,760 hours."""
    usd_per_run: float | None = None
    usd_per_million_output_tokens: float | None = None
    """The whole bill divided by the output tokens, at the sustained rate of the fleet times the mean of the demand
    profile."""
    usd_per_million_training_tokens: float | None = None
    tokens: TokenCosts | None = None
    """Serving: cost of input and of output tokens at the same load."""
    usd_per_hour_by_stack: dict[str, float] = Field(default_factory=dict)
    usd_per_hour_by_phase: dict[str, float] = Field(default_factory=dict)
    """Cost by phase. Serving: prefill and decode. Training: the parts of a step, checkpoints and failures."""
    usd_per_hour_by_rollout: dict[str, float] = Field(default_factory=dict, exclude_if=lambda phases: not phases)
    """Cost in the rollout phases `validate` and `full`, if the spec has validation nodes. Reserved capacity is billed
    in full in both."""
    range: CostRange | None = None
    items: tuple[CostItem, ...]
    spare_nodes: SpareNodesCost | None = None
    """None if no spare nodes are recommended, if their price is unknown, or in plans made before this field."""
    unknown: tuple[str, ...] = ()
    """Items without a known price."""
    notes: tuple[str, ...] = ()
    usage: Usage = Usage()


class UpdateOption(PlanModel):
    """One way to buy the nodes of an update. Costs cover the nodes only."""

    name: str
    usd_per_update: float | None
    usd_per_year: float | None
    note: str
    chosen: bool = False


class UpdateCosts(PlanModel):
    """Continued training: cost of one update, of a month and of a year. None if a price is unknown."""

    every_days: float
    per_year: float
    """Updates per year."""
    hours: float
    """Duration of an update, from the start of the nodes until the checkpoint is written."""
    hours_by_part: dict[str, float]
    usd_per_update: float | None = None
    """Cost of the compute stack for the duration of one update."""
    standing_usd_per_month: float | None = None
    """Cost of the network and storage stacks, which stay between updates."""
    usd_per_month: float | None = None
    usd_per_year: float | None = None
    options: tuple[UpdateOption, ...] = ()
