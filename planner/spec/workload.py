"""Spec models for the workload (inference, training or finetuning), a nominal model size and number formats."""

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
    """A model of which only the size is known."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    parameters: NominalSize = Field(
        description=(
            "Nominal number of parameters such as 7B, 65B or 1.5B. The plan uses the published architecture of a model "
            "of that size"
        ),
    )


SloPercentile = Literal["mean", "p50", "p95", "p99"]


class Slo(SpecModel):
    """Service level objective (SLO): the latencies that requests must meet."""

    ttft_ms: float = Field(
        default=2000, gt=0, description="Upper bound for the time to first token (TTFT) in milliseconds"
    )
    tpot_ms: float = Field(
        default=100, gt=0, description="Upper bound for the mean time per output token (TPOT) in milliseconds"
    )
    percentile: SloPercentile = Field(
        default="mean",
        description=(
            "Statistic of TTFT that ttft_ms bounds: the mean, or a percentile of requests that includes the queueing "
            "time"
        ),
    )


class Speculation(SpecModel):
    """Speculative decoding: a draft model or MTP layers draft tokens, and one decode step verifies them."""

    draft_tokens: int = Field(default=1, gt=0, le=16, description="Number of tokens drafted in each decode step")
    acceptance: float = Field(
        default=0.85, gt=0, lt=1, description="Probability that a drafted token is accepted (DeepSeek-V3: 0.85 to 0.90)"
    )
    draft_cost: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description=(
            "Time to draft one token, as a fraction of a decode step. Default: the share of one layer of the model, as "
            "for an MTP layer"
        ),
    )

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens per decode step: (1-a^(d+1))/(1-a) (Leviathan et al. 2023, arXiv 2211.17192, equation 1)."""
        return (1 - self.acceptance ** (self.draft_tokens + 1)) / (1 - self.acceptance)


DEFAULT_REQUEST_RATE_PER_S = 1.0
"""Load to plan for if a spec gives neither request_rate_per_s nor concurrency (our assumption)."""
LEAST_RATE_PER_S = 1e-9
LARGEST_RATE_PER_S = 1e6


