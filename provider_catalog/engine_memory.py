"""GPU memory of serving engines by version: the rows of engine_memory.yaml, and the row that a version selects."""

from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import Field

from provider_catalog.data_files import fact, read_yaml
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact
from provider_catalog.software_matrix import ServingEngineName

_FILE: Final = Path(__file__).parent / "data" / "engine_memory.yaml"


class TokenBudget(Fact):
    """Default token budget and number of sequences of an iteration on GPUs of some size."""

    min_gib: float
    """Smallest memory that a process sees, in GiB."""
    not_gpus: tuple[str, ...] = ()
    """GPUs of that size to which the entry does not apply."""
    tokens: int = Field(gt=0)
    sequences: int = Field(gt=0)


class NonTorch(Fact):
    """Memory outside of PyTorch in GiB a GPU: CUDA context, kernels, NCCL and buffers of custom all-reduces."""

    alone: float
    """On a replica of one GPU."""
    pipeline: float
    """With pipeline stages only."""
    tensor: float
    """With tensor parallelism, without `each_rank`."""
    each_rank: float
    """For each tensor-parallel rank."""


class StaticReserve(Fact):
    """Memory that SGLang's default mem_fraction_static leaves free."""

    constant_gib: float
    mib_per_token: float
    """For each token of a prefill chunk, in MiB."""
    gib_per_rank: float
    mib_per_sequence: float
    """For each sequence of the largest captured decode batch, in MiB."""
    least_gib: float
    """Least reserve on GPUs of at least `least_from_gib`."""
    least_from_gib: float


class EngineMemory(Fact):
    """The memory of one engine in a range of versions. The data file says what each field means."""

    engine: ServingEngineName
    since: str
    until: str
    pool: Literal["budget", "static", "free"]
    memory_setting: float | None = None
    """Default of the engine's memory setting; None where the engine computes it from `reserve`."""
    budgets: tuple[TokenBudget, ...] = Field(min_length=1)
    reserve: StaticReserve | None = None
    sampler_bytes_per_logit: float
    sampler_bytes_per_vocabulary_entry: float
    sampler_hidden: float
    sampler_gib: float
    forward_hidden: float
    pipeline_hidden: float
    tower_hidden: float
    tower_gib: float
    moe_workspace: bool
    non_torch_gib: NonTorch
    cuda_graphs_gib: float
    """Mean of measured start-ups."""
    cuda_graphs_counted: bool
    """Whether the engine deducts the CUDA graphs before it sizes the KV cache; else they lie outside of its budget."""
    margin_gib: float
    """Memory that must be left beside the longest request before a plan says that the engine starts."""
    block_tokens: int = Field(gt=0)
    """Tokens of a block of the KV cache."""
    hybrid_cache: Literal["groups", "pools"]
    packed_cache: Literal["tuples", "widest"] = "widest"
    swa_full_tokens_ratio: float | None = None
    logged_tokens: Literal["blocks", "concurrency"]
    """Number of tokens that the engine logs: the slots of its blocks, or as many requests of the longest context."""
    mxfp4_padding: dict[str, tuple[int, int]]
    source: str
    as_of: str

    @property
    def versions(self) -> str:
        """The range of versions that was read or measured."""
        return f"{self.since} to {self.until}"

    def budget(self, gpu: str, visible_gib: float) -> TokenBudget:
        """Return the default token budget on a GPU.

        Args:
            gpu: Name of the GPU.
            visible_gib: Memory that a process sees, in GiB.
        """
        fitting = (entry for entry in self.budgets if visible_gib >= entry.min_gib and gpu not in entry.not_gpus)
        return next(fitting, self.budgets[-1])


class SelectedMemory(NamedTuple):
    """The row for a version, and a warning if the version lies outside of the rows."""

    memory: EngineMemory
    warning: str | None


@lru_cache(maxsize=1)
def engine_memories() -> tuple[EngineMemory, ...]:
    """Return all rows, by engine and from the oldest version to the newest.

    Raises:
        CatalogError: a row is broken.
    """
    rows = read_yaml(_FILE)
    if not isinstance(rows, list):
        raise CatalogError(f"{_FILE}: expected a list of entries")
    return tuple(fact(EngineMemory, row, f"{_FILE}, entry {number}") for number, row in enumerate(rows, start=1))


def engine_memory(engine: ServingEngineName, version: str | None = None) -> SelectedMemory:
    """Return the memory of an engine; for an unknown version that of the nearest known one, with a warning.

    Args:
        engine: Name of the engine.
        version: Version such as 0.19 or 0.19.1; None takes the newest.
    """
    rows = [row for row in engine_memories() if row.engine == engine]
    if version is None:
        return SelectedMemory(rows[-1], None)
    asked = _numbers(version)
    older = [row for row in rows if _numbers(row.since) <= asked]
    if not older:
        return SelectedMemory(rows[0], _outside(engine, version, rows, f"older than {rows[0].since}", rows[0].since))
    row = older[-1]
    if row is rows[-1] and asked[: len(_numbers(row.until))] > _numbers(row.until):
        return SelectedMemory(row, _outside(engine, version, rows, f"newer than {row.until}", row.until))
    return SelectedMemory(row, None)


def _outside(engine: str, version: str, rows: list[EngineMemory], how: str, nearest: str) -> str:
    return (
        f"engine.version is {version}, which is {how}: the memory of {engine} {nearest} is used, the nearest known one;"
        f" known: {rows[0].since} to {rows[-1].until}"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
