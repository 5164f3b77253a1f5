"""ModelArchitecture: the shape of a decoder, independent of the family whose config.json it was read from.

Everything that sizing, training and inference need is here as numbers per layer, so that nothing above
this module asks which family a model belongs to. Plain dataclasses: the readers of `model_config` check every value,
and `llmcluster size` takes less time than a validation library takes to load.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from provider_catalog.precision import Precision
from provider_catalog.quantization import StoredAs, WeightFormats


@dataclass(frozen=True, kw_only=True)
class Attention:
    """The token-mixing block of a layer.

    `gqa` covers multi-head, grouped-query and multi-query attention. `parameters` counts every weight of the
    block: projections, biases, query/key norms, latent norms, indexer; not the layer's own norms.
    """

    kind: Literal["gqa", "mla", "linear", "ssm", "none"]
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    """Query/key width of a head (MLA: nope + rope)."""
    value_head_dim: int = 0
    window: int | None = None
    """Tokens a sliding-window or chunked layer can see; None sees all."""
    q_lora_rank: int | None = None
    kv_lora_rank: int = 0
    qk_rope_head_dim: int = 0
    cache_values_per_token: int = 0
    """Values this layer adds to the KV cache per token (within its window), before any sharding."""
    cache_compression: int = 1
    """Tokens that share one cache entry (DeepSeek-V4's compressed caches); 1 elsewhere."""
    local_window: int = 0
    """Latest tokens a compressed cache also keeps uncompressed (DeepSeek-V4's sliding-window branch)."""
    indexer_values_per_token: int = 0
    """Values a sparse-attention indexer caches per token."""
    state_values: int = 0
    """Fixed state per sequence of a linear-attention or state-space layer, in values."""
    state_precision: Precision = "bf16"
    """Format of that state, whatever the KV cache is stored in: `mamba_ssm_cache_dtype`, else the compute format."""
    parameters: int = 0
    key_value_parameters: int = 0
    """Key and value projections with their biases: tensor parallelism divides them by at most kv_heads."""
    replicated_parameters: int = 0
    """What every tensor-parallel rank holds whole: latent down-projections, norms over a head, an indexer."""
    high_precision_parameters: int = 0
    """Norms, biases, convolutions and decay rates, which no quantization touches."""


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """The channel-mixing block of a layer. `parameters` counts all of it, routed experts included."""

    kind: Literal["dense", "moe", "none"]
    intermediate_size: int = 0
    """Width of the dense block, or of all shared experts together in a mixture-of-experts layer."""
    gated: bool = True
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate_size: int = 0
    expert_bias: bool = False
    """Whether routed experts have biases, and clamp what enters their activation function (gpt-oss)."""
    expert_groups: int = 0
    """Groups that the router divides its experts into, one for each node of the training cluster; 0 has none."""
    groups_per_token: int = 0
    """Groups that the experts of one token may lie in: node-limited routing (DeepSeek-V3, arXiv 2412.19437, 2.1.2)."""
    parameters: int = 0
    routed_expert_parameters: int = 0
    """All routed experts of the layer together; a token uses experts_per_token / experts of them."""
    router_parameters: int = 0
    high_precision_parameters: int = 0
    """Biases and gates beside the router, which no quantization touches."""


@dataclass(frozen=True, kw_only=True)
class LayerGroup:
    """`count` layers of the same shape. Groups stand in the order of first appearance."""

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
    """The shape of a decoder-only language model and where its parameters lie."""

    name: str
    model_type: str
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int | None
    tied_embeddings: bool
    embedding_parameters: int
    head_parameters: int
    """Output projection; 0 when it is tied to the embedding."""
    other_parameters: int
    """Final norm, position embeddings and whatever belongs to no layer."""
    layers: tuple[LayerGroup, ...]
    layer_order: tuple[int, ...] = ()
    """Group of every layer from the first to the last; empty where the groups follow one another."""
    mtp_parameters: int = 0
    vision_parameters: int = 0
    audio_parameters: int = 0
    published_precision: Precision = "bf16"
    """The format the published weights are stored in (`quantization_config`, else `torch_dtype`)."""
    published_formats: WeightFormats | None = None
    """How each kind of block is stored in `published_precision`; None where all are alike."""
    active_leaves_out: tuple[Literal["embedding", "head"], ...] = ()
    """Not part of the publisher's activated count: the input embedding (gpt-oss, DeepSeek), the head too (GLM)."""
    warnings: tuple[str, ...] = ()
    """What a reader had to assume."""

    @cached_property
    def layer_count(self) -> int:
        """Decoder layers, without multi-token-prediction layers."""
        return sum(group.count for group in self.layers)

    @cached_property
    def total_parameters(self) -> int:
        """What the published weights hold without multi-token-prediction layers and vision or audio towers."""
        in_layers = sum(group.count * group.parameters for group in self.layers)
        return in_layers + self.embedding_parameters + self.head_parameters + self.other_parameters

    @cached_property
    def routed_expert_parameters(self) -> int:
        """All routed experts of all layers."""
        return sum(group.count * group.feed_forward.routed_expert_parameters for group in self.layers)

    @cached_property
    def layer_sequence(self) -> tuple[int, ...]:
        """Group of every layer from the first to the last."""
        if self.layer_order:
            return self.layer_order
        return tuple(index for index, group in enumerate(self.layers) for _ in range(group.count))

    @cached_property
    def active_parameters(self) -> int:
        """Parameters whose product with a token is its result: of the routed experts only the top-k, all when dense.

        Routers and layer norms choose and scale and are left out with the idle experts: so defined, all published
        counts come out to the digits they are published with, among them 2.4B of DeepSeek-V2-Lite (arXiv 2405.04434,
        appendix B) and 3.3B of Qwen3-30B-A3B (arXiv 2505.09388, Table 2), which either would miss otherwise. Embedding
        and head are counted, as Mistral, Meta and Qwen do, unless the publisher leaves them out.
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
        """Format of most of the attention blocks where it differs from `published_precision` (gpt-oss)."""
        return self._differing("attention")

    @property
    def published_dense_precision(self) -> Precision | None:
        """Format of most dense blocks and shared experts where it differs (Kimi K2 Thinking)."""
        return self._differing("mlp")

    @property
    def published_expert_precision(self) -> Precision | None:
        """Format of most routed experts where it differs (DeepSeek-V4)."""
        return self._differing("experts")

    def _differing(self, block: Literal["attention", "mlp", "experts"]) -> Precision | None:
        if self.published_formats is None:
            return None
        stored: StoredAs = getattr(self.published_formats, block)
        most = "bf16" if stored.unquantized_share > 1 / 2 else stored.precision
        return None if most == self.published_precision else most

    @property
    def parameters_by_component(self) -> dict[str, int]:
        """Where the parameters lie; multi-token prediction and towers are named but not part of the total."""
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
