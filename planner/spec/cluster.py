"""Spec models for placement, storage, capacity, budget, security, headroom and Terraform state."""

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from planner.spec.base import SpecModel
from planner.spec.elasticity import known_zone
from planner.spec.lustre import Lustre
from planner.spec.reservation import OwnReservation
from planner.spec.text import (
    DemandFile,
    Identifier,
    KeyPrefix,
    PolicyArn,
    ResourceGroup,
    StateBucket,
    StateContainer,
    TimeZone,
)
from provider_catalog.units import HOURS_PER_YEAR


class Placement(SpecModel):
    """Clouds, regions, zone, instance types and node count that the search may use."""

    providers: tuple[Identifier, ...] = Field(
        default=(), description="Clouds to search, such as [aws, azure]. Empty: every cloud of the catalog"
    )
    regions: tuple[Identifier, ...] = Field(
        default=(), description="Regions to search, such as [us-east-1]. Empty: the default region of each cloud"
    )
    zone: Identifier | None = Field(
        default=None,
        description=(
            "Zone of all nodes. AWS: an availability zone id such as use1-az6; Azure: a zone number. Default: the "
            "planner chooses"
        ),
    )
    zones: tuple[Identifier, ...] = Field(
        default=(),
        exclude_if=lambda zones: not zones,
        description=(
            "AWS: zone ids in the order in which to try them, in place of zone; the plan takes the first zone that "
            "sells the instance type"
        ),
    )
    instance_types: Annotated[tuple[Identifier, ...], Field(min_length=1)] | Literal["any"] = Field(
        default="any", description="Instance types to search, such as [p5.48xlarge]. any: every type of the catalog"
    )
    max_nodes: int = Field(default=2048, gt=0, le=16384, description="Largest number of nodes that a plan may have")

    @model_validator(mode="after")
    def _zone_or_zones(self) -> "Placement":
        if self.zone is not None and self.zones:
            raise ValueError(f"zone is {self.zone} and zones is {', '.join(self.zones)}; give one of the two")
        if len(set(self.zones)) != len(self.zones):
            raise ValueError(f"zones names a zone twice: {', '.join(self.zones)}; name each once")
        return self


class Storage(SpecModel):
    """Shared file system, node-local scratch space and checkpoints."""

    shared_tib: float = Field(
        default=1.0,
        ge=0,
        le=10_000,
        description="Size of the shared file system in TiB, rounded up to a purchasable size; 0 builds none",
    )
    shared_sku: Identifier | None = Field(
        default=None,
        description="SKU of the shared file system, such as PERSISTENT_2-125. Default: the default SKU of the cloud",
    )
    scratch: Literal["raid0", "none"] = Field(
        default="raid0",
        description="raid0: the local NVMe disks of a node are striped into one volume; none: left unused",
    )
    scratch_gb: float = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Smallest local NVMe capacity of a node in GB (10^9 bytes); instance types with less are rejected",
    )
    lustre: Lustre = Field(default=Lustre(), description="Options of the managed Lustre file system")
    checkpoints_tib: float = Field(
        default=1.0,
        ge=0,
        le=100_000,
        description="Size of all checkpoints that the object store keeps, in TiB; the bill covers this size",
    )
    keep_on_destroy: bool = Field(
        default=True,
        description="Whether Terraform refuses to destroy the encryption key, the checkpoints and the file system",
    )

    @model_validator(mode="after")
    def _options_need_a_file_system(self) -> "Storage":
        if self.shared_tib:
            return self
        given = [*(["shared_sku"] if self.shared_sku else []), *(["lustre"] if self.lustre != Lustre() else [])]
        if given:
            raise ValueError(
                f"shared_tib is 0, so that no shared file system is built, and {given[0]} describes one; leave "
                f"{given[0]} out, or give shared_tib a size"
            )
        return self


BLOCK_MAX_NODES = 64
"""Largest number of instances in one Capacity Block (EC2 user guide, "Capacity Blocks for ML")."""
BLOCK_DAY_BY_DAY, BLOCK_MAX_DAYS = 14, 182
"""Terms are 1 to 14 days, or whole weeks up to 182 days (EC2 user guide, "Capacity Blocks for ML")."""


