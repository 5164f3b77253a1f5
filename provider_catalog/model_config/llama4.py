"""Llama 4: chunked attention in three of four layers, experts in every layer or in every other layer.

The shapes follow Hugging Face transformers 5.23, `llama4`, where query and key norms have no weights.
"""

from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import MAX_POSITIONS, ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary


def read(config: ConfigFields, model_type: str) -> Parts:
    """Counts a Llama 4 text model."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.integer("head_dim", default=128)
    bias = config.flag("attention_bias", default=False)
    chunk = config.integer("attention_chunk_size", default=8192, maximum=MAX_POSITIONS)
    chunked, full = (
        GroupedQueryAttention(hidden, heads, kv_heads, head_dim, query_bias=bias, output_bias=bias, window=window)
        for window in (chunk, None)
    )
    experts = config.count("num_local_experts")
    width = config.integer("intermediate_size")
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, "num_experts_per_tok"),
        expert_width=width,
        shared_width=width,
    )
    step = config.count("interleave_moe_layer_step", default=1)
    dense = moe if step == 1 else blocks.dense_feed_forward(hidden, config.integer("intermediate_size_mlp"))
    types = config.words("layer_types", layer_count)
    # The value 1 marks a layer with rotary positions, which is chunked; every fourth layer has full attention.
    rotary = config.integers("no_rope_layers", layer_count) if config.values.get("no_rope_layers") else None
    named = config.integers("moe_layers")
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = []
    for index in range(layer_count):
        is_chunked = (rotary[index] == 1) if rotary is not None else (index + 1) % 4 != 0
        if types is not None:
            is_chunked = types[index] == "chunked_attention"
        sparse = index in named if named is not None else (index + 1) % step == 0
        layer = (chunked if is_chunked else full, moe if sparse else dense, 2 * hidden)
        layers.append(shapes.setdefault((is_chunked, sparse), layer))
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=layers,
        other=hidden,
    )
