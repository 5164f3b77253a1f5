"""ClusterSpec: what the user writes. One pydantic model is the schema, the documentation and the check."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from provider_catalog.precision import Precision

NAME_PATTERN = r"^[a-z][a-z0-9-]{1,27}[a-z0-9]$"
"""3 to 29 characters: the suffixes that the stacks add must fit names limited to 63 (S3 bucket) and 64 (IAM)."""


class SpecModel(BaseModel):
    """Immutable; a misspelt key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NominalModel(SpecModel):
    """A model known by its size only."""

    parameters: str = Field(description="Nominal size such as 7B, 65B, 1.5B; the published shape of that class is used")


class Slo(SpecModel):
    """Service level objective of a request."""

    ttft_ms: float = Field(default=2000, gt=0, description="Time to first token, milliseconds, mean")
    tpot_ms: float = Field(default=100, gt=0, description="Time per output token, milliseconds, mean")


class InferenceWorkload(SpecModel):
    """Serve requests of a typical shape at a load."""

    kind: Literal["inference"]
    request_rate_per_s: float | None = Field(default=None, gt=0, le=1e6, description="Requests a second at peak")
    concurrency: int | None = Field(default=None, gt=0, le=10_000_000, description="Requests in flight at peak")
    prompt_tokens: int = Field(default=1024, gt=0, le=10_000_000)
    output_tokens: int = Field(default=256, gt=0, le=10_000_000)
    slo: Slo = Slo()

    @model_validator(mode="after")
    def _one_load(self) -> "InferenceWorkload":
        if self.request_rate_per_s is not None and self.concurrency is not None:
            raise ValueError("give request_rate_per_s or concurrency, not both: each follows from the other")
        return self


Optimizer = Literal["adamw", "adamw-bf16-moments", "adamw-8bit", "adafactor", "muon", "sgd-momentum"]
TrainingMethod = Literal["full", "lora", "qlora"]
LoraTargets = Literal["attention", "attention-and-mlp"]


class TrainingWorkload(SpecModel):
    """Pass `tokens` through the model, forward and backward, within a deadline."""

    kind: Literal["training", "finetuning"]
    tokens: float = Field(gt=0, le=1e16, description="Training tokens in all")
    sequence_length: int = Field(default=4096, gt=0, le=10_000_000)
    global_batch_tokens: float = Field(default=4_194_304, gt=0, le=1e12, description="Tokens of one optimizer step")
    deadline_days: float = Field(default=30, gt=0, le=3650)
    optimizer: Optimizer = Field(default="adamw", description="adamw keeps fp32 master weights and fp32 moments")
    gradient_precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="Format in which gradients are accumulated"
    )
    method: TrainingMethod = Field(
        default="full", description="Finetuning only: lora and qlora freeze the weights (qlora in 4 bits)"
    )
    lora_rank: int = Field(default=16, gt=0, le=4096, description="Rank of every adapter of lora and qlora")
    lora_targets: LoraTargets = Field(
        default="attention-and-mlp", description="Linear layers that get an adapter; mlp includes routed experts"
    )
    recompute: Literal["auto", "none", "selective", "full"] = "auto"
    flash_attention: bool = Field(default=True, description="False keeps the attention scores in memory")

    @model_validator(mode="after")
    def _adapters_are_for_finetuning(self) -> "TrainingWorkload":
        if self.method != "full" and self.kind != "finetuning":
            raise ValueError(
                f"method is {self.method}, but kind is {self.kind}: adapters start from a trained model; allowed is"
                " full, or set kind: finetuning"
            )
        changed = [
            name
            for name in ("lora_rank", "lora_targets")
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if self.method == "full" and changed:
            raise ValueError(f"{' and '.join(changed)} given, but method is full; set method: lora or qlora")
        return self


Workload = Annotated[InferenceWorkload | TrainingWorkload, Field(discriminator="kind")]


class PrecisionChoice(SpecModel):
    """Number formats. `auto` takes the published format when serving and bf16 when training."""

    weights: Precision | Literal["auto"] = "auto"
    kv_cache: Precision | Literal["auto"] = "auto"


class Placement(SpecModel):
    """Where the cluster may stand. Empty lists leave the choice to the planner."""

    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = Field(default=(), description="Empty: the default region of each provider")
    zone: str | None = Field(default=None, description="AWS: availability zone id (use1-az6); Azure: zone number")
    instance_types: tuple[str, ...] | Literal["any"] = "any"
    max_nodes: int = Field(default=2048, gt=0, le=16384)


class Storage(SpecModel):
    """Shared file system and node-local scratch."""

    shared_tib: float = Field(default=1.0, gt=0, le=10_000, description="Usable size; rounded up to a size on sale")
    shared_sku: str | None = Field(default=None, description="A SKU of the provider; None: the provider's default")
    scratch: Literal["raid0", "none"] = "raid0"
    checkpoints_tib: float = Field(default=1.0, ge=0, le=100_000, description="Kept in the object store, for the bill")


class Capacity(SpecModel):
    """How demand moves over the day, and how capacity may be bought."""

    demand: Literal["constant", "business-hours"] | tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        default="constant", description="A named profile, or 24 or 168 hourly fractions of the peak"
    )
    interruption: Literal["never", "tolerate"] = Field(default="never", description="tolerate: Spot may be bought")
    reservation: Literal["auto", "none"] = Field(
        default="auto", description="auto: what runs all the time and gangs of nodes hold reserved capacity"
    )

    @model_validator(mode="after")
    def _day_or_week(self) -> "Capacity":
        if isinstance(self.demand, tuple):
            if len(self.demand) not in (24, 168):
                raise ValueError(f"demand has {len(self.demand)} fractions; give 24 (a day) or 168 (a week)")
            if max(self.demand) <= 0:
                raise ValueError("demand is zero in every hour; at least one fraction must be above 0")
        return self


