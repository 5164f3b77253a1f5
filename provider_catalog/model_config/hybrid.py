"""Decoders that mix attention with linear attention: Qwen3-Next, Qwen3.5, Kimi Linear, GLM-5 Next, MiniMax-01.

Sources: gated delta networks, Yang et al. 2024, arXiv 2412.06464; Kimi Delta Attention, arXiv 2510.26692; lightning
attention, MiniMax-01, arXiv 2501.08313. The shapes follow Hugging Face transformers 5.23.
"""

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.attention.latent import LatentAttention
from provider_catalog.attention.linear import GatedDelta, KimiDelta, LightningAttention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.llama_like import TOP_K, sparse_layers
from provider_catalog.model_config.parts import Parts, positions, vocabulary
from provider_catalog.model_config.published_formats import DTYPES


def read_qwen(config: ConfigFields, model_type: str) -> Parts:
    """Count Qwen3-Next, Qwen3.5 and OLMo hybrid: a layer of attention (gated in Qwen) after three of gated delta."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    types = config.words("layer_types", layer_count)
    if types is None:
        interval = config.count("full_attention_interval", default=4)
        types = tuple(
            "linear_attention" if (index + 1) % interval else "full_attention" for index in range(layer_count)
        )
    heads, kv_heads = blocks.head_counts(config)
    is_olmo = model_type == "olmo_hybrid"
    head_dim = config.optional_integer("head_dim") or (
        config.divided("hidden_size", hidden, heads, "num_attention_heads") if is_olmo else 256
    )
    bias = config.flag("attention_bias", default=False)
    full = GroupedQueryAttention(
        hidden,
        heads,
        kv_heads,
        head_dim,
        query_bias=bias,
        output_bias=bias,
        norm=(heads + kv_heads) * head_dim if is_olmo else 2 * head_dim,
        output_gate=not is_olmo and config.flag("attn_output_gate", default=True),
    )
    linear = _gated_delta(config, hidden)
    dense, moe = _qwen_feed_forward(config, hidden)
    sparse = sparse_layers(config, layer_count) if moe is not None else [False] * layer_count
    if dense is None and not all(sparse):
        dense = blocks.dense_feed_forward(hidden, config.integer("intermediate_size"))
    shapes: dict[tuple[str, bool], blocks.Layer] = {}
    layers = []
    for kind, is_sparse in zip(types, sparse, strict=True):
        feed_forward = moe if is_sparse and moe is not None else dense or blocks.NO_FEED_FORWARD
        attention = linear if kind == "linear_attention" else full
        layers.append(shapes.setdefault((kind, is_sparse), (attention, feed_forward, 2 * hidden)))
    last = layers[-1][1]
    drafts = config.count("mtp_num_hidden_layers", default=0, minimum=0)
    # All draft layers share one projection 2·h -> h and three norms, and each has full attention.
    draft = drafts * (full.parameters + last.parameters + 2 * hidden) + (2 * hidden**2 + 3 * hidden if drafts else 0)
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=layers,
        other=hidden,
        mtp_parameters=draft,
    )


def _qwen_feed_forward(config: ConfigFields, hidden: int) -> tuple[FeedForward | None, FeedForward | None]:
    if "num_experts" not in config:
        return blocks.dense_feed_forward(hidden, config.integer("intermediate_size")), None
    experts = config.count("num_experts")
    shared = config.integer("shared_expert_intermediate_size", default=0, minimum=0)
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, "num_experts_per_tok"),
        expert_width=config.integer("moe_intermediate_size"),
        shared_width=shared,
        shared_gate=shared > 0,
    )
    return None, moe


def _gated_delta(config: ConfigFields, hidden: int) -> Attention:
    """The gated delta rule: each value head has a state d_k x d_v, and q, k and v pass a short convolution."""
    key_heads = config.count("linear_num_key_heads", default=16)
    value_heads = config.count("linear_num_value_heads", default=32)
    key_dim = config.integer("linear_key_head_dim", default=128)
    value_dim = config.integer("linear_value_head_dim", default=128)
    kernel = config.count("linear_conv_kernel_dim", default=4)
    return GatedDelta(
        hidden,
        value_heads,
        key_heads,
        key_dim,
        value_head_dim=value_dim,
        kernel=kernel,
        state_precision=DTYPES.get(config.text("mamba_ssm_dtype", default="bfloat16"), "bf16"),
    )


def read_kimi_linear(config: ConfigFields, model_type: str) -> Parts:
    """Count Kimi Linear and GLM-5 Next: a layer of latent attention after three of Kimi Delta Attention.

    GLM-5 Next adds an indexer over pooled keys to the latent layers and hyper-connections to all.
    """
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads = config.count("num_attention_heads")
    streams = config.count("hc_mult", default=0, minimum=0)
    pool = config.count("index_kpool", default=1)
    index_dim = config.integer("index_head_dim", default=0, minimum=0)
    rope = config.integer("qk_rope_head_dim", minimum=0)
    full = LatentAttention(
        hidden,
        heads,
        config.integer("qk_nope_head_dim") + rope,
        q_lora_rank=config.optional_integer("q_lora_rank"),
        kv_lora_rank=config.integer("kv_lora_rank"),
        qk_rope_head_dim=rope,
        value_head_dim=config.integer("v_head_dim"),
        indexer_heads=config.count("index_n_heads", default=0, minimum=0),
        indexer_dim=index_dim,
        indexer_pool=pool,
        output_gate=config.flag("mla_use_output_gate", default=False),
    )
    linear = _kimi_delta(config, hidden, heads)
    experts = config.count("num_experts", "n_routed_experts")
    width = config.integer("moe_intermediate_size")
    # With attention residuals (Kimi K3), attention and feed-forward each have a norm and a vector that weighs earlier
    # blocks, and so has the output; the balancing bias of the router is counted there as well.
    residuals = 2 * hidden if "attn_res_block_size" in config else 0
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=width,
        shared_width=width * config.count("num_shared_experts", "n_shared_experts", default=0, minimum=0),
        router_extra=experts if residuals else 0,
        latent=config.integer("routed_expert_hidden_size", default=0, minimum=0),
        latent_norm=config.flag("latent_moe_use_norm", default=False),
    )
    dense = blocks.dense_feed_forward(hidden, config.integer("intermediate_size"))
    types = config.words("layer_types", layer_count)
    published = config.child("linear_attn_config")
    # Published configurations list the layers of full attention, counted from 1.
    numbers = (published.integers("full_attn_layers") if published is not None else None) or ()
    norms = 2 * hidden + blocks.hyper_connections(hidden, streams) + 2 * residuals
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = []
    for index, sparse in enumerate(sparse_layers(config, layer_count)):
        is_full = types[index] != "linear_attention" if types is not None else index + 1 in numbers
        layer = (full if is_full else linear, moe if sparse else dense, norms)
        layers.append(shapes.setdefault((is_full, sparse), layer))
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config, "max_position_embeddings", "model_max_length"),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=layers,
        other=hidden + residuals,
        active_leaves_out=("embedding", "head") if model_type.startswith("glm") else (),
    )


def _kimi_delta(config: ConfigFields, hidden: int, heads: int) -> Attention:
    """The delta rule with a decay per channel, forget and output gates, and short convolutions over q, k and v."""
    published = config.child("linear_attn_config")
    linear_heads = (published or config).count("num_heads" if published else "linear_num_heads", default=heads)
    dim = (published or config).integer("head_dim" if published else "linear_head_dim", default=128)
    kernel = (published or config).count("short_conv_kernel_size" if published else "linear_conv_kernel_dim", default=4)
    whole = published is not None and published.flag("use_full_rank_gate", default=False)
    return KimiDelta(
        hidden, linear_heads, linear_heads, dim, kernel=kernel, whole_output_gate=whole, state_precision="fp32"
    )


def read_bailing_hybrid(config: ConfigFields, model_type: str) -> Parts:
    """Count Ling 2.5: Kimi Delta Attention with full-rank gates, and latent attention with a gate for each head."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads = config.count("num_attention_heads")
    rope = config.integer("qk_rope_head_dim")
    full = LatentAttention(
        hidden,
        heads,
        config.integer("qk_nope_head_dim") + rope,
        q_lora_rank=config.optional_integer("q_lora_rank"),
        kv_lora_rank=config.integer("kv_lora_rank"),
        qk_rope_head_dim=rope,
        value_head_dim=config.integer("v_head_dim"),
        head_gate=True,
    )
    linear_heads = config.count("linear_num_heads", default=heads)
    dim = config.integer("linear_head_dim", default=128)
    kernel = config.count("linear_conv_kernel_dim", "short_conv_kernel_size", default=4)
    linear = KimiDelta(
        hidden, linear_heads, linear_heads, dim, kernel=kernel, low_rank_gates=False, state_precision="fp32"
    )
    experts = config.count("num_experts")
    width = config.integer("moe_intermediate_size")
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=width,
        shared_width=width * config.count("num_shared_experts", default=0, minimum=0),
    )
    dense = blocks.dense_feed_forward(hidden, config.integer("intermediate_size"))
    types = config.words("layer_types", layer_count)
    step = config.count("layer_group_size", default=6)
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = []
    for index, sparse in enumerate(sparse_layers(config, layer_count)):
        is_full = types[index] != "linear_attention" if types is not None else (index + 1) % step == 0
        layer = (full if is_full else linear, moe if sparse else dense, 2 * hidden)
        layers.append(shapes.setdefault((is_full, sparse), layer))
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config, "max_position_embeddings", "model_max_length"),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=layers,
        other=hidden,
    )


