"""Plan: the contract between planning and everything after it. Stacks, cost and report need nothing else."""

from typing import Literal

from planner.parallelism import Layout, MemoryPerGpu
from planner.plan_model import PlanModel
from planner.spec import ClusterSpec
from provider_catalog.facts import Provenance
from provider_catalog.precision import Precision

RootDisk = Literal["network", "ephemeral"]
"""Where a node's root disk lives: on a billed network disk, or on the host, gone with the node."""


class Purchase(PlanModel):
    """How many nodes are bought how. The three sum to the nodes of the choice."""

    reserved_nodes: int = 0
    """Held by a capacity reservation of the cloud, from the day it stands."""
    spot_nodes: int = 0
    on_demand_nodes: int = 0
    reason: str = ""


class SharedStorage(PlanModel):
    """The shared file system on order."""

    sku: str
    deployment_type: str
    size_gib: int
    requested_gib: float
    throughput_mb_per_s: float
    throughput_mb_per_s_per_tib: int


class Choice(PlanModel):
    """The cluster to build."""

    provider: str
    region: str
    zone: str | None
    """The one compute zone: an AWS zone id, an Azure zone number."""
    instance_type: str
    gpu: str
    nodes: int
    gpus: int
    multi_node: bool
    """Whether nodes work together over the fabric (one gang, or replicas larger than a node)."""
    layout: Layout
    weights: Precision
    kv_cache: Precision
    purchase: Purchase
    shared_storage: SharedStorage | None
    scratch: Literal["raid0", "none"]
    root_disk_gib: int
    root_disk: RootDisk = "network"


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
    gpu_hours: float
    days: float
    breakdown_s: dict[str, float]
    """Parts of one step in seconds; they sum to step_time_s."""


class InferencePerformance(PlanModel):
    """What the inference engine predicts at the planned load."""

    kind: Literal["inference"] = "inference"
    engine: str
    ttft_ms: float
    tpot_ms: float
    prefill_ms: float
    """`batch` prompts of prompt_tokens in one static pass, no queue."""
    decode_step_ms: float
    """Mean over the output_tokens steps that follow, same static batch."""
    batch: int
    max_concurrency: int
    """Requests in flight that the fleet holds at the SLO."""
    requests_per_s: float
    """What the fleet sustains at the SLO."""
    tokens_per_s: float
    """Output tokens a second at that rate."""
    tokens_per_s_per_gpu: float
    breakdown_ms: dict[str, float]
    """Parts of one decode step in milliseconds."""


class CostItem(PlanModel):
    """One line of the bill. usd_per_hour is the mean over the demand profile."""

    name: str
    role: str
    """What it pays for, the same word on every cloud; the stacks map it to a resource address."""
    stack: Literal["network", "storage", "compute"]
    resource: str | None = None
    quantity: float
    unit: str
    unit_price_usd: float | None
    """None: unknown; nobody could source it."""
    usd_per_hour: float | None
    provenance: Provenance


class Cost(PlanModel):
    """The bill. Sums cover the items with a known price; `unknown` names the others."""

    usd_per_hour: float | None
    usd_per_month: float | None
    """730 hours."""
    usd_per_run: float | None = None
    usd_per_million_output_tokens: float | None = None
    items: tuple[CostItem, ...]
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Alternative(PlanModel):
    """Another feasible cluster, and why it was not taken."""

    provider: str
    region: str
    instance_type: str
    nodes: int
    gpus: int
    layout: Layout
    usd_per_hour: float | None
    usd_per_month: float | None
    usd_per_run: float | None = None
    performance: TrainingPerformance | InferencePerformance
    reason: str


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


class Plan(PlanModel):
    """The decision, complete enough that stacks, cost and report need nothing else but the catalog."""

    name: str
    spec: ClusterSpec
    spec_sha256: str
    catalog: CatalogStamp
    model: ModelSummary
    choice: Choice
    memory_per_gpu: MemoryPerGpu
    performance: TrainingPerformance | InferencePerformance
    cost: Cost
    alternatives: tuple[Alternative, ...]
    rejected: tuple[Rejection, ...]
    notes: tuple[str, ...] = ()
    """Roundings, assumptions and warnings a reviewer should read."""
