"""ModelArchitecture: the shape of a decoder, independent of the family whose config.json it was read from.

Sizing, training and serving find here everything that they need as numbers per layer, so that no other code asks for
the family of a model. The classes are plain dataclasses: the readers of `model_config` check every value, and
`llmcluster size` takes less time than a validation library takes to load.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from provider_catalog.attention.base import Attention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.precision import Precision
from provider_catalog.quantization import StoredAs, WeightFormats


@dataclass(frozen=True, kw_only=True)
class LayerGroup:
    """`count` layers of the same shape. Groups are listed in the order of their first layers."""

    count: int
    attention: Attention
    feed_forward: FeedForward
    norm_parameters: int = 0

    @property
    def parameters(self) -> int:
        """Parameters of one layer of the group."""
        return self.attention.parameters + self.feed_forward.parameters + self.norm_parameters


@dataclass(frozen=True, kw_only=True)
class ModelArchitecture:
    """The shape of a decoder-only language model and its parameters by component."""

    name: str
    model_type: str
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int | None
    tied_embeddings: bool
    embedding_parameters: int
    head_parameters: int
    """Parameters of the output projection; 0 if it is tied to the embedding."""
    other_parameters: int
    """Parameters outside the layers: final norm, position embeddings."""
    layers: tuple[LayerGroup, ...]
    layer_order: tuple[int, ...] = ()
    """Group of every layer from the first to the last; empty if the groups follow one another."""
    mtp_parameters: int = 0
    vision_parameters: int = 0
    audio_parameters: int = 0
    published_precision: Precision = "bf16"
    """Format of the published weights (`quantization_config`, else `torch_dtype`)."""
    published_formats: WeightFormats | None = None
    """Format of each kind of block in the published weights; None if all are alike."""
    active_leaves_out: tuple[Literal["embedding", "head"], ...] = ()
    """Parts that the publisher leaves out of its activated count: the embedding (gpt-oss, DeepSeek), the head (GLM)."""
    warnings: tuple[str, ...] = ()
    """Assumptions that the reader had to make."""

    @cached_property
    def layer_count(self) -> int:
        """Decoder layers, without multi-token-prediction layers."""
        return sum(group.count for group in self.layers)

    @cached_property
    def total_parameters(self) -> int:
        """Parameters of the published weights without multi-token-prediction layers and vision or audio towers."""
        in_layers = sum(group.count * group.parameters for group in self.layers)
        return in_layers + self.embedding_parameters + self.head_parameters + self.other_parameters

    @cached_property
    def routed_expert_parameters(self) -> int:
        """Parameters of all routed experts of all layers."""
        return sum(group.count * group.feed_forward.routed_expert_parameters for group in self.layers)

    @cached_property
    def has_latent_cache(self) -> bool:
        """Whether any layer keeps one latent cache entry per token that all heads read."""
        return any(group.attention.has_latent_cache for group in self.layers)

    @cached_property
    def layer_sequence(self) -> tuple[int, ...]:
        """Group of every layer from the first to the last."""
        if self.layer_order:
            return self.layer_order
        return tuple(index for index, group in enumerate(self.layers) for _ in range(group.count))

    @cached_property
    def active_parameters(self) -> int:
        """Parameters that a token is multiplied with: the top-k of the routed experts, and all others.

        In models with experts, routers and layer norms are left out. With this definition all published counts are
        matched to their last digit, among them 2.4B of DeepSeek-V2-Lite (arXiv 2405.04434, appendix B) and 3.3B of
        Qwen3-30B-A3B (arXiv 2505.09388, Table 2), which would be missed with routers or norms. Embedding and head are
        counted, as Mistral, Meta and Qwen do, unless the publisher leaves them out.
        """
        outside = {"embedding": self.embedding_parameters, "head": self.head_parameters}
        active = self.total_parameters
        for group in self.layers:
            block = group.feed_forward
            if block.experts:
                idle = block.routed_expert_parameters * (block.experts - block.experts_per_token) // block.experts
                active -= group.count * (idle + block.router_parameters)
        if self.routed_expert_parameters:
            active -= sum(group.count * group.norm_parameters for group in self.layers)
        return active - sum(outside[part] for part in self.active_leaves_out)

    @property
    def published_attention_precision(self) -> Precision | None:
        """Format of most attention blocks if it differs from `published_precision` (gpt-oss), else None."""
        return self._differing("attention")

    @property
    def published_dense_precision(self) -> Precision | None:
        """Format of most dense blocks and shared experts if it differs (Kimi K2 Thinking), else None."""
        return self._differing("mlp")

    @property
    def published_expert_precision(self) -> Precision | None:
        """Format of most routed experts if it differs (DeepSeek-V4), else None."""
        return self._differing("experts")

    def _differing(self, block: Literal["attention", "mlp", "experts"]) -> Precision | None:
        if self.published_formats is None:
            return None
        stored: StoredAs = getattr(self.published_formats, block)
        most = "bf16" if stored.unquantized_share > 1 / 2 else stored.precision
        return None if most == self.published_precision else most

    @property
    def parameters_by_component(self) -> dict[str, int]:
        """Parameters by component. Multi-token prediction and towers are named, but not part of the total."""
        components = {
            "embedding": self.embedding_parameters,
            "attention": sum(g.count * g.attention.parameters for g in self.layers),
            "mlp": sum(
                g.count * (g.feed_forward.parameters - g.feed_forward.routed_expert_parameters) for g in self.layers
            ),
            "experts": self.routed_expert_parameters,
            "norms": sum(g.count * g.norm_parameters for g in self.layers),
            "other": self.other_parameters,
            "head": self.head_parameters,
            "mtp": self.mtp_parameters,
            "vision": self.vision_parameters,
            "audio": self.audio_parameters,
        }
        return {name: count for name, count in components.items() if count}
