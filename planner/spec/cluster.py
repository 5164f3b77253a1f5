"""Where the cluster stands, what it is made of, how it is bought and where its state lives."""

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from planner.spec.base import SpecModel
from planner.spec.lustre import Lustre
from planner.spec.reservation import OwnReservation
from planner.spec.text import DemandFile, Identifier, KeyPrefix, PolicyArn, ResourceGroup, StateBucket, StateContainer
from provider_catalog.units import HOURS_PER_YEAR


class Placement(SpecModel):
    """Where the cluster may stand. Empty lists leave the choice to the planner."""

    providers: tuple[Identifier, ...] = ()
    regions: tuple[Identifier, ...] = Field(default=(), description="Empty: the default region of each provider")
    zone: Identifier | None = Field(
        default=None, description="AWS: availability zone id (use1-az6); Azure: zone number"
    )
    zones: tuple[Identifier, ...] = Field(
        default=(),
        exclude_if=lambda zones: not zones,
        description=(
            "AWS: zone ids in the order in which to try them, in place of zone; the plan takes the first that has the "
            "instance type"
        ),
    )
    instance_types: tuple[Identifier, ...] | Literal["any"] = "any"
    max_nodes: int = Field(default=2048, gt=0, le=16384)

    @model_validator(mode="after")
    def _zone_or_zones(self) -> "Placement":
        if self.zone is not None and self.zones:
            raise ValueError(f"zone is {self.zone} and zones is {', '.join(self.zones)}; give one of the two")
        if len(set(self.zones)) != len(self.zones):
            raise ValueError(f"zones names a zone twice: {', '.join(self.zones)}; name each once")
        return self


class Storage(SpecModel):
    """Shared file system and node-local scratch."""

    shared_tib: float = Field(default=1.0, gt=0, le=10_000, description="Usable size; rounded up to a size on sale")
    shared_sku: Identifier | None = Field(
        default=None, description="A SKU of the provider; None: the provider's default"
    )
    scratch: Literal["raid0", "none"] = "raid0"
    scratch_gb: float = Field(
        default=0, ge=0, le=1_000_000, description="Least local NVMe of a node, 10^9 bytes; smaller types are rejected"
    )
    lustre: Lustre = Lustre()
    checkpoints_tib: float = Field(default=1.0, ge=0, le=100_000, description="Kept in the object store, for the bill")
    keep_on_destroy: bool = Field(
        default=True, description="Whether Terraform refuses to destroy the key, the checkpoints and the file system"
    )


BLOCK_MAX_NODES = 64
"""Instances of one Capacity Block (EC2 user guide, "Capacity Blocks for ML")."""
BLOCK_DAY_BY_DAY, BLOCK_MAX_DAYS = 14, 182
"""Durations: 1-day steps up to 14 days, then 7-day steps up to 182 (EC2 user guide, "Capacity Blocks for ML")."""


class CapacityBlock(SpecModel):
    """A Capacity Block (AWS): GPU instances in one UltraCluster for a fixed term, paid in advance."""

    start: date = Field(description="First day, UTC; at most eight weeks ahead when it is bought")
    days: int = Field(
        ge=1, le=BLOCK_MAX_DAYS, description="Term in days: 1 to 14, or whole weeks up to 182; it ends at 11:30 UTC"
    )
    zone: Identifier | None = Field(
        default=None, description="Zone id of the block where it is known; the cluster then stands there"
    )
    reservation_id: str | None = Field(
        default=None,
        pattern=r"^cr-[0-9a-f]{8,17}$",
        description="The block once it is bought, which Terraform does not do; until then there are no nodes",
    )

    @field_validator("days")
    @classmethod
    def _days_on_sale(cls, value: int) -> int:
        if value > BLOCK_DAY_BY_DAY and value % 7:
            raise ValueError(
                f"Capacity Blocks are sold for 1 to {BLOCK_DAY_BY_DAY} days or for whole weeks up to "
                f"{BLOCK_MAX_DAYS} days; the next term on sale is {-(-value // 7) * 7} days"
            )
        return value

    @property
    def end(self) -> date:
        """The last day."""
        return self.start + timedelta(days=self.days)


DEMAND_HOURS = (24, 168, HOURS_PER_YEAR)
"""A day, a week, a year of 365 days."""