def read_minimax(config: ConfigFields, model_type: str) -> Parts:
    """Count MiniMax-01 and M1: a layer of softmax attention after seven of lightning attention."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.optional_integer("head_dim") or config.divided("hidden_size", hidden, heads, "the heads")
    full = GroupedQueryAttention(hidden, heads, kv_heads, head_dim)
    linear = LightningAttention(hidden, heads, heads, head_dim, state_precision="fp32")
    experts = config.count("num_local_experts")
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, *TOP_K),
        expert_width=config.integer("intermediate_size"),
        shared_width=config.integer("shared_intermediate_size", default=0, minimum=0),
    )
    types = config.words("layer_types", layer_count)
    numbers = config.integers("attn_type_list", layer_count)
    if types is not None:
        is_full = [kind == "full_attention" for kind in types]
    elif numbers is not None:
        is_full = [number == 1 for number in numbers]
    else:
        is_full = [(index + 1) % 2 == 1 for index in range(layer_count)]
    shapes = {True: (full, moe, 2 * hidden), False: (linear, moe, 2 * hidden)}
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=[shapes[kind] for kind in is_full],
        other=hidden,
        # The 45.9B activated of 456B parameters (arXiv 2501.08313, section 1) leave out embedding and head.
        active_leaves_out=("embedding", "head"),
    )
