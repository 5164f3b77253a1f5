"""The model and what it has to do: serve requests, or train."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from planner.sizing.formats import KEEP_PATTERN
from planner.spec.base import SpecModel
from provider_catalog.precision import Precision


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
    experts: Precision | Literal["auto"] = Field(
        default="auto", description="Of routed experts; auto: as the other weights, or as published"
    )
    keep: tuple[Annotated[str, Field(pattern=f"^({KEEP_PATTERN})$")], ...] = Field(
        default=(),
        description="What stays in 16 bits below them: attention, mlp, experts, or layers counted from 0 such as 0-2",
    )
    kv_cache: Precision | Literal["auto"] = "auto"
