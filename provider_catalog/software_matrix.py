"""Software by GPU: toolkits and drivers, kernels, weight formats, serving engines and their flags."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from provider_catalog.data_files import fact, read_yaml
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact
from provider_catalog.hardware import Gpu
from provider_catalog.precision import Precision
from provider_catalog.text import kind_of

if TYPE_CHECKING:
    from provider_catalog.architecture import ModelArchitecture

Stack = Literal["cuda", "rocm"]
GPU_STACK_TITLES: dict[Stack, str] = {"cuda": "CUDA", "rocm": "ROCm"}
ServingEngineName = Literal["vllm", "sglang", "tensorrt-llm"]

_FactT = TypeVar("_FactT", bound=Fact)


class Runtime(Fact):
    """The first toolkit that compiles for a GPU generation, and the driver that it needs."""

    generation: str
    targets: tuple[str, ...]
    """Compiler targets: compute capabilities (sm_90) or LLVM targets (gfx942)."""
    stack: Stack
    min_version: str
    min_driver: str | None
    """Oldest Linux kernel driver; None where the driver is part of the stack (ROCm)."""
    source: str
    as_of: str


class KernelFeature(Fact):
    """A kernel library, and the GPU generations that it is written for."""

    name: str
    generations: tuple[str, ...]
    min_version: dict[Stack, str]
    source: str
    as_of: str


class FormatSupport(Fact):
    """The GPU generations that can serve a weight format."""

    format: Precision
    native: tuple[str, ...] = ()
    """Generations that multiply matrices in the format."""
    weight_only: tuple[str, ...] = ()
    """Generations that store weights in the format and multiply in 16 bits, which saves memory but no arithmetic."""
    kernel: str | None = None
    """Kernels that widen the weights on NVIDIA GPUs."""
    needs: str
    """Hardware that the format needs, in words for an error message."""
    source: str
    as_of: str


class ServingEngine(Fact):
    """The GPUs, formats and models that one version of a serving engine supports."""

    name: ServingEngineName
    title: str
    version: str
    generations: tuple[str, ...]
    unlisted_gpus: tuple[str, ...] = ()
    """GPUs of those generations that the engine's documentation does not list."""
    runtimes: dict[Stack, str]
    """Toolkit version by stack that the packages are built for, or the lowest accepted version."""
    min_driver: str
    """NVIDIA driver branch that the CUDA of the packages needs."""
    formats: tuple[Precision, ...]
    format_generations: dict[Precision, tuple[str, ...]] = Field(default_factory=dict)
    """Generations on which the engine serves a format, where they are fewer than those of the format's row."""
    kv_cache: tuple[Precision, ...]
    families: tuple[str, ...]
    """Values of `model_type` that the engine has a model for."""
    mtp_families: tuple[str, ...]
    """Families whose multi-token-prediction layers the engine can use for speculative decoding."""
    mla: bool
    expert_parallel: Literal["tensor", "divides-tensor"]
    """Legal expert-parallel degrees: the tensor-parallel degree only, or any divisor of it."""
    attention_data_parallel: bool
    source: str
    as_of: str

    @property
    def release(self) -> str:
        """The engine's name and version."""
        return f"{self.title} {self.version}"


class Flag(Fact):
    """One command-line flag of an engine."""

    values: tuple[str, ...] = ()
    """Values that the engine lists for the flag; empty where the value is a number or text."""
    switch: bool = False
    """Whether the flag takes no value."""

    @property
    def takes_value(self) -> bool:
        """Whether a value follows the flag."""
        return not self.switch


class EngineFlags(Fact):
    """The documented flags of an engine that launch scripts use."""

    engine: str
    command: tuple[str, ...]
    version: str
    source: str
    as_of: str
    flags: dict[str, Flag] = Field(min_length=1)
    config_keys: tuple[str, ...] = ()
    """Dotted keys of the engine's configuration file."""


