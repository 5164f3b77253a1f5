"""Feed-forward blocks, hyper-connections and layer groups that decoder families share.

Sources: gated feed-forward, Shazeer 2020, arXiv 2002.05202; hyper-connections, DeepSeek-V4 technical report, section
2.2. Which biases and norms a family has follows its reference implementation in Hugging Face transformers.
"""

from collections.abc import Sequence

from provider_catalog.architecture import LayerGroup
from provider_catalog.attention.base import Attention, NoAttention
from provider_catalog.errors import CatalogError
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config.fields import ConfigFields

NO_ATTENTION = NoAttention()
NO_FEED_FORWARD = FeedForward(kind="none")


def head_counts(config: ConfigFields) -> tuple[int, int]:
    """The number of attention heads, and of key/value heads (the same number unless the configuration states it).

    Raises:
        CatalogError: a count is missing or wrong, or the heads are not a multiple of the key/value heads.
    """
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    config.divided("num_attention_heads", heads, kv_heads, "num_key_value_heads")
    return heads, kv_heads


def dense_feed_forward(hidden: int, width: int, *, gated: bool = True, bias: bool = False) -> FeedForward:
    """A dense feed-forward block: 3·h·f parameters with a gate, 2·h·f without; `bias` adds biases to projections."""
    up = 2 if gated else 1
    biases = up * width + hidden if bias else 0
    return FeedForward(
        kind="dense",
        hidden=hidden,
        intermediate_size=width,
        gated=gated,
        parameters=(up + 1) * hidden * width + biases,
        high_precision_parameters=biases,
    )


def mixture_of_experts(
    hidden: int,
    *,
    experts: int,
    experts_per_token: int,
    expert_width: int,
    shared_width: int = 0,
    gated: bool = True,
    router_bias: bool = False,
    expert_bias: bool = False,
    shared_gate: bool = False,
    router_extra: int = 0,
    groups: tuple[int, int] = (0, 0),
    latent: int = 0,
    latent_norm: bool = False,
) -> FeedForward:
    """A block of experts: a router h·E, E routed experts, and the shared experts as one dense block.

    Args:
        hidden: width of the residual stream.
        experts: routed experts.
        experts_per_token: routed experts a token uses.
        expert_width: intermediate width of a routed expert.
        shared_width: intermediate width of all shared experts together.
        gated: whether experts have a gate projection.
        router_bias: a trained bias on the router's linear map (not DeepSeek's balancing bias, which is a buffer).
        expert_bias: biases in every routed expert.
        shared_gate: a gate h·1 on the shared experts (Qwen).
        router_extra: further router parameters, scales and norms.
        groups: number of groups of experts, and number of groups that one token may use.
        latent: width of the vectors that routed experts read and write, with a projection to and from it (Kimi K3,
            LatentMoE); 0 means the width of the residual stream.
        latent_norm: whether the output of the experts passes through a norm of that width.
    """
    up, read = (2 if gated else 1), latent or hidden
    routed = experts * ((up + 1) * read * expert_width + (up * expert_width + read if expert_bias else 0))
    projected = 2 * hidden * latent + (latent if latent_norm else 0)
    router = experts * (hidden + (1 if router_bias else 0)) + router_extra
    gate = hidden if shared_gate else 0
    return FeedForward(
        kind="moe",
        hidden=hidden,
        intermediate_size=shared_width,
        gated=gated,
        experts=experts,
        experts_per_token=experts_per_token,
        expert_intermediate_size=expert_width,
        expert_bias=expert_bias,
        expert_groups=groups[0],
        groups_per_token=groups[1],
        parameters=routed + router + (up + 1) * hidden * shared_width + gate + projected,
        routed_expert_parameters=routed,
        router_parameters=router,
        high_precision_parameters=gate + projected,
        expert_hidden=latent,
    )


def experts_per_token(config: ConfigFields, experts: int, *keys: str) -> int:
    """The number of experts that a token uses, which cannot exceed the number of experts.

    Raises:
        CatalogError: the number is missing or too large.
    """
    chosen = config.count(*keys)
    if chosen > experts:
        raise CatalogError(
            f"{config.model}: config key '{config.path}{keys[0]}' is {chosen}; allowed: at most the {experts} experts"
        )
    return chosen


def hyper_connections(hidden: int, streams: int) -> int:
    """The parameters of the two manifold-constrained hyper-connections of a layer; 0 without streams.

    Each maps n·h streams to n pre, n post and n² mixing weights, with a base and three scales (DeepSeek-V4 report,
    section 2.2).
    """
    maps = (2 + streams) * streams
    return 2 * (maps * streams * hidden + maps + 3) if streams else 0


def hyper_connection_head(hidden: int, streams: int) -> int:
    """The parameters of the map that joins the streams before the final norm; 0 without streams."""
    return streams * streams * hidden + streams + 1 if streams else 0


Layer = tuple[Attention, FeedForward, int]
"""A layer: its attention, its feed-forward block, and the parameters of its norms."""


def group_layers(layers: Sequence[Layer]) -> tuple[tuple[LayerGroup, ...], tuple[int, ...]]:
    """Group equal layers.

    Returns:
        The groups in the order of first appearance, and the index of the group of every layer.
    """
    indices: dict[int, int] = {}
    shapes: list[Layer] = []
    order: list[int] = []
    for layer in layers:
        # Readers reuse one tuple for equal layers, so comparing identities saves comparing fields.
        index = indices.get(id(layer))
        if index is None:
            index = next((i for i, shape in enumerate(shapes) if shape == layer), len(shapes))
            if index == len(shapes):
                shapes.append(layer)
            indices[id(layer)] = index
        order.append(index)
    groups = tuple(
        LayerGroup(count=order.count(i), attention=attention, feed_forward=feed_forward, norm_parameters=norms)
        for i, (attention, feed_forward, norms) in enumerate(shapes)
    )
    return groups, tuple(order)
