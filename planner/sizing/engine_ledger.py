"""The memory ledger of a serving engine: everything that a GPU holds beside the KV cache, and what is left for it.

The start-up profile of an engine runs one iteration at its token budget and samples for its largest number of
sequences. Activations are the larger peak of both (vLLM 0.19.0, v1/worker/gpu_worker.py and gpu_model_runner.py,
`profile_run`); the coefficients are fitted to published start-up logs and stand in engine_memory.yaml.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from planner.plan.layout import Layout
from planner.sizing.engine_cache import CacheLayout, cache_layout
from planner.sizing.engine_settings import GIB, EngineSettings
from planner.sizing.loaded_weights import loaded_weights
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.feed_forward import FeedForward
from provider_catalog.precision import BITS_PER_VALUE, Precision

MOST_WORKSPACE_TOKENS = 16384
"""Most tokens of one call of a mixture-of-experts kernel (vLLM, VLLM_FUSED_MOE_CHUNK_SIZE)."""


@dataclass(frozen=True)
class EngineLedger:
    """Memory of the fullest GPU of a replica in bytes, before the KV cache."""

    arch: ModelArchitecture
    weights_format: Precision
    kv_cache: Precision
    layout: Layout
    settings: EngineSettings
    drafts: bool = False
    """Whether multi-token-prediction layers draft tokens."""

    @cached_property
    def weights(self) -> dict[str, int]:
        """Weights as loaded, by part."""
        return loaded_weights(self.arch, self.weights_format, self.layout, self.settings, drafts=self.drafts)

    @cached_property
    def weights_bytes(self) -> int:
        """Weights as loaded."""
        return sum(self.weights.values())

    @cached_property
    def cache(self) -> CacheLayout:
        """Layout of the KV cache on a rank. Each group of data-parallel attention has a cache of its own."""
        layout = self.layout
        return cache_layout(
            self.arch,
            self.settings.memory,
            self.kv_cache,
            layout.tensor // layout.attention_data,
            layout.pipeline,
            self.settings.batched_tokens,
        )

    @cached_property
    def runtime(self) -> dict[str, int]:
        """Memory besides weights, activations and cache that the engine counts, by part."""
        memory, layout = self.settings.memory, self.layout
        outside = memory.non_torch_gib
        gib = outside.alone if layout.pipeline == 1 else outside.pipeline
        if layout.tensor > 1:
            gib = outside.tensor + outside.each_rank * layout.tensor
        parts = {"non_torch": int(gib * GIB)}
        if memory.cuda_graphs_counted and not self.settings.enforce_eager and self.settings.pool != "static":
            parts["cuda_graphs"] = int(memory.cuda_graphs_gib * GIB)
        if memory.moe_workspace and self.settings.pool != "static":
            parts["moe_workspace"] = self._moe_workspace
        return {name: size for name, size in parts.items() if size}

    def sequences(self, needed: int = 1) -> int:
        """Return the sequences of one iteration for which the engine is started."""
        settings = self.settings
        return settings.sequences if settings.sequences_given else max(settings.sequences, needed)

    def activations_bytes(self, needed: int = 1) -> int:
        """Return the activation peak of the start-up profile.

        Args:
            needed: Sequences that the load needs in flight on each group of data-parallel attention.
        """
        if self.settings.pool == "static":
            return 0
        return ceil(max(self._sampling(self.sequences(needed)), self._forward) + self._towers)

    def pool_bytes(self, needed: int = 1) -> int:
        """Return the memory that is left for the KV cache; 0 if the rest already exceeds the capacity."""
        rest = self.weights_bytes + sum(self.runtime.values()) + self.activations_bytes(needed)
        left = self.settings.capacity_bytes - rest
        return max(0, int(left * self.settings.share) if self.settings.pool == "free" else left)

    @property
    def outside_bytes(self) -> int:
        """CUDA graphs that the engine captures without deducting them from its budget."""
        memory = self.settings.memory
        counted = memory.cuda_graphs_counted or self.settings.enforce_eager
        return 0 if counted else int(memory.cuda_graphs_gib * GIB)

    @property
    def _hidden(self) -> float:
        """Bytes of one tensor of token budget x hidden width."""
        return float(self.settings.batched_tokens * self.arch.hidden_size * self._value_bytes)

    @property
    def _value_bytes(self) -> int:
        return 4 if BITS_PER_VALUE[self.weights_format] > 16 else 2

    def _sampling(self, sequences: int) -> float:
        """Bytes at the peak of sampling on the last pipeline stage."""
        memory, vocabulary = self.settings.memory, self.arch.vocab_size
        logits = sequences * memory.sampler_bytes_per_logit + memory.sampler_bytes_per_vocabulary_entry
        return vocabulary * logits + memory.sampler_hidden * self._hidden + memory.sampler_gib * GIB

    @cached_property
    def _forward(self) -> float:
        """Bytes at the peak of the forward pass of the widest layer."""
        memory, layout = self.settings.memory, self.layout
        widest = max(_inner_values(group.feed_forward, layout.tensor) for group in self.arch.layers)
        hidden = memory.forward_hidden + (memory.pipeline_hidden if layout.pipeline > 1 else 0.0)
        peak = self.settings.batched_tokens * widest * self._value_bytes + hidden * self._hidden
        return peak if memory.moe_workspace else max(peak, self._moe_workspace + memory.forward_hidden * self._hidden)

    @property
    def _towers(self) -> float:
        if not self.arch.vision_parameters + self.arch.audio_parameters:
            return 0.0
        memory = self.settings.memory
        return memory.tower_hidden * self._hidden + memory.tower_gib * GIB

    @cached_property
    def _moe_workspace(self) -> int:
        """Bytes of the two buffers of a mixture-of-experts kernel (vLLM, `TritonExperts.workspace_shapes`).

        Kernels of MXFP4 experts free theirs: gpt-oss-20b has none after the profile (vLLM 0.19 on H100).
        """
        layout, formats = self.layout, self.arch.published_formats
        stored = formats.experts.precision if formats and self.weights_format == self.arch.published_precision else None
        if (stored or self.weights_format) == "mxfp4":
            return 0
        most = 0.0
        tokens = min(MOST_WORKSPACE_TOKENS, self.settings.batched_tokens * layout.attention_data)
        tokens = max(tokens, self.settings.batched_tokens)
        for block in (group.feed_forward for group in self.arch.layers if group.feed_forward.experts):
            inner = block.expert_intermediate_size / max(1, layout.tensor // layout.expert)
            outer = block.expert_hidden or block.hidden
            widths = max(inner, outer) + max(block.up_matrices * inner, outer)
            most = max(most, tokens * block.experts_per_token * widths * self._value_bytes)
        return ceil(most)


def _inner_values(block: FeedForward, tensor: int) -> float:
    """Return the inner values of a token of a dense block on a rank: gate and up, and their product."""
    return (block.up_matrices + 1) * block.intermediate_size / tensor
