"""Families whose windowed layers have other heads than the layers of full attention: MiMo-V2-Flash, Step 3.5.

The shapes follow Hugging Face transformers 5.23 (`mimo_v2_flash`, `step3p7`) and the published configurations, which
use other names for some keys.
"""

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import MAX_POSITIONS, ConfigFields
from provider_catalog.model_config.llama_like import TOP_K, sparse_layers
from provider_catalog.model_config.parts import Parts, positions, vocabulary


def read_mimo(config: ConfigFields, model_type: str) -> Parts:
    """Count MiMo-V2: values are narrower than keys, and windowed layers have sinks and twice the key-value heads."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads")
    config.divided("num_attention_heads", heads, kv_heads, "num_key_value_heads")
    windowed_kv_heads = config.count("swa_num_key_value_heads", default=2 * kv_heads)
    windowed_heads = config.count("swa_num_attention_heads", default=heads)
    head_dim = config.integer("head_dim", default=192)
    value_dim = config.integer("v_head_dim", default=128)
    bias = config.flag("attention_bias", default=False)
    window = config.integer("sliding_window_size", "sliding_window", default=128, maximum=MAX_POSITIONS)
    full = GroupedQueryAttention(
        hidden,
        heads,
        kv_heads,
        head_dim,
        value_head_dim=value_dim,
        query_bias=bias,
        sinks=config.flag("add_full_attention_sink_bias", default=False),
    )
    windowed = GroupedQueryAttention(
        hidden,
        windowed_heads,
        windowed_kv_heads,
        config.integer("swa_head_dim", default=head_dim),
        value_head_dim=config.integer("swa_v_head_dim", default=value_dim),
        query_bias=bias,
        sinks=config.flag("add_swa_attention_sink_bias", default=True),
        window=window,
    )
    types = config.words("layer_types", layer_count)
    pattern = config.integers("hybrid_layer_pattern", layer_count)
    if types is not None:
        is_windowed = [kind == "sliding_attention" for kind in types]
    elif pattern is not None:
        is_windowed = [value == 1 for value in pattern]
    else:
        is_windowed = [index > 0 and (index + 1) % 6 != 0 for index in range(layer_count)]
    experts = config.count("n_routed_experts")
    width = config.integer("moe_intermediate_size")
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=width,
        shared_width=width * config.count("n_shared_experts", default=0, minimum=0),
    )
    return _parts(config, hidden, full, windowed, is_windowed, moe, sparse_layers(config, layer_count))


def read_step(config: ConfigFields, model_type: str) -> Parts:
    """Count Step 3.5 and 3.7: every head has an output gate, and windowed layers have more query heads."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_attention_groups", "num_key_value_heads", default=heads)
    config.divided("num_attention_heads", heads, kv_heads, "num_attention_groups")
    head_dim = config.integer("head_dim", default=128)
    other = config.child("attention_other_setting")
    windowed_heads = config.count("num_sliding_attention_heads", default=heads)
    windowed_kv_heads = kv_heads
    if other is not None:
        windowed_heads = other.count("num_attention_heads", default=windowed_heads)
        windowed_kv_heads = other.count("num_attention_groups", default=kv_heads)
    window = config.optional_integer("sliding_window", minimum=0, maximum=MAX_POSITIONS) or None
    full, windowed = (
        GroupedQueryAttention(hidden, count, groups, head_dim, norm=2 * head_dim, head_gate=True, window=seen)
        for count, groups, seen in ((heads, kv_heads, None), (windowed_heads, windowed_kv_heads, window))
    )
    types = config.words("layer_types", layer_count) or ("full_attention",) * layer_count
    experts = config.count("moe_num_experts", "n_routed_experts")
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=config.integer("moe_intermediate_size"),
        shared_width=config.integer("share_expert_dim", "share_expert_dims", default=0, minimum=0),
    )
    numbers = _numbered(config)
    if numbers is not None:
        sparse = [index in numbers for index in range(layer_count)]
    elif "mlp_layer_types" in config:
        sparse = sparse_layers(config, layer_count)
    else:
        sparse = [index >= 3 for index in range(layer_count)]
    is_windowed = [kind == "sliding_attention" for kind in types]
    return _parts(config, hidden, full, windowed, is_windowed, moe, sparse)


def read_step3(config: ConfigFields, model_type: str) -> Parts:
    """Count Step-3: one key-value head, and queries from a low-rank projection (arXiv 2507.19427, section 3)."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_attention_groups", "num_key_value_heads", default=1)
    head_dim = config.integer("head_dim", default=256)
    rank = config.integer("share_q_dim")
    attention = GroupedQueryAttention(hidden, heads, kv_heads, head_dim, norm=rank, q_lora_rank=rank)
    experts = config.count("moe_num_experts")
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=config.integer("moe_intermediate_size"),
        shared_width=config.integer("share_expert_dim", default=0, minimum=0),
    )
    numbers = _numbered(config) or frozenset(range(layer_count))
    sparse = [index in numbers for index in range(layer_count)]
    return _parts(config, hidden, attention, attention, [False] * layer_count, moe, sparse)


def _numbered(config: ConfigFields) -> frozenset[int] | None:
    """Numbers of the layers with experts, which the configuration gives as a text or as a list."""
    listed = config.values.get("moe_layers_enum")
    if isinstance(listed, str):
        if not all(item.strip().isdecimal() for item in listed.split(",")) or len(listed) > 100_000:
            raise config.error("moe_layers_enum", "layer numbers separated by commas")
        return frozenset(int(item) for item in listed.split(","))
    numbers = config.integers("moe_layers_enum")
    return None if numbers is None else frozenset(numbers)


def _parts(
    config: ConfigFields,
    hidden: int,
    full: Attention,
    windowed: Attention,
    is_windowed: list[bool],
    moe: FeedForward,
    sparse: list[bool],
) -> Parts:
    dense = blocks.dense_feed_forward(hidden, config.integer("intermediate_size"))
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = []
    for key in zip(is_windowed, sparse, strict=True):
        layer = (windowed if key[0] else full, moe if key[1] else dense, 2 * hidden)
        layers.append(shapes.setdefault(key, layer))
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=layers,
        other=hidden,
    )
