"""The model and what it has to do: serve requests, or train."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.dataset import Dataset
from planner.spec.fault_tolerance import FaultTolerance
from planner.spec.text import ModuleName, NominalSize
from planner.spec.training_software import DEFAULT_SOFTWARE, TrainingSoftware
from planner.vocabulary import Recompute
from provider_catalog.precision import KEEP_PATTERN, Precision


class NominalModel(SpecModel):
    """A model known by its size only."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    parameters: NominalSize = Field(
        description="Nominal size such as 7B, 65B, 1.5B; the published shape of that class is used"
    )


SloPercentile = Literal["mean", "p50", "p95", "p99"]


class Slo(SpecModel):
    """Service level objective of a request."""

    ttft_ms: float = Field(default=2000, gt=0, description="Time to first token, milliseconds")
    tpot_ms: float = Field(default=100, gt=0, description="Time per output token, milliseconds, mean")
    percentile: SloPercentile = Field(
        default="mean",
        description="What ttft_ms bounds: the mean, or the share of requests within it, queueing included",
    )


class Speculation(SpecModel):
    """Drafted tokens that one decode step verifies: a draft model, or a model's own multi-token prediction layers."""

    draft_tokens: int = Field(default=1, gt=0, le=16, description="Drafted at each step")
    acceptance: float = Field(
        default=0.85, gt=0, lt=1, description="Probability that a drafted token is kept (DeepSeek-V3: 0.85 to 0.90)"
    )
    draft_cost: float | None = Field(
        default=None, ge=0, le=1, description="Of a step, for each drafted token; None: one layer, as an MTP layer"
    )

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens a step yields: (1-a^(d+1))/(1-a) (Leviathan et al. 2023, arXiv 2211.17192, equation 1)."""
        return (1 - self.acceptance ** (self.draft_tokens + 1)) / (1 - self.acceptance)


DEFAULT_REQUEST_RATE_PER_S = 1.0
"""Load that is planned for when a spec gives neither request_rate_per_s nor concurrency. Our own choice."""


class InferenceWorkload(SpecModel):
    """Serve requests of a typical shape at a load."""

    kind: Literal["inference"]
    request_rate_per_s: float | None = Field(
        default=None,
        ge=1e-9,
        le=1e6,
        description="Requests a second at peak; 1 where neither this nor concurrency is given",
    )
    concurrency: int | None = Field(default=None, gt=0, le=10_000_000, description="Requests in flight at peak")
    prompt_tokens: int = Field(default=1024, gt=0, le=10_000_000)
    output_tokens: int = Field(default=256, gt=0, le=10_000_000)
    slo: Slo = Slo()
    engine: Literal["analytic", "silicon", "auto"] = Field(
        default="analytic",
        description="What predicts the shortlist: analytic, or silicon (measured kernels; needs the extra `silicon`)",
    )
    fleet: Literal["aggregated", "disaggregated", "auto"] = Field(
        default="aggregated", description="disaggregated: prefill and decode on replicas of their own"
    )
    dynamic_batching: bool = Field(default=True, description="False: a batch is served to its end before the next")
    chunked_prefill: bool = Field(default=True, description="Prompts ride along with decode steps, a chunk at a time")
    prefix_cache_hit_rate: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the prompt's tokens that the prefix cache holds"
    )
    speculation: Speculation | None = Field(default=None, description="Speculative decoding or multi-token prediction")
    spare_replicas: int = Field(
        default=0, ge=0, le=1000, description="Replicas beyond those that carry the load: 1 is N+1"
    )
    serving_engine: Literal["auto", "vllm", "sglang", "tensorrt-llm"] = Field(
        default="auto", description="Engine that serves; what it cannot run is refused. auto: any, vLLM's commands"
    )

    @property
    def offered_requests_per_s(self) -> float:
        """Requests a second at peak that the fleet has to carry: the spec's rate, or the default.

        Where the spec gives `concurrency`, the rate follows from it and this value is not used.
        """
        return DEFAULT_REQUEST_RATE_PER_S if self.request_rate_per_s is None else self.request_rate_per_s

    @property
    def cached_prompt_tokens(self) -> float:
        """Prompt tokens that are not computed again."""
        return self.prompt_tokens - self.new_prompt_tokens

    @property
    def new_prompt_tokens(self) -> float:
        """Prompt tokens that are computed; the last one always is."""
        return max(1.0, self.prompt_tokens * (1 - self.prefix_cache_hit_rate))

    @model_validator(mode="after")
    def _one_load(self) -> "InferenceWorkload":
        if self.request_rate_per_s is not None and self.concurrency is not None:
            raise ValueError("give request_rate_per_s or concurrency, not both: each follows from the other")
        return self


Optimizer = Literal["adamw", "adamw-bf16-moments", "adamw-8bit", "adafactor", "muon", "sgd-momentum", "paged-adamw"]
TrainingMethod = Literal["full", "lora", "qlora"]
LoraTargets = (
    Literal["attention", "attention-and-mlp"] | Annotated[tuple[ModuleName, ...], Field(min_length=1, max_length=1000)]
)
"""Blocks, or linear layers by the names that Hugging Face gives them."""
DEFAULT_POWERSGD_RANK = 4
"""Of the ranks 1, 2 and 4 of the paper (arXiv 1905.13727, Table 3) the one that keeps its accuracy everywhere."""
GradientCompression = Literal["none", "one_bit_adam", "zero_one_adam", "zero_pp_int8", "zero_pp_int4", "powersgd"]


class TrainingWorkload(SpecModel):
    """Pass `tokens` through the model, forward and backward, within a deadline."""

    kind: Literal["training", "finetuning"]
    tokens: float | None = Field(
        default=None, gt=0, le=1e16, description="Training tokens in all, of one update where every_days repeats it"
    )
    dataset: Dataset | None = Field(
        default=None, exclude_if=lambda given: given is None, description="Examples and epochs, instead of tokens"
    )
    every_days: float | None = Field(
        default=None,
        ge=0.1,
        le=3650,
        exclude_if=lambda given: given is None,
        description="Continued training: the run is an update that starts anew every so many days, and is priced so",
    )
    sequence_length: int = Field(default=4096, gt=0, le=10_000_000)
    global_batch_tokens: float = Field(default=4_194_304, gt=0, le=1e12, description="Tokens of one optimizer step")
    deadline_days: float = Field(default=30, ge=1e-6, le=3650)
    optimizer: Optimizer = Field(
        default="adamw",
        description="adamw keeps fp32 master weights and fp32 moments; paged-adamw moves them to the host (adapters)",
    )
    gradient_precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="Format in which gradients are accumulated"
    )
    method: TrainingMethod = Field(
        default="full", description="Finetuning only: lora and qlora freeze the weights (qlora in 4 bits)"
    )
    lora_rank: int = Field(default=16, gt=0, le=4096, description="Rank of every adapter of lora and qlora")
    lora_targets: LoraTargets = Field(
        default="attention-and-mlp",
        description="What gets an adapter: a block, or names such as [q_proj, v_proj]; mlp includes routed experts",
    )
    recompute: Recompute | Literal["auto"] = "auto"
    flash_attention: bool = Field(default=True, description="False keeps the attention scores in memory")
    flash_attention_version: Literal[1, 2, 3, 4] | None = Field(
        default=None,
        exclude_if=lambda given: given is None,
        description="Generation of its kernels; left out: the newest that runs on the GPU",
    )
    software: TrainingSoftware = Field(
        default=DEFAULT_SOFTWARE,
        exclude_if=lambda given: given == DEFAULT_SOFTWARE,
        description="How the training framework runs it",
    )
    gradient_compression: GradientCompression = Field(
        default="none",
        exclude_if=lambda given: given == "none",
        description="What replicas exchange instead of gradients; each method asks for its own layout and software",
    )
    powersgd_rank: int = Field(
        default=DEFAULT_POWERSGD_RANK,
        gt=0,
        le=1024,
        exclude_if=lambda given: given == DEFAULT_POWERSGD_RANK,
        description="Rank of powersgd",
    )
    fault_tolerance: FaultTolerance = Field(
        default=FaultTolerance(),
        exclude_if=lambda given: given == FaultTolerance(),
        description="Checkpoints and restarts",
    )

    @property
    def computed_tokens(self) -> float:
        """Tokens that pass through the model, padding included."""
        if self.dataset is not None:
            return self.dataset.computed_tokens(self.sequence_length)
        return self.tokens or 0.0

    @model_validator(mode="after")
    def _one_amount(self) -> "TrainingWorkload":
        if (self.tokens is None) == (self.dataset is None):
            given = "neither" if self.tokens is None else "both"
            raise ValueError(f"give tokens, or dataset with examples and tokens_per_example; {given} of them given")
        return self

    @model_validator(mode="after")
    def _a_batch_holds_a_sequence(self) -> "TrainingWorkload":
        if self.global_batch_tokens < self.sequence_length:
            raise ValueError(
                f"global_batch_tokens is {self.global_batch_tokens:,.0f}, less than one sequence; nearest is"
                f" {self.sequence_length:,} (sequence_length)"
            )
        return self

    @model_validator(mode="after")
    def _updates_end_before_the_next(self) -> "TrainingWorkload":
        if (
            self.every_days is not None
            # The default counts as left out, so that a plan reads as its spec does.
            and self.deadline_days != type(self).model_fields["deadline_days"].default
            and self.deadline_days > self.every_days
        ):
            raise ValueError(
                f"deadline_days is {self.deadline_days:g}, and an update starts every {self.every_days:g} days"
                f" (every_days): it must be done before the next; allowed is up to {self.every_days:g}"
            )
        return self

    @model_validator(mode="after")
    def _paging_is_for_adapters(self) -> "TrainingWorkload":
        if self.optimizer == "paged-adamw" and self.method == "full":
            raise ValueError(
                "optimizer is paged-adamw, but method is full: all of its states would cross PCIe in every step; use"
                " adamw-8bit, or set method: lora or qlora"
            )
        return self

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

    @model_validator(mode="after")
    def _rank_is_for_powersgd(self) -> "TrainingWorkload":
        if self.gradient_compression != "powersgd" and self.powersgd_rank != DEFAULT_POWERSGD_RANK:
            raise ValueError(
                f"powersgd_rank is given, but gradient_compression is {self.gradient_compression}; set"
                " gradient_compression: powersgd"
            )
        return self


Workload = Annotated[InferenceWorkload | TrainingWorkload, Field(discriminator="kind")]


class PrecisionChoice(SpecModel):
    """Number formats. `auto` takes the published format when serving and bf16 when training."""

    weights: Precision | Literal["auto"] = "auto"
    experts: Precision | Literal["auto"] = Field(
        default="auto", description="Of routed experts; auto: as the other weights, or as published"
    )
    keep: tuple[Annotated[str, Field(pattern=f"^({KEEP_PATTERN})$")], ...] = Field(
        default=(),
        description="What stays in 16 bits below them: attention, mlp, experts, or layers counted from 0 such as 0-2",
    )
    kv_cache: Precision | Literal["auto"] = "auto"
    also: tuple[Precision, ...] = Field(
        default=(), description="Serving: formats of the weights that the search may take instead, where it pays"
    )