class CapacityBlock(SpecModel):
    """A Capacity Block of AWS: GPU instances in one UltraCluster for a fixed term, paid in advance."""

    start: date = Field(
        description="First day of the term, in UTC. A block can be bought at most eight weeks before it starts"
    )
    days: int = Field(
        ge=1,
        le=BLOCK_MAX_DAYS,
        description="Term in days: 1 to 14, or whole weeks up to 182. The block ends at 11:30 UTC",
    )
    zone: Identifier | None = Field(
        default=None,
        description="Availability zone id of the block; all nodes run there. Default: unknown",
    )
    reservation_id: str | None = Field(
        default=None,
        pattern=r"^cr-[0-9a-f]{8,17}$",
        description="Id of the bought block. You buy the block, Terraform does not; without an id no nodes are created",
    )

    @field_validator("days")
    @classmethod
    def _days_on_sale(cls, value: int) -> int:
        if value > BLOCK_DAY_BY_DAY and value % 7:
            raise ValueError(
                f"Capacity Blocks are sold for 1 to {BLOCK_DAY_BY_DAY} days or for whole weeks up to "
                f"{BLOCK_MAX_DAYS} days; the next longer term is {-(-value // 7) * 7} days"
            )
        return value

    @property
    def end(self) -> date:
        """Day on which the term ends."""
        return self.start + timedelta(days=self.days)


DEMAND_HOURS = (24, 168, HOURS_PER_YEAR)
"""Hours of a day, of a week and of a year of 365 days: the lengths that a demand profile may have."""


class Capacity(SpecModel):
    """Demand over time, and the kinds of capacity that may be bought."""

    demand: Literal["constant", "business-hours"] | tuple[Annotated[float, Field(ge=0, le=1)], ...] | DemandFile = (
        Field(
            default="constant",
            description=(
                "Demand relative to the peak: a named profile, 24 or 168 hourly fractions (a day or a week), or the "
                "path of a CSV file with the 8,760 hours of a year (columns hour and demand). A day begins at 0 h, a "
                "week on Monday at 0 h"
            ),
        )
    )
    time_zone: TimeZone | None = Field(
        default=None,
        exclude_if=lambda zone: zone is None,
        description=(
            "IANA time zone of the hours of demand, such as America/New_York or Etc/UTC. Required where nodes start "
            "and stop by a schedule: serving on AWS with a demand that varies, except under Slurm"
        ),
    )
    first_hour: int = Field(
        default=0,
        ge=0,
        lt=168,
        exclude_if=lambda hour: not hour,
        description=(
            "Hour of the week at which the fractions of demand begin, counted from Monday at 0 h in time_zone. A CSV "
            "file with times says it itself"
        ),
    )
    min_nodes: int | None = Field(
        default=None,
        ge=0,
        le=16384,
        exclude_if=lambda nodes: nodes is None,
        description=(
            "Serving with a demand that varies: number of nodes that run at every hour, even where the demand needs "
            "fewer. Default: as many as the demand of the quietest hour needs"
        ),
    )
    interruption: Literal["never", "tolerate"] = Field(
        default="never",
        description=(
            "Whether the workload tolerates interruptions. tolerate: Spot capacity may be bought; never: it may not"
        ),
    )
    reservation: Annotated[
        Annotated[Literal["auto", "none"], Tag("keyword")] | Annotated[OwnReservation, Tag("existing")],
        Discriminator(lambda given: "keyword" if isinstance(given, str) else "existing"),
    ] = Field(
        default="auto",
        description=(
            "auto: capacity is reserved for nodes that run all the time and for nodes that must run together; none: "
            "nothing is reserved; a mapping with id or group: all nodes run in a reservation that exists already"
        ),
    )
    block: CapacityBlock | None = Field(
        default=None,
        exclude_if=lambda block: block is None,
        description=(
            "AWS: all nodes are bought as a Capacity Block, the only offer for some instance types. Default: no "
            "Capacity Block"
        ),
    )
    policy: Literal["optimal", "tiered"] = Field(
        default="optimal",
        description=(
            "Serving: how reserved, Spot and on-demand nodes are mixed. optimal: the cheapest mix; tiered: Spot up to "
            "50 % of the fleet, reserved up to 80 %, on-demand above"
        ),
    )
    commitment: Literal["1-year", "3-year", "none"] = Field(
        default="none",
        description=(
            "Serving: commitment term used to price reserved nodes. none: the on-demand rate, so that instance types "
            "with and without known commitment rates are compared fairly"
        ),
    )

    @field_validator("reservation", mode="before")
    @classmethod
    def _id_in_a_mapping(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith(("cr-", "arn:")):
            key = "id" if value.startswith("cr-") else "group"
            raise ValueError(f"an existing reservation is written as {{{key}: {value}}}; auto and none are words")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return value if value is None else known_zone(value)

    @model_validator(mode="after")
    def _one_market(self) -> "Capacity":
        if self.block is not None and self.interruption == "tolerate":
            raise ValueError(
                "block and interruption: tolerate exclude each other: a launch template buys nodes in one way only, "
                "either as a Capacity Block, as Spot or in an On-Demand Capacity Reservation; drop one of the two"
            )
        if isinstance(self.reservation, OwnReservation) and (self.block is not None or self.interruption == "tolerate"):
            other = "block" if self.block is not None else "interruption: tolerate"
            raise ValueError(
                f"reservation names one that exists, and {other} buys in another way: a launch template buys nodes "
                "in one way; drop one of the two"
            )
        if self.block is not None and self.reservation == "none":
            raise ValueError("block is reserved capacity, but reservation is none; drop one of the two")
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
    """Upper bounds for the bill. Plans above a bound are infeasible."""

    usd_per_month: float | None = Field(
        default=None,
        gt=0,
        description=(
            "Upper bound for a month of 730 hours, in USD. With workload.every_days it covers the updates of a month "
            "and the resources that stay between them. Default: no bound"
        ),
    )
    usd_per_run: float | None = Field(
        default=None,
        gt=0,
        exclude_if=lambda given: given is None,
        description=(
            "Training: upper bound for the whole run, in USD, or for one update if workload.every_days is given. "
            "Default: no bound"
        ),
    )


class Security(SpecModel):
    """Requirements of an organisation for IAM roles and disk encryption."""

    permissions_boundary: PolicyArn | None = Field(
        default=None,
        description="AWS: ARN of the IAM policy that is the permissions boundary of every role. Default: no boundary",
    )
    ebs_default_key: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description=(
            "AWS with orchestrator: slurm. Whether the key of the cluster must be the default EBS key of the account "
            "and region, because ParallelCluster accepts no key for root volumes. If true, `terraform plan` fails "
            "until it is"
        ),
    )


