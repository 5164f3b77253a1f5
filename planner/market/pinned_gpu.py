"""GPUs that a spec describes because the catalog lacks them."""

from planner.spec import ClusterSpec, PinnedGpu
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import Gpu
from provider_catalog.precision import Precision

VECTOR_SHARE = 1 / 16
"""Peak of fp32 vectors as a share of that of bf16 tensor cores, where a spec states none: 67 of 989 on H100."""


def described_gpu(pinned: PinnedGpu) -> Gpu:
    """Return the GPU with the figures of a spec."""
    peaks: dict[Precision, float | None] = {
        "fp32": pinned.fp32_tflops or pinned.bf16_tflops * VECTOR_SHARE,
        "bf16": pinned.bf16_tflops,
        "fp16": pinned.bf16_tflops,
        "fp8": pinned.fp8_tflops,
        "int8": pinned.int8_tflops,
        "nvfp4": pinned.fp4_tflops,
        "mxfp4": pinned.fp4_tflops,
    }
    return Gpu(
        name=pinned.name,
        vendor=pinned.vendor,
        generation=pinned.generation,
        memory_gb=pinned.memory_gib * 2**30 / 1e9,
        visible_memory_gib=pinned.memory_gib,
        memory_bandwidth_gb_per_s=pinned.bandwidth_tb_per_s * 1e3,
        peak_tflops={precision: peak for precision, peak in peaks.items() if peak is not None},
        nvlink_gb_per_s=pinned.nvlink_gb_per_s,
        links=("switch" if pinned.vendor == "nvidia" else "mesh") if pinned.nvlink_gb_per_s else "none",
        tdp_w=pinned.tdp_w,
        source="pin.node.gpu of the spec",
        as_of="",
    )


def gpu_of_plan(spec: ClusterSpec, name: str, catalog: Catalog) -> Gpu:
    """Return the GPU of a plan: the one that its spec describes, or that of the catalog.

    Raises:
        CatalogError: there is no such GPU.
    """
    pinned = None if spec.pin.node is None else spec.pin.node.gpu
    return described_gpu(pinned) if isinstance(pinned, PinnedGpu) and pinned.name == name else catalog.gpu(name)
