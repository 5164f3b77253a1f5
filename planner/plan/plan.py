"""Plan: the contract between planning and everything after it. Stacks, cost and report need nothing else."""

from typing import Annotated, Final, Literal

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.reliability import Reliability
from planner.plan.topology import Topology
from planner.spec import NAME_PATTERN, ClusterSpec
from planner.spec.text import GpuName, Identifier
from provider_catalog.facts import Provenance
from provider_catalog.precision import Precision
from provider_catalog.purchase_kinds import PURCHASE_KINDS, PurchaseKind

PLAN_SCHEMA_VERSION: Final = 1
"""Of plans as they are written. Raised when a field is renamed or removed, or when a default of the spec changes; plans
without it, from before it, are version 0."""

Count = Annotated[int, Field(ge=0, le=10**9)]
OneOrMore = Annotated[int, Field(ge=1, le=10**9)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""What a plan holds reaches documents and scripts from a lock as well as from the search."""
MachineName = GpuName
"""An instance type, or a node of one's own such as `8x H800`."""
Role = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
Sku = Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._:/+-]{0,128}$")]

RootDisk = Literal["network", "ephemeral"]
"""Where a node's root disk lives: on a billed network disk, or on the host, gone with the node."""


class Purchase(PlanModel):
    """How many nodes are bought how. The four sum to the nodes of the choice."""

    reserved_nodes: Count = 0
    """Held by a capacity reservation of the cloud, from the day it stands."""
    spot_nodes: Count = 0
    on_demand_nodes: Count = 0
    capacity_block_nodes: Count = 0
    """Nodes in a Capacity Block, of which `capacity_block_instances` are bought."""
    capacity_block_instances: Count = 0
    reason: str = ""

    def nodes_of(self, kind: PurchaseKind) -> int:
        """Nodes that are bought in this way."""
        nodes: int = getattr(self, f"{kind}_nodes")
        return nodes

    def nodes_by_kind(self) -> dict[PurchaseKind, int]:
        """Nodes by kind of purchase, without the kinds that the plan does not use."""
        return {kind: nodes for kind in PURCHASE_KINDS if (nodes := self.nodes_of(kind))}


class SharedStorage(PlanModel):
    """The shared file system on order."""

    sku: Identifier
    deployment_type: Identifier
    size_gib: OneOrMore
    requested_gib: Amount
    throughput_mb_per_s: Amount
    throughput_mb_per_s_per_tib: Count


class PassThresholds(PlanModel):
    """Bus bandwidths, 10^9 bytes/s, of an all-reduce that the nodes have to reach; None: no threshold is known."""

    inside_gb_per_s: Amount | None = None
    """Over the GPUs of a node."""
    between_gb_per_s: Amount | None = None
    """Over several nodes."""


class Choice(PlanModel):
    """The cluster to build."""

    provider: Identifier
    region: Identifier
    zone: Identifier | None
    """The one compute zone: an AWS zone id, an Azure zone number."""
    instance_type: MachineName
    gpu: GpuName
    nodes: OneOrMore
    gpus: OneOrMore
    multi_node: bool
    """Whether nodes work together over the fabric (one gang, or replicas larger than a node)."""
    layout: Layout
    weights: Precision
    kv_cache: Precision
    purchase: Purchase
    shared_storage: SharedStorage | None
    scratch: Literal["raid0", "none"]
    root_disk_gib: Count
    root_disk: RootDisk = "network"
    pass_thresholds: PassThresholds = PassThresholds()


class TrainingPerformance(PlanModel):
    """What the training engine predicts. MFU counts model FLOPs, HFU also recomputed ones."""

    kind: Literal["training"] = "training"
    engine: str
    step_time_s: float
    steps: int
    mfu: float
    hfu: float
    tflops_per_gpu: float
    tokens_per_s_per_gpu: float
    goodput: float
    """Share of the time that advances the work; days = steps x step_time_s / goodput."""
    gpu_hours: float
    days: float
    breakdown_s: dict[str, float]
    """Parts of one step in seconds; they sum to step_time_s, the time between two steps that published runs state."""
    breakdown_between_steps_s: dict[str, float] = Field(default_factory=dict)
    """What the run takes beside its steps, in seconds for each of them on average: `checkpoints` (training stands still
    for the write, or for the copy to host memory that an asynchronous one begins with), `lost_work` (done again after
    a failure) and `restarts`. With breakdown_s they sum to effective_step_time_s. Empty in plans made before it."""
    effective_step_time_s: float | None = None
    """step_time_s / goodput: days are steps times this. None in plans made before it."""
    reliability: Reliability | None = None
    """None in plans made before it was planned."""


