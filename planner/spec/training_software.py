"""What training software does, where it decides the time of a step."""

from typing import Final, Literal

from pydantic import Field

from planner.spec.base import SpecModel

CudaGraphs = Literal["none", "partial", "full"]


class TrainingSoftware(SpecModel):
    """Settings of the training framework; the defaults are Megatron-Core's of 2026, as its published recipes run it."""

    expert_dispatch: Literal["deduplicated", "alltoall"] = Field(
        default="deduplicated",
        description="deduplicated (DeepEP, HybridEP): a token crosses the network once a node; alltoall (NCCL): once"
        " for every expert",
    )
    expert_overlap: bool = Field(
        default=True, description="Whether tokens travel to their experts while another micro-batch computes"
    )
    cuda_graphs: CudaGraphs = Field(
        default="partial",
        description="What of a layer with experts is captured: nothing, all but the experts, or all of it (needs fixed"
        " shapes)",
    )
    selective_recompute: Literal["modules", "operations"] = Field(
        default="modules",
        description="modules: norms, activation functions, MLA's expansion (Megatron-Core); operations: every other"
        " matrix product as well (PyTorch's selective checkpointing, torchtitan)",
    )


DEFAULT_SOFTWARE: Final = TrainingSoftware()
