"""The settings with which a serving engine is started, as far as they decide its memory."""

from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from planner.spec.engine import ServingEngineChoice
from provider_catalog.engine_memory import EngineMemory, engine_memory
from provider_catalog.software_matrix import ServingEngineName

GIB: Final = 2**30
MIB: Final = 2**20
COUNTED_AS: Final[ServingEngineName] = "vllm"
"""Engine whose memory is counted where a spec names none."""


@dataclass(frozen=True)
class EngineSettings:
    """One engine on one kind of GPU."""

    memory: EngineMemory
    version: str
    """Version of the spec, or the newest one of the data."""
    generation: str
    """Micro-architecture of the GPU."""
    visible_bytes: int
    """Memory of a GPU that a process sees."""
    pool: Literal["budget", "static", "free"]
    """How the KV cache is sized from `share`."""
    share: float
    """Memory setting of the engine."""
    batched_tokens: int
    sequences: int
    """Most sequences of one iteration."""
    sequences_given: bool
    """Whether `sequences` is a bound of the spec; else it is raised to what a load needs."""
    enforce_eager: bool
    warning: str | None
    """Warning about a version outside of the data."""

    @property
    def title(self) -> str:
        """Name and version of the engine."""
        return f"{self.memory.engine} {self.version}"

    @property
    def capacity_bytes(self) -> int:
        """Memory of a GPU that the parts of the ledger share."""
        return int(self.visible_bytes * (1.0 if self.pool == "free" else self.share))


def engine_settings(
    choice: ServingEngineChoice,
    name: ServingEngineName | Literal["auto"],
    *,
    gpu: str,
    generation: str,
    visible_bytes: int,
    memory_fraction: float | None,
    batched_tokens: int | None = None,
    ranks: int = 1,
) -> EngineSettings:
    """Return the settings of an engine on a kind of GPU.

    Args:
        choice: Settings of the spec; those that are missing get the defaults of the engine.
        name: Name of the engine.
        gpu: Name of the GPU.
        generation: Micro-architecture of the GPU.
        visible_bytes: Memory of a GPU that a process sees.
        memory_fraction: Share of GPU memory that the engine may use where `choice` has no memory setting; None takes
            the default of the engine.
        batched_tokens: Token budget where `choice` has none; None takes the default of the engine.
        ranks: GPUs of a replica.
    """
    memory, warning = engine_memory(COUNTED_AS if name == "auto" else name, choice.version)
    budget = memory.budget(gpu, visible_bytes / GIB)
    tokens = choice.max_num_batched_tokens or batched_tokens or budget.tokens
    sequences = choice.max_num_seqs or budget.sequences
    pool, share = memory.pool, choice.gpu_memory_utilization
    if share is None and memory_fraction is not None:
        # The share of the spec bounds all parts together; launch commands derive the engine's setting from it.
        pool, share = "budget", memory_fraction
    if share is None:
        share = memory.memory_setting or _default_static(memory, visible_bytes, tokens, sequences, ranks)
    return EngineSettings(
        memory=memory,
        version=choice.version or memory.until,
        generation=generation,
        visible_bytes=visible_bytes,
        pool=pool,
        share=share,
        batched_tokens=tokens,
        sequences=sequences,
        sequences_given=choice.max_num_seqs is not None,
        enforce_eager=choice.enforce_eager,
        warning=warning,
    )


def _default_static(memory: EngineMemory, visible_bytes: int, tokens: int, sequences: int, ranks: int) -> float:
    """Return the share that is left of the memory after the reserve of the engine's default."""
    reserve = memory.reserve
    if reserve is None:
        return 0.9
    held = reserve.constant_gib * GIB + reserve.mib_per_token * MIB * tokens + reserve.gib_per_rank * GIB * ranks
    held += reserve.mib_per_sequence * MIB * sequences
    if visible_bytes >= reserve.least_from_gib * GIB:
        held = max(held, reserve.least_gib * GIB)
    return max(0.01, ceil(1000 * (1 - held / visible_bytes)) / 1000)
