"""Spec models for a serving workload: load, lengths, latencies and how requests are served."""

from typing import Literal

from pydantic import Field, model_validator

from planner.spec.base import SpecModel

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
