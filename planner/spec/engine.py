"""Spec model for the serving engine: its name, version and the settings that decide its memory."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from planner.spec.base import SpecModel
from provider_catalog.software_matrix import ServingEngineName


def _as_text(value: object) -> object:
    """Return a number as text; YAML reads 0.19 as a number, and 0.20 as the same number as 0.2."""
    if not isinstance(value, float):
        return value
    if len(f"{value}".partition(".")[2]) < 2:
        raise ValueError(f"is the number {value}, which may also stand for {value}0; write it in quotes")
    return f"{value}"


EngineVersion = Annotated[str, BeforeValidator(_as_text), StringConstraints(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4}){1,3}$")]
"""Numbers with points, such as 0.19 or 0.19.1."""


class ServingEngineChoice(SpecModel):
    """The serving engine that the plan counts on, as it will be started."""

    name: ServingEngineName | Literal["auto"] = Field(
        default="auto",
        description=(
            "Serving engine. Plans that it cannot run are refused. auto: any engine; memory is counted as vLLM "
            "allocates it, and launch commands are for the first engine that runs the plan"
        ),
    )
    version: EngineVersion | None = Field(
        default=None,
        description="Version of the engine, such as 0.19. Default: the newest version of the catalog. Needs name",
    )
    gpu_memory_utilization: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description=(
            "Memory setting of the engine: gpu_memory_utilization of vLLM, mem_fraction_static of SGLang, "
            "free_gpu_memory_fraction of TensorRT-LLM. Default: headroom.memory_fraction of the GPU memory"
        ),
    )
    max_num_batched_tokens: int | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Token budget of one iteration. Default: 8192, or the whole context without chunked prefill",
    )
    max_num_seqs: int | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Most sequences in one iteration. Default: that of the engine, or what the load needs if more",
    )
    enforce_eager: bool = Field(default=False, description="Whether no CUDA graphs are captured, which saves memory")

    @model_validator(mode="after")
    def _a_version_needs_a_name(self) -> "ServingEngineChoice":
        if self.version is not None and self.name == "auto":
            raise ValueError(f"version is {self.version}, but name is auto; set name: vllm, sglang or tensorrt-llm")
        return self

    @model_validator(mode="after")
    def _the_budget_holds_the_sequences(self) -> "ServingEngineChoice":
        tokens, sequences = self.max_num_batched_tokens, self.max_num_seqs
        if tokens is not None and sequences is not None and tokens < sequences:
            raise ValueError(
                f"max_num_batched_tokens is {tokens}, but max_num_seqs is {sequences}: an iteration holds a token of"
                f" each sequence; raise max_num_batched_tokens to {sequences} or more, or lower max_num_seqs"
            )
        return self


DEFAULT_ENGINE = ServingEngineChoice()
