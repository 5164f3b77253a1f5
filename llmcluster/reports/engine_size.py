"""What one serving engine holds on some GPUs: the part of `llmcluster size` that asks for a start-up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from pydantic import ValidationError

from llmcluster.reports.model_size import ModelSize
from planner.errors import SpecError
from planner.plan.layout import Layout
from planner.sizing.engine_ledger import EngineLedger
from planner.sizing.engine_settings import GIB, engine_settings
from planner.sizing.formats import served_precision
from planner.sizing.legal_layouts import expert_count
from planner.sizing.split_rules import pinned_split_error
from planner.spec.engine import ServingEngineChoice
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.precision import BITS_PER_VALUE, Precision
from provider_catalog.rules import rule_of_error
from provider_catalog.software_matrix import ServingEngineName

LONGEST_REQUEST: Final = 10_000_000
"""Tokens of the longest request of a model that states no limit."""
MOST_RANKS: Final = 1024
SETTINGS: Final = ("gpu_memory_utilization", "max_num_batched_tokens", "max_num_seqs", "enforce_eager")
"""Options that are fields of a spec's engine."""


@dataclass(frozen=True, slots=True)
class StartUp:
    """GPUs, split and engine of a start-up."""

    gpu: str
    tensor: int
    pipeline: int
    expert: int | None
    """Expert-parallel degree; None spreads whole experts over all ranks where their number allows it."""
    choice: ServingEngineChoice
    """The engine with its settings."""


@dataclass(frozen=True, slots=True)
class EngineSize:
    """Memory of one GPU in bytes, and what the KV cache of the replica holds."""

    engine: str
    version: str
    gpu: str
    gpus: int
    layout: str
    weights_precision: Precision
    kv_cache_precision: Precision
    kernel_path: str
    memory_setting: float
    max_num_batched_tokens: int
    max_num_seqs: int
    visible_bytes: int
    """Memory of a GPU that a process sees."""
    usable_bytes: int
    """Memory of a GPU that the engine uses."""
    weights_bytes: int
    weights: dict[str, int]
    overhead_bytes: int
    overhead: dict[str, int]
    activations_bytes: int
    kv_cache_bytes: int
    spare_bytes: int
    """Usable memory that the engine leaves free; negative by what is missing."""
    outside_bytes: int
    """CUDA graphs that the engine does not deduct from its share."""
    starts: bool
    """Whether one request of `context_tokens` fits."""
    kv_tokens: int
    longest_request_tokens: int
    context_tokens: int
    requests_in_flight: int
    """Requests of `context_tokens` at once."""
    warnings: tuple[str, ...]