class Budget(SpecModel):
    """Upper bounds on the bill."""

    usd_per_month: float | None = Field(default=None, gt=0)


class Headroom(SpecModel):
    """What is kept free: of peak compute (30 % in the hardware guide that this product follows) and of memory."""

    compute_fraction: float = Field(default=0.30, ge=0, lt=1)
    memory_fraction: float = Field(default=0.90, gt=0, le=1, description="Share of GPU memory that may be used")


class Network(SpecModel):
    """Addresses of the cluster's own network."""

    cidr: str = Field(default="10.42.0.0/16", pattern=r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$")


class State(SpecModel):
    """Where Terraform keeps its state. Paths are relative, so that the output does not depend on the folder."""

    backend: Literal["local", "s3", "azurerm"] = "local"
    bucket: str | None = Field(default=None, description="s3: bucket; azurerm: storage account")
    container: str = "tfstate"
    resource_group: str | None = Field(default=None, description="azurerm: of the storage account")
    region: str | None = Field(default=None, description="s3: region of the bucket")
    key_prefix: str = "llmcluster"

    @model_validator(mode="after")
    def _where(self) -> "State":
        if self.backend == "s3" and not (self.bucket and self.region):
            raise ValueError("state.backend s3 needs state.bucket and state.region")
        if self.backend == "azurerm" and not (self.bucket and self.resource_group):
            raise ValueError("state.backend azurerm needs state.bucket (the storage account) and state.resource_group")
        return self


class PinnedLayout(SpecModel):
    """Parallel degrees the search may not change. What is left out is derived."""

    tensor: int | None = Field(default=None, gt=0)
    pipeline: int | None = Field(default=None, gt=0)
    data: int | None = Field(default=None, gt=0)
    expert: int | None = Field(default=None, gt=0)
    context: int | None = Field(default=None, gt=0)
    micro_batch: int | None = Field(default=None, gt=0)
    virtual_stages: int | None = Field(default=None, gt=0)
    zero_stage: Literal[0, 1, 2, 3] | None = None
    recompute: Literal["none", "selective", "full"] | None = None
    sequence_parallel: bool | None = None
    schedule: Literal["1f1b", "interleaved", "zero-bubble", "dualpipe"] | None = None


class PinnedNode(SpecModel):
    """A node of one's own, instead of an instance type."""

    gpu: str
    gpus: int = Field(gt=0, le=1024)
    nvlink_gb_per_s: float | None = Field(default=None, ge=0, description="Per GPU, both directions together")
    nic_gbit_per_s: float = Field(gt=0, description="Per node, one direction")


class Pin(SpecModel):
    """What the search may not change. With everything pinned, one configuration is evaluated."""

    instance_type: str | None = None
    node: PinnedNode | None = None
    nodes: int | None = Field(default=None, gt=0, le=1_000_000)
    layout: PinnedLayout = PinnedLayout()
    batch: int | None = Field(default=None, gt=0, description="Inference: sequences of one replica's static batch")

    @model_validator(mode="after")
    def _one_machine(self) -> "Pin":
        if self.instance_type is not None and self.node is not None:
            raise ValueError("give pin.instance_type or pin.node, not both")
        return self


class ClusterSpec(SpecModel):
    """A model, a workload and what is allowed. Everything but name, model and workload.kind has a default."""

    name: str = Field(pattern=NAME_PATTERN, description="3 to 29 lower-case letters, digits and hyphens")
    model: str | NominalModel = Field(description="A preset, a path to a config.json, or {parameters: 65B}")
    workload: Workload
    precision: PrecisionChoice = PrecisionChoice()
    placement: Placement = Placement()
    storage: Storage = Storage()
    capacity: Capacity = Capacity()
    orchestrator: Literal["none"] = "none"
    budget: Budget = Budget()
    headroom: Headroom = Headroom()
    network: Network = Network()
    state: State = State()
    tags: dict[str, str] = Field(default_factory=dict, description="Put on every resource beside the cluster's own")
    pin: Pin = Pin()
