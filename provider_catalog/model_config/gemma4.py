"""Gemma 4: wider heads in layers of full attention, keys that are also values, experts beside a dense block.

The shapes follow Hugging Face transformers 5.23, `gemma4`.
"""

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import MAX_POSITIONS, MAX_VOCABULARY, ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary


def read(config: ConfigFields, model_type: str) -> Parts:
    """Counts a Gemma 4 text model."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    types = config.words("layer_types", layer_count) or tuple(
        "sliding_attention" if (index + 1) % 6 else "full_attention" for index in range(layer_count)
    )
    shared_from = layer_count - config.count("num_kv_shared_layers", default=0, minimum=0)
    per_layer = config.integer("hidden_size_per_layer_input", default=0, minimum=0)
    moe = config.flag("enable_moe_block", default=False)
    # There are norms before and after attention and feed-forward, and three more around the experts.
    norms = hidden * (4 + (3 if moe else 0)) + (hidden if per_layer else 0)
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = []
    for index, kind in enumerate(types):
        key = (kind == "sliding_attention", index >= shared_from)
        if key not in shapes:
            attention = _attention(config, hidden, sliding=key[0], reuses_cache=key[1])
            wide = key[1] and config.flag("use_double_wide_mlp", default=False)
            feed_forward = _feed_forward(config, hidden, moe, wide)
            # The gate and projection of the per-layer input are counted with the norms of the layer.
            shapes[key] = (attention, feed_forward, norms + 2 * hidden * per_layer)
        layers.append(shapes[key])
    other = hidden
    if per_layer:
        rows = config.integer("vocab_size_per_layer_input", default=262144, maximum=MAX_VOCABULARY)
        width = layer_count * per_layer
        other += rows * width + hidden * width + per_layer
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=True),
        layers=layers,
        other=other,
    )


def _attention(config: ConfigFields, hidden: int, *, sliding: bool, reuses_cache: bool) -> Attention:
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = config.integer("head_dim", default=256)
    one_projection = False
    if not sliding:
        head_dim = config.integer("global_head_dim", default=512)
        one_projection = config.flag("attention_k_eq_v", default=False)
        if one_projection:
            kv_heads = config.count("num_global_key_value_heads", default=kv_heads)
    config.divided("num_attention_heads", heads, kv_heads, "the number of key-value heads")
    return GroupedQueryAttention(
        hidden,
        heads,
        kv_heads,
        head_dim,
        norm=head_dim * (1 if reuses_cache else 2),
        keys_are_values=one_projection,
        owns_cache=not reuses_cache,
        window=config.integer("sliding_window", default=512, maximum=MAX_POSITIONS) if sliding else None,
    )


def _feed_forward(config: ConfigFields, hidden: int, moe: bool, wide: bool) -> FeedForward:
    width = config.integer("intermediate_size") * (2 if wide else 1)
    if not moe:
        return blocks.dense_feed_forward(hidden, width)
    experts = config.count("num_experts")
    return blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, "top_k_experts"),
        expert_width=config.integer("moe_intermediate_size"),
        shared_width=width,
        router_extra=hidden + experts,
    )