def start_up(options: Mapping[str, str | int | float | None]) -> StartUp:
    """Returns the start-up that the options of `llmcluster size` describe.

    Raises:
        SpecError: an option is missing or has a value that is not allowed.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "gpu" not in given:
        raise SpecError(f"{_flag(next(iter(given)))} is given without --gpu; name the GPU, such as --gpu H100")
    for name in ("tp", "pp", "ep"):
        if not 1 <= int(given.get(name, 1)) <= MOST_RANKS:
            raise SpecError(f"{_flag(name)} is {given[name]}; allowed: 1 to {MOST_RANKS}")
    engine, known = given.get("engine", "vllm"), get_args(ServingEngineName)
    if engine not in known:
        raise SpecError(f"--engine is {engine!r}; allowed: {', '.join(known)}")
    fields = {"name": engine, "version": given.get("engine_version")}
    fields |= {name: given[name] for name in SETTINGS if name in given}
    try:
        choice = ServingEngineChoice.model_validate(fields)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][0]) if problem["loc"] else "max_num_seqs"
        option = _flag("engine_version" if field == "version" else field)
        raise SpecError(f"{option} is {problem['input']!r}: {rule_of_error(problem)}") from error
    return StartUp(
        gpu=str(given["gpu"]),
        tensor=int(given.get("tp", 1)),
        pipeline=int(given.get("pp", 1)),
        expert=int(given["ep"]) if "ep" in given else None,
        choice=choice,
    )


def engine_size(arch: ModelArchitecture, start_up: StartUp, size: ModelSize, *, weights_given: bool) -> EngineSize:
    """Returns the memory of a start-up for the formats and the context of `size`.

    Raises:
        SpecError: the engine refuses the split, the format or the model on that GPU.
        CatalogError: there is no such GPU.
    """
    weights = size.weights_precision if weights_given else served_precision(arch)
    kv_cache, context_tokens = size.kv_cache_precision, size.kv_cache.context_tokens
    catalog, engine = Catalog.load(), start_up.choice.name
    gpu, software = catalog.gpu(start_up.gpu), catalog.software
    refused = software.refuse_engine(engine, gpu, arch, weights, kv_cache)
    if BITS_PER_VALUE[weights] < BITS_PER_VALUE["bf16"]:
        refused = software.refuse_format(gpu, weights) or refused
    if refused is not None:
        raise SpecError(f"--engine {engine} on --gpu {start_up.gpu}: {refused}")
    layout = _layout(arch, start_up, weights)
    visible_bytes = catalog.visible_memory_bytes(gpu)
    settings = engine_settings(
        start_up.choice,
        engine,
        gpu=gpu.name,
        generation=gpu.generation,
        visible_bytes=visible_bytes,
        memory_fraction=None,
        ranks=layout.gpus_per_replica,
    )
    ledger = EngineLedger(arch, weights, kv_cache, layout, settings)
    pool, cache = ledger.pool_bytes(), ledger.cache
    held = ledger.weights_bytes + sum(ledger.runtime.values()) + ledger.activations_bytes()
    longest = cache.longest_request(pool, arch.max_position_embeddings or LONGEST_REQUEST)
    return EngineSize(
        engine=engine,
        version=settings.version,
        gpu=gpu.name,
        gpus=layout.gpus_per_replica,
        layout=layout.serving_name,
        weights_precision=weights,
        kv_cache_precision=kv_cache,
        kernel_path=software.kernel_path(gpu, weights),
        memory_setting=settings.share,
        max_num_batched_tokens=settings.batched_tokens,
        max_num_seqs=settings.sequences,
        visible_bytes=visible_bytes,
        usable_bytes=settings.capacity_bytes,
        weights_bytes=ledger.weights_bytes,
        weights=ledger.weights,
        overhead_bytes=sum(ledger.runtime.values()),
        overhead=ledger.runtime,
        activations_bytes=ledger.activations_bytes(),
        kv_cache_bytes=pool,
        spare_bytes=settings.capacity_bytes - held - pool,
        outside_bytes=ledger.outside_bytes,
        starts=pool >= cache.request_bytes(context_tokens) + settings.memory.margin_gib * GIB,
        kv_tokens=cache.tokens(pool, context_tokens),
        longest_request_tokens=longest,
        context_tokens=context_tokens,
        requests_in_flight=min(settings.sequences, cache.in_flight(pool, context_tokens)),
        warnings=(settings.warning,) if settings.warning else (),
    )


def _layout(arch: ModelArchitecture, start_up: StartUp, weights: Precision) -> Layout:
    """Returns the split, unless it is not possible."""
    tensor, experts = start_up.tensor, expert_count(arch)
    if start_up.pipeline > arch.layer_count:
        raise SpecError(f"--pp is {start_up.pipeline}; {arch.name} has {arch.layer_count} layers, so at most that many")
    expert = start_up.expert or (tensor if experts and experts % tensor == 0 else 1)
    if expert > 1 and (expert > experts or tensor % expert):
        raise SpecError(
            f"--ep is {expert}; allowed for {arch.name}: divisors of --tp {tensor}, up to its {experts} experts"
        )
    layout = Layout(tensor=tensor, pipeline=start_up.pipeline, expert=expert)
    error = pinned_split_error(arch, weights, layout, whole_experts=start_up.expert is None)
    if error is not None:
        raise SpecError(error.replace("pin.layout.tensor", "--tp").replace("pin.layout.expert:", "--ep"))
    return layout


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