class SoftwareMatrix:
    """The software matrix of one catalog folder, and the questions that its rows answer."""

    def __init__(self, folder: Path) -> None:
        self._matrix = folder / "software.yaml"
        self._flags = folder / "engine_flags.yaml"

    @cached_property
    def runtimes(self) -> Mapping[str, Runtime]:
        """The toolkits by GPU generation."""
        return self._by_key("runtimes", Runtime, "generation")

    @cached_property
    def features(self) -> Mapping[str, KernelFeature]:
        """The kernel libraries by name."""
        return self._by_key("features", KernelFeature, "name")

    @cached_property
    def formats(self) -> Mapping[str, FormatSupport]:
        """The rows by weight format; a format without a row is served by every GPU that computes in it."""
        return self._by_key("formats", FormatSupport, "format")

    @cached_property
    def engines(self) -> Mapping[str, ServingEngine]:
        """The serving engines by name."""
        return self._by_key("engines", ServingEngine, "name")

    @cached_property
    def engine_flags(self) -> Mapping[str, EngineFlags]:
        """The documented flags by engine.

        Raises:
            CatalogError: the file is missing or a row is broken.
        """
        rows = read_yaml(self._flags)
        return MappingProxyType({f.engine: f for f in _facts(rows, EngineFlags, f"{self._flags}")})

    def runtime(self, gpu: Gpu) -> Runtime:
        """The toolkit and driver that the GPU needs.

        Raises:
            CatalogError: the matrix has no row for its generation.
        """
        if gpu.generation not in self.runtimes:
            raise CatalogError(
                f"{self._matrix}: runtimes has no row for generation {gpu.generation!r} of {gpu.name}; add one"
            )
        return self.runtimes[gpu.generation]

    def attention_kernel(self, gpu: Gpu, *, latent: bool = False) -> KernelFeature | None:
        """The attention kernel for the GPU: FlashMLA for latent attention, else FlashAttention; None without one."""
        mla = self.features.get("FlashMLA")
        if latent and mla is not None and gpu.generation in mla.generations:
            return mla
        known = [f for f in self.features.values() if f.name.startswith("FlashAttention")]
        fitting = [f for f in known if gpu.generation in f.generations]
        # Hopper has a version of its own, 3, which engines use there; version 4 is primarily for Blackwell.
        return next((f for f in fitting if f.generations == (gpu.generation,)), fitting[-1] if fitting else None)

    def refuse_format(self, gpu: Gpu, weights: Precision) -> str | None:
        """The reason why the GPU cannot serve weights in that format; None when it can."""
        row = self.formats.get(weights)
        if row is None or gpu.generation in (*row.native, *row.weight_only):
            return None
        return f"{gpu.name} ({gpu.generation}) does not serve {weights} weights: they need {row.needs}"

    def kernel_path(self, gpu: Gpu, weights: Precision) -> str:
        """The kernels that multiply with weights in that format, in words."""
        row = self.formats.get(weights)
        if row is None or gpu.generation in row.native:
            return f"{weights} tensor cores"
        kernels = row.kernel if row.kernel and gpu.vendor == "nvidia" else "weight-only"
        return f"{kernels} kernels, which widen {weights} weights to 16 bits"

    def refuse_engine(
        self, name: str, gpu: Gpu, model: "ModelArchitecture", weights: Precision, kv_cache: Precision
    ) -> str | None:
        """The reason why the engine cannot run the model on that GPU in these formats; None when it can.

        Args:
            name: The name of the engine.
            gpu: The GPU that the engine would run on.
            model: The model that it would run.
            weights: The format of the weights.
            kv_cache: The format of the KV cache.
        """
        engine = self.engines[name]
        if gpu.generation not in engine.generations:
            return f"{engine.release} does not run on {gpu.name} ({gpu.generation}); {_listed(engine.generations)}"
        if gpu.name in engine.unlisted_gpus:
            return f"{engine.release} does not list {gpu.name} among its supported GPUs"
        if model.model_type not in engine.families:
            return f"{engine.release} has no model for the family {model.model_type!r}; {_listed(engine.families)}"
        if model.has_latent_cache and not engine.mla:
            return f"{engine.release} has no kernels for latent attention (MLA)"
        if weights not in engine.formats:
            return f"{engine.release} does not serve {weights} weights; {_listed(engine.formats)}"
        served = engine.format_generations.get(weights)
        if served is not None and gpu.generation not in served:
            return (
                f"{engine.release} does not serve {weights} weights on {gpu.name} ({gpu.generation}); {_listed(served)}"
            )
        if kv_cache not in engine.kv_cache:
            return f"{engine.release} does not keep the KV cache in {kv_cache}; {_listed(engine.kv_cache)}"
        return None

    def _by_key(self, section: str, model: type[_FactT], key: str) -> Mapping[str, _FactT]:
        rows = self._document.get(section)
        found: dict[str, _FactT] = {}
        for row in _facts(rows, model, f"{self._matrix}, {section}"):
            name = getattr(row, key)
            if name in found:
                raise CatalogError(f"{self._matrix}, {section}: {name} has two rows; remove one")
            found[name] = row
        return MappingProxyType(found)

    @cached_property
    def _document(self) -> dict[str, Any]:
        document = read_yaml(self._matrix)
        if not isinstance(document, dict):
            raise CatalogError(f"{self._matrix}: expected a mapping at the top, found {kind_of(document)}")
        return document


def _facts(rows: object, model: type[_FactT], where: str) -> list[_FactT]:
    if not isinstance(rows, list):
        raise CatalogError(f"{where}: expected a list of entries, found {kind_of(rows)}")
    return [fact(model, row, f"{where}, entry {number}") for number, row in enumerate(rows, start=1)]


def _listed(names: Iterable[str]) -> str:
    return f"it runs {', '.join(names)}"
