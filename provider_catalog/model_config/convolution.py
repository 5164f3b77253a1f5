"""LFM2: most layers are short gated convolutions, some are attention; feed-forward blocks are dense or experts.

The shapes follow Hugging Face transformers 5.23, `lfm2` and `lfm2_moe`.
"""

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.attention.state_space import ShortConvolution
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.llama_like import TOP_K
from provider_catalog.model_config.parts import Parts, positions, vocabulary


def read(config: ConfigFields, model_type: str) -> Parts:
    """Counts an LFM2 model."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.optional_integer("head_dim") or config.divided(
        "hidden_size", hidden, heads, "num_attention_heads"
    )
    attention = GroupedQueryAttention(hidden, heads, kv_heads, head_dim, norm=2 * head_dim)
    convolution = _convolution(config, hidden)
    types = config.words("layer_types", layer_count)
    numbers = config.integers("full_attn_idxs")
    dense = blocks.dense_feed_forward(hidden, _dense_width(config, model_type))
    moe = _experts(config, hidden) if "num_experts" in config else None
    first = config.count("num_dense_layers", default=2, minimum=0) if moe is not None else layer_count
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = []
    for index in range(layer_count):
        is_full = types[index] == "full_attention" if types is not None else numbers is None or index in numbers
        feed_forward = dense if moe is None or index < first else moe
        layer = (attention if is_full else convolution, feed_forward, 2 * hidden)
        layers.append(shapes.setdefault((is_full, feed_forward is dense), layer))
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", "tie_embedding", default=True),
        layers=layers,
        other=hidden,
    )


def _dense_width(config: ConfigFields, model_type: str) -> int:
    """The width of a dense block.

    Unless the adjustment is switched off, this is two thirds of the stated width times a factor, rounded up to a
    multiple.
    """
    width = config.integer("intermediate_size", "block_ff_dim")
    if model_type != "lfm2" or not config.flag("block_auto_adjust_ff_dim", default=True):
        return width
    width = int(config.number("block_ffn_dim_multiplier", 1.0, 0.001, 1000) * int(2 * width / 3))
    multiple = config.integer("block_multiple_of", default=256)
    return multiple * -(-width // multiple)


def _experts(config: ConfigFields, hidden: int) -> FeedForward:
    experts = config.count("num_experts")
    return blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=config.integer("moe_intermediate_size"),
    )


def _convolution(config: ConfigFields, hidden: int) -> Attention:
    kernel = config.count("conv_L_cache", default=3)
    bias = config.flag("conv_bias", default=False)
    return ShortConvolution(hidden, hidden, hidden, 1, kernel=kernel, bias=bias)