class ServingPool(PlanModel):
    """Replicas that do one phase of every request."""

    role: Literal["prefill", "decode"]
    replicas: int
    batch: int
    """Requests on each replica at the planned load."""


class Queueing(PlanModel):
    """Waits before the first token of one replica (of one prefill replica where prefill is apart) at the planned load.

    Its operating point is the arrival rate of the spec. A fixed number of users has no such rate: there it is the rate
    that `InferencePerformance.batch` sustains.
    """

    requests_per_s_per_replica: float
    """Arrival rate that this is worked out for."""
    prefill_load: float
    """Share of the time in which a replica is busy with prefill; from 1 on its queue grows without end."""
    slots: int | None
    """Requests that the largest batch within memory and SLO holds; None where no request waits for a slot: for a fixed
    number of users, and where prefill is apart."""
    slot_load: float | None
    """Mean share of the slots that are taken; from 1 on the queue for them grows without end."""
    slot_wait_probability: float | None
    """Probability that a request finds every slot taken."""
    ttft_ms: dict[str, float | None]
    """TTFT in milliseconds by statistic (mean, p50, p95, p99): the waits for a slot and behind other prefills, and the
    prefill with the decode steps that run beside it. None where a queue grows without end."""


class InferencePerformance(PlanModel):
    """Predicted performance of a serving fleet.

    Three operating points occur. The planned load, with `batch` requests in flight on each replica: `ttft_ms`,
    `tpot_ms`, `requests_per_s`, `tokens_per_s` and `queueing`. One static batch of that size, prefilled in one pass and
    decoded to its end: `prefill_ms`, `decode_step_ms` and `breakdown_ms`. Every batch at its largest within memory and
    SLO: `max_concurrency` alone.
    """

    kind: Literal["inference"] = "inference"
    engine: str
    """Name of the engine that predicted it."""
    ttft_ms: float
    """Mean time to first token at the planned load in milliseconds, without the wait for a slot of a full batch, which
    `queueing.ttft_ms` includes: the prefill, one step of the running batch, and the mean wait behind other prefills
    (M/D/1) at the rate that `batch` sustains. Where prefill is apart: its prefill, that wait, and the transfer of the
    KV cache. Where batches are static: the prefill and half of the batch that runs before. For a pinned batch it equals
    `prefill_ms`."""
    tpot_ms: float
    """Mean time per output token at the planned load in milliseconds, prefills of other requests included."""
    prefill_ms: float
    """One static pass over `batch` prompts of prompt_tokens in milliseconds, without a queue; over one prompt on each
    group of ranks that attends apart where prefill has replicas of its own."""
    decode_step_ms: float
    """Mean over the output_tokens steps that follow in milliseconds, with the same static batch."""
    batch: int
    """Requests in flight on each replica at the planned load, on each decode replica where prefill is apart: the
    smallest batch that sustains the rate, the share of the users of a replica, or the pinned batch."""
    max_concurrency: int
    """Requests in flight on the whole fleet with every batch at its largest within memory and SLO, or as pinned."""
    requests_per_s: float
    """Requests per second that the fleet completes with `batch` in flight on each replica. A batch is a whole number,
    so this is the planned rate or slightly more; it is less where pinned nodes do not suffice."""
    tokens_per_s: float
    """Output tokens per second of the fleet at that rate."""
    tokens_per_s_per_gpu: float
    """The same per GPU of the fleet."""
    breakdown_ms: dict[str, float]
    """Parts of one decode step of the static batch in milliseconds; they sum to decode_step_ms."""
    pools: tuple[ServingPool, ...] = ()
    """Of a disaggregated fleet; together they are the replicas of the layout. Empty: every replica does both."""
    queueing: Queueing | None = None
    """None for a pinned static batch, which has no queue."""


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


