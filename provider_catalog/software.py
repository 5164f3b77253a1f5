"""What software runs on which GPU: toolkits and drivers, kernels, weight formats, serving engines and their flags."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from provider_catalog.facts import CatalogError, Fact
from provider_catalog.hardware import Gpu
from provider_catalog.precision import Precision
from provider_catalog.tables import fact, read_yaml
from provider_catalog.text import kind_of

if TYPE_CHECKING:
    from provider_catalog.architecture import ModelArchitecture

Stack = Literal["cuda", "rocm"]
STACK_TITLE: dict[Stack, str] = {"cuda": "CUDA", "rocm": "ROCm"}
ServingEngineName = Literal["vllm", "sglang", "tensorrt-llm"]

_FactT = TypeVar("_FactT", bound=Fact)


class Runtime(Fact):
    """The first toolkit that compiles for a GPU generation, and the driver it takes."""

    generation: str
    targets: tuple[str, ...]
    """Compiler targets: compute capabilities (sm_90) or LLVM targets (gfx942)."""
    stack: Stack
    min_version: str
    min_driver: str | None
    """Linux kernel driver; None where it is part of the stack (ROCm)."""
    source: str
    as_of: str


class KernelFeature(Fact):
    """A kernel library, and the GPU generations it is written for."""

    name: str
    generations: tuple[str, ...]
    min_version: dict[Stack, str]
    source: str
    as_of: str


class WeightFormat(Fact):
    """The GPU generations that serve a weight format."""

    format: Precision
    native: tuple[str, ...] = ()
    """Matrices are multiplied in the format."""
    weight_only: tuple[str, ...] = ()
    """Weights are widened to 16 bits on the way in: saves memory and reads, not arithmetic."""
    needs: str
    """The same in words, for a refusal."""
    source: str
    as_of: str


class ServingEngine(Fact):
    """What one serving engine runs, at one version."""

    name: ServingEngineName
    title: str
    version: str
    generations: tuple[str, ...]
    unlisted_gpus: tuple[str, ...] = ()
    """GPUs of those generations that its documentation does not list."""
    runtimes: dict[Stack, str]
    """What its packages are built for, or the lowest it accepts."""
    min_driver: str
    """NVIDIA driver branch that the CUDA of its packages takes."""
    formats: tuple[Precision, ...]
    kv_cache: tuple[Precision, ...]
    families: tuple[str, ...]
    """`model_type` of the configurations it has a model for."""
    mtp_families: tuple[str, ...]
    """Those whose own multi-token-prediction layers it can draft with."""
    mla: bool
    expert_parallel: Literal["tensor", "divides-tensor"]
    """Legal expert-parallel degrees: that of the tensor-parallel group, or any divisor of it."""
    attention_data_parallel: bool
    source: str
    as_of: str

    @property
    def release(self) -> str:
        """Name and version."""
        return f"{self.title} {self.version}"


class Flag(Fact):
    """One command-line flag of an engine."""

    values: tuple[str, ...] = ()
    """What it accepts, where the engine lists it; empty: a number or a text."""
    switch: bool = False
    """Takes no value."""

    @property
    def takes_value(self) -> bool:
        """Whether an argument follows."""
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
    """Keys of the engine's configuration file, dotted."""


