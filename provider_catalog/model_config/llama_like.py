"""Families that differ from Llama only by biases, norms, windows and experts."""

from typing import Final

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import MAX_POSITIONS, ConfigFields
from provider_catalog.model_config.llama_traits import DEFAULT_TRUE, TRAITS, Traits
from provider_catalog.model_config.parts import Parts, positions, vocabulary

TOP_K: Final = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk", "moe_k", "moe_top_k")


def read(config: ConfigFields, model_type: str, traits: Traits | None = None) -> Parts:
    """Count a model of a family of `TRAITS`, or of a family with the given traits.

    Raises:
        CatalogError: a key is missing or out of bounds.
    """
    traits = traits or TRAITS[model_type]
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.optional_integer("head_dim") or traits.head_dim
    if head_dim is None:
        head_dim = config.divided("hidden_size", hidden, heads, "num_attention_heads")

    def switched(trait: bool | str) -> bool:
        if isinstance(trait, bool):
            return trait
        return config.flag(trait, default=model_type in DEFAULT_TRUE.get(trait, ()))

    query_norm = 0
    if traits.query_norm_key is None or config.flag(traits.query_norm_key, default=model_type == "minimax_m2"):
        query_norm = {"none": 0, "head": 2 * head_dim, "width": (heads + kv_heads) * head_dim}[traits.query_norm]

    indexer = config.child("sparse_attention_config")
    indexed = [False] * layer_count
    if indexer is not None:
        indexed = [value > 0 for value in indexer.integers("sparse_attention_freq", layer_count) or [1] * layer_count]

    def attention(window: int | None, selects: bool) -> Attention:
        return GroupedQueryAttention(
            hidden,
            heads,
            kv_heads,
            head_dim,
            query_bias=switched(traits.query_bias),
            output_bias=switched(traits.output_bias),
            norm=query_norm,
            sinks=traits.sinks,
            output_gate=traits.output_gate,
            window=window,
            indexer_heads=indexer.count("sparse_num_index_heads", default=0, minimum=0) if indexer and selects else 0,
            indexer_dim=indexer.integer("sparse_index_dim", default=0, minimum=0) if indexer and selects else 0,
        )

    windows = layer_windows(config, layer_count, traits)
    kinds = list(zip(windows, indexed, strict=True))
    by_kind = {kind: attention(*kind) for kind in dict.fromkeys(kinds)}
    dense, moe, sparse = _feed_forwards(config, layer_count, hidden, traits, switched(traits.mlp_bias))
    norm = hidden * ((1 if traits.norm_weights else 0) + (1 if traits.norm_biases else 0))
    layers = [
        (by_kind[kind], feed_forward, traits.norms * norm)
        for kind, feed_forward in zip(kinds, (moe if s else dense for s in sparse), strict=True)
        if feed_forward is not None
    ]
    tied = config.flag("tie_word_embeddings", default=traits.tied)
    rows = vocabulary(config)
    head = 0 if tied else rows * hidden
    return Parts(
        hidden=hidden,
        vocabulary=rows,
        positions=positions(config),
        tied=tied,
        layers=layers,
        other=norm,
        head_parameters=head + (rows if switched(traits.head_bias) else 0),
        mtp_parameters=draft_layers(config, hidden, layers[-1]),
        active_leaves_out=traits.active_leaves_out,
    )


def read_hunyuan_experts(config: ConfigFields, model_type: str) -> Parts:
    """Count Hunyuan with experts, whose published configuration repeats one number for every layer."""
    values: dict[str, object] = dict(config.values)
    for key in ("moe_topk", "num_shared_expert", "moe_intermediate_size"):
        numbers = values.get(key)
        if isinstance(numbers, list):
            if len(set(map(str, numbers))) != 1:
                raise config.error(key, "the same integer for every layer")
            values[key] = numbers[0]
    values.setdefault("num_shared_expert", 1)
    return read(config.replaced(**values), model_type)


def read_arctic(config: ConfigFields, model_type: str) -> Parts:
    """Counts Snowflake Arctic, whose layers have a dense block of the hidden width beside their experts."""
    width = config.integer("hidden_size") if config.flag("use_residual", default=True) else 0
    return read(config.replaced(residual_width=width), model_type)


