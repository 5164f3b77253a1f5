"""How many of each GPU hold a model: the part of `llmcluster size` that reads the catalog."""

from dataclasses import dataclass
from typing import Final

from llmcluster.reports.model_size import ModelSize
from planner.sizing.fewest_gpus import Fit, Serving, smallest_serving, smallest_training
from planner.sizing.profile import ModelProfile
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.gpu_memory import MEMORY_FRACTION, gpu_memories

TRAINING_SEQUENCE_TOKENS: Final = 4096


@dataclass(frozen=True, slots=True)
class GpuRow:
    """A GPU and the smallest numbers of it that serve and train the model; None where no allowed number does."""

    gpu: str
    usable_bytes: int
    serving: Fit | None
    training: Fit | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """The smallest numbers of every GPU of the catalog for one model."""

    memory_fraction: float
    training_sequence_tokens: int
    gpus: tuple[GpuRow, ...]


def smallest_fleet(architecture: ModelArchitecture, size: ModelSize) -> Fleet:
    """Returns the smallest number of each GPU of the catalog for the formats, context and concurrency of `size`."""
    serving = Serving(
        size.weights_precision, size.kv_cache_precision, size.kv_cache.context_tokens, size.kv_cache.concurrency
    )
    sequence = min(TRAINING_SEQUENCE_TOKENS, architecture.max_position_embeddings or TRAINING_SEQUENCE_TOKENS)
    memories = gpu_memories()
    training = smallest_training(ModelProfile.of(architecture), sequence, memories)
    rows = [
        GpuRow(gpu.name, gpu.usable_bytes, smallest_serving(architecture, serving, gpu), training[gpu.name])
        for gpu in memories
    ]
    return Fleet(MEMORY_FRACTION, sequence, tuple(rows))