class Capacity(SpecModel):
    """How demand moves over the day, and how capacity may be bought."""

    demand: Literal["constant", "business-hours"] | tuple[Annotated[float, Field(ge=0, le=1)], ...] | DemandFile = (
        Field(
            default="constant",
            description=(
                "A named profile, 24 or 168 hourly fractions of the peak, or the path of a CSV file with the 8,760"
                " hours of a year (columns hour and demand)"
            ),
        )
    )
    interruption: Literal["never", "tolerate"] = Field(default="never", description="tolerate: Spot may be bought")
    reservation: Annotated[
        Annotated[Literal["auto", "none"], Tag("keyword")] | Annotated[OwnReservation, Tag("existing")],
        Discriminator(lambda given: "keyword" if isinstance(given, str) else "existing"),
    ] = Field(
        default="auto",
        description=(
            "auto: what runs all the time and gangs of nodes hold reserved capacity; a mapping with id or group: all "
            "nodes run in a reservation that exists already"
        ),
    )
    block: CapacityBlock | None = Field(
        default=None,
        exclude_if=lambda block: block is None,
        description="AWS: buy all nodes as a Capacity Block, which is the only way to some types",
    )
    policy: Literal["optimal", "tiered"] = Field(
        default="optimal",
        description="Serving: optimal is the cheapest mix; tiered is Spot below half, reserved to 80 %, then on-demand",
    )
    commitment: Literal["1-year", "3-year", "none"] = Field(
        default="none",
        description="Serving: term signed for what is reserved; none: at the on-demand rate, so that types whose terms"
        " are known and types whose terms are not compete on the same ground",
    )

    @field_validator("reservation", mode="before")
    @classmethod
    def _id_in_a_mapping(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith(("cr-", "arn:")):
            key = "id" if value.startswith("cr-") else "group"
            raise ValueError(f"an existing reservation is written as {{{key}: {value}}}; auto and none are words")
        return value

    @model_validator(mode="after")
    def _one_market(self) -> "Capacity":
        if self.block is not None and self.interruption == "tolerate":
            raise ValueError(
                "block and interruption: tolerate exclude each other: a launch template buys nodes in one way, and "
                "Capacity Blocks, Spot and On-Demand Capacity Reservations are different ways; drop one of the two"
            )
        if isinstance(self.reservation, OwnReservation) and (self.block is not None or self.interruption == "tolerate"):
            other = "block" if self.block is not None else "interruption: tolerate"
            raise ValueError(
                f"reservation names one that exists, and {other} buys in another way: a launch template buys nodes "
                "in one way; drop one of the two"
            )
        if self.block is not None and self.reservation == "none":
            raise ValueError("block is reserved capacity, and reservation is none; drop one of the two")
        return self

    @model_validator(mode="after")
    def _day_or_week(self) -> "Capacity":
        if isinstance(self.demand, tuple):
            if len(self.demand) not in DEMAND_HOURS:
                raise ValueError(
                    f"demand has {len(self.demand):,} fractions; give 24 (a day), 168 (a week) or 8,760 (a year)"
                )
            if max(self.demand) <= 0:
                raise ValueError("demand is zero in every hour; at least one fraction must be above 0")
        return self


class Budget(SpecModel):
    """Upper bounds on the bill."""

    usd_per_month: float | None = Field(
        default=None, gt=0, description="Of 730 hours; of updates and what stays between them where every_days is given"
    )
    usd_per_run: float | None = Field(
        default=None,
        gt=0,
        exclude_if=lambda given: given is None,
        description="Training: of the whole run, of one update where every_days repeats it",
    )


class Security(SpecModel):
    """What an organisation asks of every identity."""

    permissions_boundary: PolicyArn | None = Field(
        default=None, description="AWS: ARN of the policy that bounds every role of the cluster"
    )
    ebs_default_key: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description=(
            "AWS with orchestrator slurm, which takes no key for root volumes: the cluster's key has to be the default "
            "of EBS in the account and region, and Terraform plans nothing before it is"
        ),
    )


class Headroom(SpecModel):
    """What is kept free: of peak compute (30 % in the hardware guide that this product follows) and of memory."""

    compute_fraction: float = Field(default=0.30, ge=0, lt=1)
    memory_fraction: float = Field(default=0.90, ge=0.01, le=1, description="Share of GPU memory that may be used")


class State(SpecModel):
    """Where Terraform keeps its state. Paths are relative, so that the output does not depend on the folder."""

    backend: Literal["local", "s3", "azurerm"] = "local"
    bucket: StateBucket | None = Field(default=None, description="s3: bucket; azurerm: storage account")
    container: StateContainer = "tfstate"
    resource_group: ResourceGroup | None = Field(default=None, description="azurerm: of the storage account")
    region: Identifier | None = Field(
        default=None, description="s3: region of the bucket; azurerm: of the account, for bootstrap-state"
    )
    key_prefix: KeyPrefix = "llmcluster"

    @model_validator(mode="after")
    def _where(self) -> "State":
        if self.backend == "s3" and not (self.bucket and self.region):
            raise ValueError("state.backend s3 needs state.bucket and state.region")
        if self.backend == "azurerm" and not (self.bucket and self.resource_group):
            raise ValueError("state.backend azurerm needs state.bucket (the storage account) and state.resource_group")
        return self