def read_granite_shared(config: ConfigFields, model_type: str) -> Parts:
    """Count Granite with a shared expert, which differs from Granite without one in nothing else."""
    return read(config, "granitemoe")


def draft_layers(config: ConfigFields, hidden: int, last: blocks.Layer) -> int:
    """The parameters of the multi-token-prediction modules.

    Each has a layer like the last one, a projection 2·h -> h and three norms, and shares embedding and head with the
    main model (DeepSeek-V3, arXiv 2412.19437, eq. 21).
    """
    modules = config.count("num_nextn_predict_layers", default=0, minimum=0)
    attention, feed_forward, norms = last
    return modules * (attention.parameters + feed_forward.parameters + norms + 2 * hidden * hidden + 3 * hidden)


def layer_windows(config: ConfigFields, layer_count: int, traits: Traits) -> list[int | None]:
    """The attention window of every layer in tokens; None for full attention."""
    window = config.optional_integer("sliding_window", minimum=0, maximum=MAX_POSITIONS) or None
    if window is None and "sliding_window" not in config.values:
        window = traits.window
    if traits.window_switch is not None and not config.flag(traits.window_switch, default=False):
        window = None
    types = config.words("layer_types", layer_count)
    if types is not None:
        return [window if kind == "sliding_attention" else None for kind in types]
    if traits.window_switch is not None and window is not None:
        # In Qwen2 the first max_window_layers layers have full attention.
        first = config.count("max_window_layers", default=layer_count, minimum=0)
        return [None if index < first else window for index in range(layer_count)]
    keys = ("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers")
    period = config.count(*keys, default=traits.window_period or 0)
    if window is not None and period:
        return [window if (index + 1) % period else None for index in range(layer_count)]
    return [window] * layer_count


def sparse_layers(config: ConfigFields, layer_count: int) -> list[bool]:
    """Whether each layer has experts: all but the first k, those named as dense, and those between the steps."""
    types = config.words("mlp_layer_types", layer_count)
    if types is not None:
        return [kind != "dense" for kind in types]
    if "moe_layer_start_index" in config:
        # ERNIE 4.5 has experts from one layer to another, at an interval.
        start = config.count("moe_layer_start_index", minimum=0)
        end = config.count("moe_layer_end_index", default=layer_count - 1, minimum=0)
        step = config.count("moe_layer_interval", default=1)
        return [start <= index <= end and (index + 1) % step == 0 for index in range(layer_count)]
    if isinstance(config.values.get("moe_layer_freq"), (list, tuple)):
        return [value > 0 for value in config.integers("moe_layer_freq", layer_count) or ()]
    first = config.count("first_k_dense_replace", "num_dense_layers", default=0, minimum=0)
    step = config.count("decoder_sparse_step", "moe_layer_freq", default=1)
    named = set(config.integers("mlp_only_layers") or ())
    return [index >= first and index not in named and (index + 1) % step == 0 for index in range(layer_count)]


def _feed_forwards(
    config: ConfigFields, layer_count: int, hidden: int, traits: Traits, bias: bool
) -> tuple[FeedForward | None, FeedForward | None, list[bool]]:
    """The dense block, the block of experts, and whether each layer has experts; a block that no layer uses is None."""
    sparse = sparse_layers(config, layer_count) if traits.experts else [False] * layer_count
    dense = None
    if not all(sparse):
        dense = blocks.dense_feed_forward(hidden, config.integer(*traits.dense_width), gated=traits.gated, bias=bias)
    if not traits.experts or not any(sparse):
        return dense, None, sparse
    experts = config.count(*traits.experts)
    width = config.integer(*traits.expert_width)
    shared = 0
    if traits.shared_width is not None:
        shared = config.integer(traits.shared_width, default=0, minimum=0)
    if traits.shared_count is not None:
        shared = width * config.count(traits.shared_count, default=0, minimum=0)
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=width,
        shared_width=shared,
        gated=traits.gated,
        router_bias=traits.router_bias,
        expert_bias=traits.expert_bias,
        shared_gate=traits.shared_gate and shared > 0,
        router_extra=experts if traits.balancing_bias else 0,
    )
    return dense, moe, sparse
