"""Mamba, Falcon Mamba and Mamba-2; Mamba-2 beside attention (Nemotron-H and 3, Granite 4, Bamba, Falcon-H1); Jamba.

Sources: Mamba-2, Dao and Gu 2024, arXiv 2405.21060; Nemotron-H, arXiv 2504.03624; shapes as in Hugging Face
transformers 5.23.
"""

from dataclasses import replace

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import AttentionBesideMamba, GroupedQueryAttention
from provider_catalog.attention.state_space import Mamba1, Mamba2
from provider_catalog.errors import CatalogError
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.llama_like import TOP_K
from provider_catalog.model_config.parts import Parts, positions, vocabulary
from provider_catalog.model_config.published_formats import DTYPES


def read_nemotron_h(config: ConfigFields, model_type: str) -> Parts:
    """Count Nemotron-H and Nemotron 3: every layer is one block, whose kind a pattern of letters gives."""
    hidden = config.integer("hidden_size")
    pattern = _pattern(config)
    letters: dict[str, blocks.Layer] = {}
    for letter in dict.fromkeys(pattern):
        if letter == "M":
            block: tuple[Attention, FeedForward] = (_mamba2(config, hidden), blocks.NO_FEED_FORWARD)
        elif letter == "*":
            block = (_nemotron_attention(config, hidden), blocks.NO_FEED_FORWARD)
        elif letter == "-":
            width = config.integer("intermediate_size")
            bias = config.flag("mlp_bias", default=False)
            block = (blocks.NO_ATTENTION, blocks.dense_feed_forward(hidden, width, gated=False, bias=bias))
        else:
            block = (blocks.NO_ATTENTION, _nemotron_experts(config, hidden))
        letters[letter] = (*block, hidden)
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=[letters[letter] for letter in pattern],
        other=hidden,
    )


def _pattern(config: ConfigFields) -> str:
    """The pattern, one letter for each layer: M is Mamba-2, * attention, - dense feed-forward, E experts."""
    names = {"mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "mlp": "-", "moe": "E"}
    allowed = "a string of M, *, - and E, one a layer"
    if "hybrid_override_pattern" not in config:
        for key in ("layers_block_type", "layer_types"):
            listed = config.values.get(key)
            length = len(listed) if isinstance(listed, list) else 1
            kinds = config.words(key, config.count("num_hidden_layers", default=max(length, 1)))
            if kinds is not None:
                if any(kind not in names for kind in kinds):
                    raise config.error(key, f"a list of {', '.join(names)}")
                return "".join(names[kind] for kind in kinds)
    pattern = config.text("hybrid_override_pattern", default="")
    if not pattern or set(pattern) - set("M*-E") or len(pattern) > 4096:
        raise config.error("hybrid_override_pattern", allowed)
    layer_count = config.optional_integer("num_hidden_layers")
    if layer_count is not None and layer_count != len(pattern):
        raise CatalogError(
            f"{config.model}: config key '{config.path}num_hidden_layers' is {layer_count}; allowed: "
            f"{len(pattern)}, the length of hybrid_override_pattern"
        )
    return pattern


def _nemotron_attention(config: ConfigFields, hidden: int) -> Attention:
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.integer("head_dim", "attention_head_dim", default=128)
    bias = config.flag("attention_bias", default=False)
    return GroupedQueryAttention(hidden, heads, kv_heads, head_dim, query_bias=bias, output_bias=bias)


def _nemotron_experts(config: ConfigFields, hidden: int) -> FeedForward:
    experts = config.count("n_routed_experts")
    shared = config.integer("moe_shared_expert_intermediate_size", default=0, minimum=0)
    block = blocks.mixture_of_experts(
        config.integer("moe_latent_size", default=hidden),
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, "num_experts_per_tok"),
        expert_width=config.integer("moe_intermediate_size"),
        gated=False,
    )
    # With latent experts (Nemotron 3 Super), the router and the shared experts still have the full width.
    latent = config.integer("moe_latent_size", default=0, minimum=0)
    router = experts * hidden
    shared_parameters = 2 * hidden * shared * config.count("n_shared_experts", default=1, minimum=0)
    return replace(
        block,
        hidden=hidden,
        intermediate_size=shared,
        router_parameters=router,
        parameters=block.routed_expert_parameters + router + shared_parameters + 2 * hidden * latent,
    )


