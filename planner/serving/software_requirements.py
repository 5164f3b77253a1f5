"""Software requirements of a plan, from the catalog's software matrix: what cannot run, and what must be installed."""

from planner.plan.choice import SoftwareRequirement
from planner.spec import ClusterSpec, InferenceWorkload
from planner.spec.pin import UNLISTED_GENERATION
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.hardware import Gpu
from provider_catalog.precision import BITS_PER_VALUE, Precision
from provider_catalog.software_matrix import (
    GPU_STACK_TITLES,
    KernelFeature,
    Runtime,
    ServingEngine,
    SoftwareMatrix,
    Stack,
)

MATRIX_BELOW_BITS = 16
"""Formats with fewer bits are looked up in the matrix; the others run wherever the GPU has a peak rate for them."""


def unsupported_reason(
    spec: ClusterSpec,
    software: SoftwareMatrix,
    gpu: Gpu,
    model: ModelArchitecture,
    weights: Precision,
    kv_cache: Precision,
) -> str | None:
    """Return why the GPU or the spec's serving engine cannot run the model in these formats; None if they can."""
    if gpu.generation == UNLISTED_GENERATION:
        return None
    if BITS_PER_VALUE[weights] < MATRIX_BELOW_BITS:
        refused = software.refuse_format(gpu, weights)
        if refused is not None:
            return refused
    if isinstance(spec.workload, InferenceWorkload) and spec.serving_engine != "auto":
        return software.refuse_engine(spec.serving_engine, gpu, model, weights, kv_cache)
    return None


def software_requirement(
    spec: ClusterSpec,
    software: SoftwareMatrix,
    gpu: Gpu,
    model: ModelArchitecture,
    weights: Precision,
    kv_cache: Precision,
) -> SoftwareRequirement | None:
    """Return toolkit, driver, attention kernels and engines of a choice; None for a generation not in the matrix."""
    runtime = software.runtimes.get(gpu.generation)
    if runtime is None:
        return None
    attention = software.attention_kernel(gpu, latent=model.has_latent_cache)
    row = software.formats.get(weights)
    engines: dict[str, str] = {}
    refused: dict[str, str] = {}
    if isinstance(spec.workload, InferenceWorkload):
        for name, engine in software.engines.items():
            reason = software.refuse_engine(name, gpu, model, weights, kv_cache)
            if reason is None:
                engines[engine.release] = _packages(engine, runtime.stack)
            else:
                refused[name] = reason
    return SoftwareRequirement(
        stack=GPU_STACK_TITLES[runtime.stack],
        min_version=runtime.min_version,
        min_driver=runtime.min_driver,
        attention=_kernel(attention, runtime) if attention else None,
        weights_native=row is None or gpu.generation in row.native,
        kernel_path=software.kernel_path(gpu, weights) if isinstance(spec.workload, InferenceWorkload) else None,
        engines=engines,
        refused_engines=refused,
        source=runtime.source,
    )


def _kernel(feature: KernelFeature, runtime: Runtime) -> str:
    """Return the kernel's name, with its toolkit where that is newer than the one the GPU needs."""
    needs = feature.min_version.get(runtime.stack)
    if needs is None or _version(needs) <= _version(runtime.min_version):
        return feature.name
    return f"{feature.name} ({GPU_STACK_TITLES[runtime.stack]} {needs} or newer)"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _packages(engine: ServingEngine, stack: Stack) -> str:
    version = f"{GPU_STACK_TITLES[stack]} {engine.runtimes[stack]}"
    return f"{version}, driver {engine.min_driver}" if stack == "cuda" else version