class Headroom(SpecModel):
    """Safety margins of the prediction. The compute margin of 30 % is that of the hardware guide that we follow."""

    compute_fraction: float = Field(
        default=0.30,
        ge=0,
        lt=1,
        description=(
            "Share of peak compute that is kept free. Above 0.30 kernels are slower than measured in proportion; below "
            "0.30 nothing is faster"
        ),
    )
    memory_fraction: float = Field(
        default=0.90, ge=0.01, le=1, description="Share of GPU memory that a plan may use; the rest stays free"
    )


class State(SpecModel):
    """Backend that stores the Terraform state.

    Paths of local state are relative, so that the output does not depend on the folder.
    """

    backend: Literal["local", "s3", "azurerm"] = Field(
        default="local", description="Backend of Terraform. local: files beside the stacks"
    )
    bucket: StateBucket | None = Field(
        default=None,
        description="Required except for local. s3: name of the bucket; azurerm: name of the storage account",
    )
    container: StateContainer = Field(default="tfstate", description="azurerm: blob container of the state")
    resource_group: ResourceGroup | None = Field(
        default=None, description="azurerm: resource group of the storage account, which is required"
    )
    region: Identifier | None = Field(
        default=None,
        description=(
            "s3: region of the bucket, which is required; azurerm: region of the storage account, used by `llmcluster "
            "bootstrap-state`"
        ),
    )
    key_prefix: KeyPrefix = Field(
        default="llmcluster", description="Prefix of the names of state objects: <key_prefix>/<stack>.tfstate"
    )

    @model_validator(mode="after")
    def _where(self) -> "State":
        if self.backend == "s3" and not (self.bucket and self.region):
            raise ValueError("state.backend s3 needs state.bucket and state.region")
        if self.backend == "azurerm" and not (self.bucket and self.resource_group):
            raise ValueError("state.backend azurerm needs state.bucket (the storage account) and state.resource_group")
        return self