class Alternative(PlanModel):
    """Another feasible cluster, and why it was not taken."""

    provider: Identifier
    region: Identifier
    instance_type: MachineName
    nodes: OneOrMore
    gpus: int
    layout: Layout
    usd_per_hour: float | None
    usd_per_month: float | None
    usd_per_run: float | None = None
    performance: TrainingPerformance | InferencePerformance
    reason: str
    weights: Precision | None = None
    tokens_per_usd: float | None = None
    """Output tokens for a dollar when serving, at the planned load."""
    on_pareto_front: bool = False
    """Whether no other cluster, the choice included, is both cheaper and faster (TPOT when serving, days else)."""


class ParetoPoint(PlanModel):
    """A training run that no other one looked at beats in both cost and time."""

    provider: Identifier
    region: Identifier
    instance_type: MachineName
    nodes: OneOrMore
    days: float
    usd_per_run: float
    layout: Layout


class CompressionProposal(PlanModel):
    """A way to exchange less between replicas, on the same nodes. Advice: only the spec applies it."""

    setting: str
    """What the spec would say."""
    traffic_share: float
    """Bytes exchanged between replicas, of those exchanged without."""
    step_time_s: float
    saved_s: float
    """Of every step, on average over the run; no more than what is exposed of the exchange."""
    saved_usd_per_day: float | None
    """What the nodes cost in the time that a day's steps take less; None where prices are unknown."""
    packing_s: float
    """What compressing and its reverse take of a step; saved_s is what is left after it."""
    memory_bytes: int
    """More than without, on the fullest GPU; it fits."""
    layout: Layout
    """On which it runs."""
    software: str
    caveat: str


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


class Rejection(PlanModel):
    """A candidate that cannot serve."""

    candidate: str
    reason: str


class CatalogStamp(PlanModel):
    """Which facts the plan rests on."""

    version: str
    prices_as_of: str


class ModelSummary(PlanModel):
    """The model as it was read."""

    name: str
    total_parameters: int
    active_parameters: int
    warnings: tuple[str, ...] = ()


class SoftwareRequirement(PlanModel):
    """What has to be installed on the nodes."""

    stack: str
    """CUDA or ROCm."""
    min_version: str
    min_driver: str | None
    """NVIDIA's kernel driver; None on ROCm, which brings its own."""
    attention: str | None
    """Newest FlashAttention that is written for the GPU."""
    weights_native: bool
    """Whether the GPU multiplies in the format of the weights; else kernels widen them to 16 bits."""
    engines: dict[str, str]
    """Serving engines, with their version, that run the model so, and what their packages take; empty when training."""
    refused_engines: dict[str, str]
    """Why the others do not."""
    source: str


class Autoscaling(PlanModel):
    """Bounds for a scaler over the demand profile; nodes move in steps of one gang."""

    min_nodes: int
    max_nodes: int
    mean_nodes: float
    step_nodes: int


class Plan(PlanModel):
    """The decision, complete enough that stacks, cost and report need nothing else but the catalog."""

    name: str = Field(pattern=NAME_PATTERN)
    spec: ClusterSpec
    spec_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    schema_version: int = PLAN_SCHEMA_VERSION
    catalog: CatalogStamp
    model: ModelSummary
    choice: Choice
    memory_per_gpu: MemoryPerGpu
    performance: TrainingPerformance | InferencePerformance
    cost: Cost
    alternatives: tuple[Alternative, ...]
    rejected: tuple[Rejection, ...]
    smallest: Alternative | None = None
    """Fine-tuning: the least GPU memory that does it within the deadline on one node, where that is not the choice."""
    updates: UpdateCosts | None = None
    """Continued training (workload.every_days); `cost` is what an hour costs while the nodes stand."""
    pareto: tuple[ParetoPoint, ...] = ()
    """Training: cost against time, cheapest first, over every machine and number of nodes."""
    compression: tuple[CompressionProposal, ...] = ()
    """Training whose exchange of gradients is exposed: what would shorten it, the most first."""
    notes: tuple[str, ...] = ()
    """Roundings, assumptions and warnings a reviewer should read."""
    software: SoftwareRequirement | None = None
    autoscaling: Autoscaling | None = None
    """Only for serving whose demand varies."""
    topology: Topology | None = None
    """Which group of ranks talks over what, and the environment of their fabric; None in plans locked before it."""

    @property
    def gang_nodes(self) -> int:
        """Nodes that must work at the same time: all of a training run, those of one replica when serving."""
        return self.choice.layout.gang_nodes(self.choice.nodes, training=self.performance.kind == "training")