class InferenceWorkload(SpecModel):
    """Serving of requests with given prompt and output lengths at a given load."""

    kind: Literal["inference"] = Field(description="inference: the model serves requests")
    request_rate_per_s: float | None = Field(
        default=None,
        ge=LEAST_RATE_PER_S,
        le=LARGEST_RATE_PER_S,
        description="Requests per second at peak. Default: 1, unless concurrency or users is given",
    )
    concurrency: int | None = Field(
        default=None,
        gt=0,
        le=10_000_000,
        description="Requests in flight at peak, instead of request_rate_per_s",
    )
    users: int | None = Field(
        default=None,
        gt=0,
        le=1_000_000_000,
        exclude_if=lambda given: given is None,
        description=(
            "Users at peak, instead of request_rate_per_s: the rate is users x requests_per_user_per_hour / 3600"
        ),
    )
    requests_per_user_per_hour: float | None = Field(
        default=None,
        gt=0,
        le=3_600_000,
        exclude_if=lambda given: given is None,
        description="Requests that one user sends in an hour at peak; given with users",
    )
    prompt_tokens: int = Field(
        default=1024,
        gt=0,
        le=10_000_000,
        description="Length of a prompt in tokens; shorter by default if the model needs it",
    )
    output_tokens: int = Field(
        default=256,
        gt=0,
        le=10_000_000,
        description="Generated tokens per request; fewer by default if the model needs it",
    )
    max_context_tokens: int | None = Field(
        default=None,
        gt=0,
        le=20_000_000,
        exclude_if=lambda given: given is None,
        description=(
            "Longest request that must be possible, prompt and output together, in tokens. Default: prompt_tokens + "
            "output_tokens"
        ),
    )
    slo: Slo = Field(default=Slo(), description="Latencies that requests must meet")
    engine: Literal["analytic", "silicon", "auto"] = Field(
        default="analytic",
        description=(
            "Performance model for the best candidates. analytic: our formulas; silicon: measured kernels, needs the "
            "package extra `silicon`; auto: silicon if it is installed"
        ),
    )
    fleet: Literal["aggregated", "disaggregated", "auto"] = Field(
        default="aggregated",
        description=(
            "aggregated: each replica runs prefill and decode; disaggregated: separate replicas for prefill and "
            "decode; auto: the better of both"
        ),
    )
    dynamic_batching: bool = Field(
        default=True,
        description=(
            "Whether requests join and leave the running batch (continuous batching). False: a batch ends before the "
            "next starts"
        ),
    )
    chunked_prefill: bool = Field(
        default=True, description="Whether prompts are prefilled in chunks that share decode steps"
    )
    prefix_cache_hit_rate: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the prompt tokens that are found in the prefix cache"
    )
    speculation: Speculation | None = Field(
        default=None, description="Speculative decoding or multi-token prediction. Default: none"
    )
    spare_replicas: int = Field(
        default=0, ge=0, le=1000, description="Replicas in addition to those that the load needs; 1 is N+1"
    )
    serving_engine: Literal["auto", "vllm", "sglang", "tensorrt-llm"] = Field(
        default="auto",
        description=(
            "Serving engine; engine.name replaces this field. Plans that it cannot run are refused. auto: any engine, "
            "and launch commands are for vLLM"
        ),
    )

    @property
    def offered_requests_per_s(self) -> float:
        """Requests per second at peak that the fleet must carry: the rate of the spec, or the default.

        If the spec gives `concurrency`, the rate follows from it and this value is not used.
        """
        stated = self.stated_requests_per_s
        return DEFAULT_REQUEST_RATE_PER_S if stated is None else stated

    @property
    def stated_requests_per_s(self) -> float | None:
        """Requests per second at peak that the spec states, itself or by its users; None if it states no rate."""
        if self.users is not None and self.requests_per_user_per_hour is not None:
            return self.users * self.requests_per_user_per_hour / 3600
        return self.request_rate_per_s

    @property
    def context_tokens(self) -> int:
        """Tokens of a request of planned length at its end."""
        return self.prompt_tokens + self.output_tokens

    @property
    def longest_context_tokens(self) -> int:
        """Tokens of the longest request that must be possible."""
        return self.max_context_tokens or self.context_tokens

    @property
    def cached_prompt_tokens(self) -> float:
        """Prompt tokens that the prefix cache provides."""
        return self.prompt_tokens - self.new_prompt_tokens

    @property
    def new_prompt_tokens(self) -> float:
        """Prompt tokens that prefill computes, at least the last one."""
        return max(1.0, self.prompt_tokens * (1 - self.prefix_cache_hit_rate))

    @model_validator(mode="after")
    def _one_load(self) -> "InferenceWorkload":
        given = [name for name in ("request_rate_per_s", "concurrency", "users") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give {' or '.join(given)}, not both: one determines the other")
        if (self.users is None) != (self.requests_per_user_per_hour is None):
            raise ValueError(
                "users and requests_per_user_per_hour belong together, such as users: 200 and "
                "requests_per_user_per_hour: 20; for requests in flight give concurrency"
            )
        if self.users is not None and not LEAST_RATE_PER_S <= self.offered_requests_per_s <= LARGEST_RATE_PER_S:
            raise ValueError(
                f"users x requests_per_user_per_hour / 3600 is {self.offered_requests_per_s:.3g} requests per second; "
                f"allowed: {LEAST_RATE_PER_S:g} to {LARGEST_RATE_PER_S:g}"
            )
        return self

    @model_validator(mode="after")
    def _the_longest_context_holds_a_request(self) -> "InferenceWorkload":
        if self.max_context_tokens is not None and self.max_context_tokens < self.context_tokens:
            raise ValueError(
                f"max_context_tokens is {self.max_context_tokens}, but a request has {self.context_tokens} tokens"
                f" (prompt_tokens + output_tokens); the smallest allowed value is {self.context_tokens}"
            )
        return self


Optimizer = Literal["adamw", "adamw-bf16-moments", "adamw-8bit", "adafactor", "muon", "sgd-momentum", "paged-adamw"]
TrainingMethod = Literal["full", "lora", "qlora"]
LoraTargets = (
    Literal["attention", "attention-and-mlp"] | Annotated[tuple[ModuleName, ...], Field(min_length=1, max_length=1000)]
)
"""Blocks that get adapters, or linear layers by their Hugging Face names."""
DEFAULT_POWERSGD_RANK = 4
"""The paper tests ranks 1, 2 and 4; only 4 keeps the accuracy in every task (arXiv 1905.13727, Table 3)."""
GradientCompression = Literal["none", "one_bit_adam", "zero_one_adam", "zero_pp_int8", "zero_pp_int4", "powersgd"]


class TrainingWorkload(SpecModel):
    """Training or fine-tuning on a number of tokens within a deadline."""

    kind: Literal["training", "finetuning"] = Field(
        description="training: all weights, from scratch or continued; finetuning: a trained model, also with adapters"
    )
    tokens: float | None = Field(
        default=None,
        gt=0,
        le=1e16,
        description=(
            "Training tokens of the run, or of one update if every_days is given. Required unless dataset is given"
        ),
    )
    dataset: Dataset | None = Field(
        default=None,
        exclude_if=lambda given: given is None,
        description="Training data as examples and epochs, instead of tokens",
    )
    every_days: float | None = Field(
        default=None,
        ge=0.1,
        le=3650,
        exclude_if=lambda given: given is None,
        description=(
            "Continued training: days from the start of one update to the start of the next; the bill covers the "
            "updates. Default: a single run"
        ),
    )
    sequence_length: int = Field(
        default=4096,
        gt=0,
        le=10_000_000,
        description="Length of a sequence in tokens; the default is shorter for models of short sequences",
    )
    global_batch_tokens: float = Field(
        default=4_194_304, gt=0, le=1e12, description="Tokens of one optimizer step over all GPUs (global batch size)"
    )
    deadline_days: float = Field(
        default=30, ge=1e-6, le=3650, description="Longest allowed duration of the run, or of one update, in days"
    )
    optimizer: Optimizer = Field(
        default="adamw",
        description=(
            "Optimizer. adamw keeps fp32 master weights and fp32 moments; paged-adamw, for adapters only, moves them "
            "to host memory"
        ),
    )
    gradient_precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="Number format in which gradients are accumulated"
    )
    method: TrainingMethod = Field(
        default="full",
        description=(
            "full: all weights are trained; lora: frozen weights with adapters; qlora: the same with 4-bit weights. "
            "lora and qlora need kind: finetuning"
        ),
    )
    lora_rank: int = Field(default=16, gt=0, le=4096, description="Rank of the adapters of lora and qlora")
    lora_targets: LoraTargets = Field(
        default="attention-and-mlp",
        description=(
            "Layers with adapters: blocks of the model, or names of linear layers such as [q_proj, v_proj]. mlp "
            "includes routed experts"
        ),
    )
    recompute: Recompute | Literal["auto"] = Field(
        default="auto",
        description=(
            "Activations that the backward pass recomputes to save memory (gradient checkpointing). auto: the search "
            "chooses"
        ),
    )
    flash_attention: bool = Field(
        default=True, description="Whether FlashAttention kernels are used. False: attention scores are kept in memory"
    )
    flash_attention_version: Literal[1, 2, 3, 4] | None = Field(
        default=None,
        exclude_if=lambda given: given is None,
        description="Version of FlashAttention. Default: the newest that supports the GPU",
    )
    software: TrainingSoftware = Field(
        default=DEFAULT_SOFTWARE,
        exclude_if=lambda given: given == DEFAULT_SOFTWARE,
        description="Settings of the training framework that affect the step time",
    )
    gradient_compression: GradientCompression = Field(
        default="none",
        exclude_if=lambda given: given == "none",
        description=(
            "Compression of the gradients that data-parallel replicas exchange. Each method requires a certain layout "
            "and software"
        ),
    )
    powersgd_rank: int = Field(
        default=DEFAULT_POWERSGD_RANK,
        gt=0,
        le=1024,
        exclude_if=lambda given: given == DEFAULT_POWERSGD_RANK,
        description="Rank of the powersgd compression",
    )
    fault_tolerance: FaultTolerance = Field(
        default=FaultTolerance(),
        exclude_if=lambda given: given == FaultTolerance(),
        description="Checkpoints and restarts",
    )

    @property
    def computed_tokens(self) -> float:
        """Tokens that pass through the model, including padding."""
        if self.dataset is not None:
            return self.dataset.computed_tokens(self.sequence_length)
        return self.tokens or 0.0

    @model_validator(mode="after")
    def _one_amount(self) -> "TrainingWorkload":
        if (self.tokens is None) == (self.dataset is None):
            given = "neither" if self.tokens is None else "both"
            raise ValueError(f"give either tokens, or dataset with examples and tokens_per_example; {given} given")
        return self

    @model_validator(mode="after")
    def _a_batch_holds_a_sequence(self) -> "TrainingWorkload":
        if self.global_batch_tokens < self.sequence_length:
            raise ValueError(
                f"global_batch_tokens is {self.global_batch_tokens:,.0f}, less than one sequence; the smallest allowed"
                f" value is {self.sequence_length:,} (sequence_length)"
            )
        return self

    @model_validator(mode="after")
    def _updates_end_before_the_next(self) -> "TrainingWorkload":
        if (
            self.every_days is not None
            # The default deadline is not checked, because the spec in a plan holds it even if the user left it out.
            and self.deadline_days != type(self).model_fields["deadline_days"].default
            and self.deadline_days > self.every_days
        ):
            raise ValueError(
                f"deadline_days is {self.deadline_days:g}, but an update starts every {self.every_days:g} days"
                f" (every_days) and must end before the next one; allowed is up to {self.every_days:g}"
            )
        return self

    @model_validator(mode="after")
    def _paging_is_for_adapters(self) -> "TrainingWorkload":
        if self.optimizer == "paged-adamw" and self.method == "full":
            raise ValueError(
                "optimizer is paged-adamw, but method is full: all optimizer states would cross PCIe in every step; use"
                " adamw-8bit, or set method: lora or qlora"
            )
        return self

    @model_validator(mode="after")
    def _adapters_are_for_finetuning(self) -> "TrainingWorkload":
        if self.method != "full" and self.kind != "finetuning":
            raise ValueError(
                f"method is {self.method}, but kind is {self.kind}: adapters need a trained model; set method: full"
                " or kind: finetuning"
            )
        changed = [
            name
            for name in ("lora_rank", "lora_targets")
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if self.method == "full" and changed:
            raise ValueError(
                f"{' and '.join(changed)} {'is' if len(changed) == 1 else 'are'} given, but method is full; set"
                " method: lora or qlora"
            )
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
    """Number formats of weights, routed experts and KV cache."""

    weights: Precision | Literal["auto"] = Field(
        default="auto",
        description="Number format of the weights. auto: the published format when serving, bf16 when training",
    )
    experts: Precision | Literal["auto"] = Field(
        default="auto",
        description="Serving: number format of routed experts. auto: the published one, or weights if that is set",
    )
    keep: tuple[Annotated[str, Field(pattern=f"^({KEEP_PATTERN})$")], ...] = Field(
        default=(),
        description=(
            "Serving: parts that stay in 16 bits if weights are smaller: attention, mlp, experts, or a range of "
            "layers, counted from 0, such as 0-2"
        ),
    )
    kv_cache: Precision | Literal["auto"] = Field(
        default="auto", description="Serving: number format of the KV cache. auto: bf16"
    )
    also: tuple[Precision, ...] = Field(
        default=(),
        description="Serving: other number formats of the weights that the search may choose if they are cheaper",
    )