def _mamba2(config: ConfigFields, hidden: int) -> Attention:
    return Mamba2(
        hidden,
        config.count("mamba_num_heads"),
        config.count("n_groups", default=1),
        config.integer("mamba_head_dim"),
        state=config.integer("ssm_state_size"),
        kernel=config.count("conv_kernel", default=4),
        bias=config.flag("use_bias", "mamba_proj_bias", default=False),
        conv_bias=config.flag("use_conv_bias", default=True),
        state_precision=DTYPES.get(config.text("mamba_ssm_cache_dtype", default="bfloat16"), "bf16"),
    )


def read_mamba(config: ConfigFields, model_type: str) -> Parts:
    """Count pure Mamba, Falcon Mamba and Mamba-2: every layer has one block and one norm, and none has attention."""
    hidden = config.integer("hidden_size", "d_model")
    expand = config.count("expand", default=2)
    inner = config.integer("intermediate_size", default=expand * hidden) if model_type != "mamba2" else expand * hidden
    state = config.integer("state_size", default=128 if model_type == "mamba2" else 16)
    kernel = config.count("conv_kernel", default=4)
    bias = config.flag("use_bias", default=False)
    conv_bias = config.flag("use_conv_bias", default=True)
    if model_type == "mamba2":
        head_dim = config.integer("head_dim", default=64)
        heads = config.count("num_heads", default=max(inner // head_dim, 1))
        if heads * head_dim != inner:
            raise CatalogError(
                f"{config.model}: config key '{config.path}num_heads' is {heads}; allowed: expand x hidden_size / "
                f"head_dim ({inner} / {head_dim})"
            )
        groups = config.count("n_groups", default=8)
        block: Attention = Mamba2(
            hidden, heads, groups, head_dim, state=state, kernel=kernel, bias=bias, conv_bias=conv_bias
        )
    else:
        rank = -(-hidden // 16)
        if config.values.get("time_step_rank") != "auto":
            rank = config.integer("time_step_rank", default=rank)
        block = _mamba1_block(hidden, inner, state, kernel, rank, bias=bias, conv_bias=conv_bias, normed=False)
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=True),
        layers=[(block, blocks.NO_FEED_FORWARD, hidden)] * config.count("num_hidden_layers", "n_layer"),
        other=hidden,
    )


def read_granite_hybrid(config: ConfigFields, model_type: str) -> Parts:
    """Count Granite 4 and Bamba: every layer has Mamba-2 or attention, and a feed-forward block."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.divided("hidden_size", hidden, heads, "num_attention_heads")
    bias = config.flag("attention_bias", default=False)
    attention = GroupedQueryAttention(hidden, heads, kv_heads, head_dim, query_bias=bias, output_bias=bias)
    mamba_heads = config.count("mamba_n_heads", default=128)
    inner = hidden * config.count("mamba_expand", default=2)
    mamba = Mamba2(
        hidden,
        mamba_heads,
        config.count("mamba_n_groups", default=1),
        config.divided("mamba_expand", inner, mamba_heads, "mamba_n_heads"),
        state=config.integer("mamba_d_state", default=256),
        kernel=config.count("mamba_d_conv", default=4),
        bias=config.flag("mamba_proj_bias", default=False),
        conv_bias=config.flag("mamba_conv_bias", default=True),
    )
    feed_forward = _granite_feed_forward(config, hidden)
    types = config.words("layer_types", layer_count) or config.words("layers_block_type", layer_count)
    indices = config.integers("attn_layer_indices") or ()
    if types is not None:
        is_attention = [kind in ("attention", "full_attention") for kind in types]
    else:
        is_attention = [index in indices for index in range(layer_count)]
    shapes = {True: (attention, feed_forward, 2 * hidden), False: (mamba, feed_forward, 2 * hidden)}
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=[shapes[kind] for kind in is_attention],
        other=hidden,
    )


def read_falcon_h1(config: ConfigFields, model_type: str) -> Parts:
    """Count Falcon-H1: every layer has attention and Mamba-2 side by side (arXiv 2507.22448, section 2)."""
    hidden = config.integer("hidden_size")
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.optional_integer("head_dim") or config.divided("hidden_size", hidden, heads, "the heads")
    bias = config.flag("attention_bias", default=False)
    mamba_heads = config.count("mamba_n_heads", default=128)
    inner = config.integer("mamba_d_ssm", default=2 * hidden)
    mamba = Mamba2(
        hidden,
        mamba_heads,
        config.count("mamba_n_groups", default=1),
        config.divided("mamba_d_ssm", inner, mamba_heads, "mamba_n_heads"),
        state=config.integer("mamba_d_state", default=256),
        kernel=config.count("mamba_d_conv", default=4),
        bias=config.flag("mamba_proj_bias", default=False),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        normed=config.flag("mamba_rms_norm", default=False),
    )
    both = AttentionBesideMamba(hidden, heads, kv_heads, head_dim, query_bias=bias, output_bias=bias, mamba=mamba)
    feed_forward = blocks.dense_feed_forward(
        hidden, config.integer("intermediate_size"), bias=config.flag("mlp_bias", default=False)
    )
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=[(both, feed_forward, 2 * hidden)] * config.count("num_hidden_layers"),
        other=hidden,
    )


def read_jamba(config: ConfigFields, model_type: str) -> Parts:
    """Count Jamba: Mamba-1, with attention and experts at separate intervals (arXiv 2403.19887, section 2)."""
    hidden = config.integer("hidden_size")
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.divided("hidden_size", hidden, heads, "num_attention_heads")
    attention = GroupedQueryAttention(hidden, heads, kv_heads, head_dim)
    mamba = _mamba1(config, hidden)
    width = config.integer("intermediate_size")
    experts = config.count("num_experts", default=16)
    dense = blocks.dense_feed_forward(hidden, width)
    moe = dense
    if experts > 1:
        moe = blocks.mixture_of_experts(
            hidden,
            experts=experts,
            experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
            expert_width=width,
        )
    attention_period = config.count("attn_layer_period", default=8)
    attention_offset = config.count("attn_layer_offset", default=4, minimum=0)
    expert_period = config.count("expert_layer_period", default=2)
    expert_offset = config.count("expert_layer_offset", default=1, minimum=0)
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = []
    for index in range(config.count("num_hidden_layers")):
        key = (index % attention_period == attention_offset, index % expert_period == expert_offset)
        layer = (attention if key[0] else mamba, moe if key[1] else dense, 2 * hidden)
        layers.append(shapes.setdefault(key, layer))
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=layers,
        other=hidden,
    )


def _mamba1(config: ConfigFields, hidden: int) -> Attention:
    """The Mamba block of Jamba: n state values per channel (arXiv 2312.00752), and norms on its step and matrices."""
    inner = hidden * config.count("mamba_expand", default=2)
    state = config.integer("mamba_d_state", default=16)
    kernel = config.count("mamba_d_conv", default=4)
    rank = config.optional_integer("mamba_dt_rank") or -(-hidden // 16)
    return _mamba1_block(
        hidden,
        inner,
        state,
        kernel,
        rank,
        bias=config.flag("mamba_proj_bias", default=False),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        normed=True,
    )


def _mamba1_block(
    hidden: int, inner: int, state: int, kernel: int, rank: int, *, bias: bool, conv_bias: bool, normed: bool
) -> Attention:
    return Mamba1(
        hidden,
        inner,
        inner,
        1,
        state=state,
        kernel=kernel,
        rank=rank,
        bias=bias,
        conv_bias=conv_bias,
        normed=normed,
    )


def _granite_feed_forward(config: ConfigFields, hidden: int) -> FeedForward:
    """The feed-forward block: experts beside a shared block, the shared block alone, or a plain block (Bamba)."""
    experts = config.count("num_local_experts", default=0, minimum=0)
    shared = config.integer("shared_intermediate_size", default=0, minimum=0)
    if not experts:
        return blocks.dense_feed_forward(hidden, shared or config.integer("intermediate_size"))
    return blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=config.integer("intermediate_size"),
        shared_width=shared,
    )
