"""Spec model for the settings of the training framework that affect the step time."""

from typing import Final, Literal

from pydantic import Field

from planner.spec.base import SpecModel

CudaGraphs = Literal["none", "partial", "full"]
Framework = Literal["auto", "megatron-core", "nemo", "torchtitan", "deepspeed", "hf-peft", "jax"]


class TrainingSoftware(SpecModel):
    """Settings of the training framework. Defaults are those of the published Megatron-Core recipes of 2026."""

    framework: Framework = Field(
        default="auto",
        description=(
            "Framework that trains. megatron-core, nemo, torchtitan and jax fuse or compile layers; deepspeed and "
            "hf-peft run them as single PyTorch operations, which costs memory passes and kernel starts. auto: as "
            "hf-peft for adapters in 16 bits without tensor or context parallelism, else as megatron-core"
        ),
    )
    expert_dispatch: Literal["deduplicated", "alltoall"] = Field(
        default="deduplicated",
        description=(
            "How tokens are sent to experts. deduplicated (DeepEP, HybridEP): a token crosses the network once per "
            "destination node; alltoall (NCCL): once per expert"
        ),
    )
    expert_overlap: bool = Field(
        default=True,
        description="Whether sending tokens to experts overlaps with the computation of another micro-batch",
    )
    interleaved_overlap: bool = Field(
        default=True,
        description=(
            "Whether the interleaved schedule hides the exchange between replicas behind as many micro-batches as "
            "there are pipeline stages (Megatron-Core's overlap_grad_reduce and overlap_param_gather). false: behind "
            "one, as in Megatron-LM of 2023"
        ),
    )
    cuda_graphs: CudaGraphs = Field(
        default="partial",
        description=(
            "CUDA graph capture of layers with experts. none: nothing; partial: all but the experts; full: the whole "
            "layer, which needs fixed shapes"
        ),
    )
    selective_recompute: Literal["modules", "operations"] = Field(
        default="modules",
        description=(
            "What selective recompute repeats. modules: norms, activation functions and the up-projections of MLA "
            "(Megatron-Core); operations: also every second matrix product (PyTorch selective checkpointing, "
            "torchtitan)"
        ),
    )


DEFAULT_SOFTWARE: Final = TrainingSoftware()