class Software:
    """The software matrix of one catalog folder: rows, and the answers that follow from them."""

    def __init__(self, folder: Path) -> None:
        self._matrix = folder / "software.yaml"
        self._flags = folder / "engine_flags.yaml"

    @cached_property
    def runtimes(self) -> Mapping[str, Runtime]:
        """By GPU generation."""
        return self._by_key("runtimes", Runtime, "generation")

    @cached_property
    def features(self) -> Mapping[str, KernelFeature]:
        """By name."""
        return self._by_key("features", KernelFeature, "name")

    @cached_property
    def formats(self) -> Mapping[str, WeightFormat]:
        """By format; a format without a row is served by every GPU that has its arithmetic."""
        return self._by_key("formats", WeightFormat, "format")

    @cached_property
    def engines(self) -> Mapping[str, ServingEngine]:
        """By name."""
        return self._by_key("engines", ServingEngine, "name")

    @cached_property
    def engine_flags(self) -> Mapping[str, EngineFlags]:
        """By engine.

        Raises:
            CatalogError: the file is missing or a row is broken.
        """
        rows = read_yaml(self._flags)
        return MappingProxyType({f.engine: f for f in _facts(rows, EngineFlags, f"{self._flags}")})

    def runtime(self, gpu: Gpu) -> Runtime:
        """Toolkit and driver that the GPU needs.

        Raises:
            CatalogError: the matrix has no row for its generation.
        """
        if gpu.generation not in self.runtimes:
            raise CatalogError(
                f"{self._matrix}: runtimes has no row for generation {gpu.generation!r} of {gpu.name}; add one"
            )
        return self.runtimes[gpu.generation]

    def attention_kernel(self, gpu: Gpu, *, latent: bool = False) -> KernelFeature | None:
        """The newest FlashAttention written for the GPU, FlashMLA for latent attention; None where there is none."""
        mla = self.features.get("FlashMLA")
        if latent and mla is not None and gpu.generation in mla.generations:
            return mla
        known = [f for f in self.features.values() if f.name.startswith("FlashAttention")]
        fitting = [f for f in known if gpu.generation in f.generations]
        # Hopper's own version is 3: version 4 is written for Blackwell first, and engines take 3 there.
        return next((f for f in fitting if f.generations == (gpu.generation,)), fitting[-1] if fitting else None)

    def refuse_format(self, gpu: Gpu, weights: Precision) -> str | None:
        """Why the GPU does not serve weights in that format; None when it does."""
        row = self.formats.get(weights)
        if row is None or gpu.generation in (*row.native, *row.weight_only):
            return None
        return f"{gpu.name} ({gpu.generation}) does not serve {weights} weights: they need {row.needs}"

    def refuse_engine(
        self, name: str, gpu: Gpu, model: "ModelArchitecture", weights: Precision, kv_cache: Precision
    ) -> str | None:
        """Why the serving engine cannot run the model so on that GPU; None when it can.

        Args:
            name: Of the engine.
            gpu: What it would run on.
            model: What it would run.
            weights: Format of the weights.
            kv_cache: Format of the KV cache.
        """
        engine = self.engines[name]
        if gpu.generation not in engine.generations:
            return f"{engine.release} does not run on {gpu.name} ({gpu.generation}); {_listed(engine.generations)}"
        if gpu.name in engine.unlisted_gpus:
            return f"{engine.release} does not list {gpu.name} among its supported GPUs"
        if model.model_type not in engine.families:
            return f"{engine.release} has no model for the family {model.model_type!r}; {_listed(engine.families)}"
        if has_latent_attention(model) and not engine.mla:
            return f"{engine.release} has no kernels for latent attention (MLA)"
        if weights not in engine.formats:
            return f"{engine.release} does not serve {weights} weights; {_listed(engine.formats)}"
        if kv_cache not in engine.kv_cache:
            return f"{engine.release} does not keep the KV cache in {kv_cache}; {_listed(engine.kv_cache)}"
        return None

    def _by_key(self, section: str, model: type[_FactT], key: str) -> Mapping[str, _FactT]:
        rows = self._document.get(section)
        found: dict[str, _FactT] = {}
        for row in _facts(rows, model, f"{self._matrix}, {section}"):
            name = getattr(row, key)
            if name in found:
                raise CatalogError(f"{self._matrix}, {section}: {name} stands there twice; remove one row")
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


def has_latent_attention(model: "ModelArchitecture") -> bool:
    """Whether any layer keeps a compressed latent instead of keys and values (MLA)."""
    return any(group.attention.kind == "mla" for group in model.layers)


def _listed(names: Iterable[str]) -> str:
    return f"it runs {', '.join(names)}"
