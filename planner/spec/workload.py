"""Spec models for a workload (training, fine-tuning, or serving by `serving_workload`), model sizes and formats."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.dataset import Dataset
from planner.spec.fault_tolerance import FaultTolerance
from planner.spec.serving_workload import InferenceWorkload
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
