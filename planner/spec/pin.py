"""Spec models for pins, decisions that the search must not change."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.text import GpuName, Identifier
from planner.vocabulary import Recompute, Schedule, ZeroStage

LARGEST_DEGREE = 2**20
"""Largest parallel degree, micro-batch and batch. Our own choice: several times the GPUs of the largest clusters."""
Degree = Annotated[int, Field(gt=0, le=LARGEST_DEGREE)]


class PinnedLayout(SpecModel):
    """Layout settings that the search must not change. Settings that are left out are derived from the others."""

    tensor: Degree | None = Field(default=None, description="Tensor-parallel degree (TP), in GPUs")
    pipeline: Degree | None = Field(default=None, description="Pipeline-parallel degree (PP): number of stages")
    data: Degree | None = Field(
        default=None,
        description="Training: data-parallel degree (DP); serving: number of replicas",
    )
    expert: Degree | None = Field(
        default=None,
        description="Expert-parallel degree (EP): GPUs over which the experts of a layer are split",
    )
    context: Degree | None = Field(
        default=None,
        description="Context-parallel degree (CP): GPUs over which a sequence is split",
    )
    micro_batch: Degree | None = Field(default=None, description="Training: sequences of one micro-batch")
    virtual_stages: Degree | None = Field(
        default=None,
        description="Training: model chunks per GPU of an interleaved pipeline (virtual stages)",
    )
    zero_stage: ZeroStage | None = Field(
        default=None,
        description=(
            "Training: ZeRO stage. Data-parallel ranks shard nothing at 0, optimizer state from 1, gradients from 2, "
            "weights at 3"
        ),
    )
    recompute: Recompute | None = Field(
        default=None, description="Training: activations that the backward pass recomputes"
    )
    sequence_parallel: bool | None = Field(
        default=None,
        description="Whether norms and dropout are split along the sequence over the tensor-parallel ranks",
    )
    schedule: Schedule | None = Field(
        default=None, description="Training: order of forward and backward passes in the pipeline"
    )
    attention_data: Degree | None = Field(
        default=None,
        description="Serving: number of groups into which data-parallel attention divides the tensor-parallel ranks",
    )


UNLISTED_GENERATION = "unlisted"
"""Generation of a GPU that a spec describes without one. The software matrix is not applied to it."""


class PinnedGpu(SpecModel):
    """A GPU that the catalog lacks, by the figures of its data sheet. Peaks are dense, without sparsity."""

    name: GpuName = Field(description="Name of the GPU in the plan")
    memory_gib: float = Field(gt=0, le=100_000, description="Memory that a process sees, in GiB (2^30 bytes)")
    bandwidth_tb_per_s: float = Field(gt=0, le=1000, description="Memory bandwidth in TB/s (10^12 bytes per second)")
    bf16_tflops: float = Field(gt=0, le=1e6, description="Peak in bf16 and fp16 in TFLOP/s")
    fp8_tflops: float | None = Field(
        default=None, gt=0, le=1e6, description="Peak in fp8 in TFLOP/s. Default: no fp8 arithmetic"
    )
    fp4_tflops: float | None = Field(
        default=None, gt=0, le=1e6, description="Peak in nvfp4 and mxfp4 in TFLOP/s. Default: no fp4 arithmetic"
    )
    int8_tflops: float | None = Field(
        default=None, gt=0, le=1e6, description="Peak in int8 in TOP/s. Default: no int8 arithmetic"
    )
    fp32_tflops: float | None = Field(
        default=None, gt=0, le=1e6, description="Peak of fp32 vectors in TFLOP/s. Default: a sixteenth of bf16"
    )
    nvlink_gb_per_s: float = Field(
        default=0,
        ge=0,
        le=100_000,
        description="NVLink or Infinity Fabric bandwidth of one GPU, both directions, in GB/s. Default: PCIe only",
    )
    tdp_w: float = Field(default=700, gt=0, le=100_000, description="Power of one GPU in watts")
    vendor: Literal["nvidia", "amd"] = Field(default="nvidia", description="Vendor, which decides the software stack")
    generation: GpuName = Field(
        default=UNLISTED_GENERATION,
        description=(
            "Micro-architecture as in the catalog, such as Hopper; kernels and software are those of it. Default: "
            "formats are served in which the GPU has a peak"
        ),
    )


class PinnedNode(SpecModel):
    """An on-premises node, instead of an instance type of a cloud."""

    gpu: GpuName | PinnedGpu = Field(
        description="GPU of the catalog, such as H800 or A100-80GB, or the figures of a GPU that the catalog lacks"
    )
    gpus: int = Field(gt=0, le=1024, description="Number of GPUs of one node")
    nvlink_gb_per_s: float | None = Field(
        default=None,
        ge=0,
        description=(
            "NVLink bandwidth of one GPU, both directions together, in GB/s (10^9 bytes per second). Default: the "
            "bandwidth of the GPU in the catalog"
        ),
    )
    nic_gbit_per_s: float = Field(
        gt=0, description="Network bandwidth of one node in one direction, in Gbit/s (10^9 bits per second)"
    )
    usd_per_hour: float | None = Field(
        default=None,
        gt=0,
        description="Cost of one node-hour in USD, charged for idle hours as well. Default: the cost is unknown",
    )


class Pin(SpecModel):
    """Decisions that the search must not change. If everything is pinned, a single configuration is evaluated."""

    instance_type: Identifier | None = Field(
        default=None, description="Instance type of all nodes, such as p5.48xlarge. Default: the search chooses"
    )
    node: PinnedNode | None = Field(
        default=None, description="On-premises node to plan for, instead of an instance type. Default: a cloud"
    )
    nodes: int | None = Field(
        default=None, gt=0, le=1_000_000, description="Number of nodes. Default: the search chooses"
    )
    layout: PinnedLayout = Field(default=PinnedLayout(), description="How the model is split over the GPUs")
    batch: Degree | None = Field(
        default=None,
        description="Serving: requests in the static batch of each replica. Default: continuous batching at the load",
    )

    @model_validator(mode="after")
    def _one_machine(self) -> "Pin":
        if self.instance_type is not None and self.node is not None:
            raise ValueError("give pin.instance_type or pin.node, not both")
        return self
