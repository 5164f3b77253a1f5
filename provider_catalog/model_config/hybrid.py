"""Decoders that mix attention with recurrent layers: Qwen3-Next and Qwen3.5 (gated delta rule), Nemotron-H (Mamba-2).

Sources: gated delta networks, Yang et al. 2024, arXiv 2412.06464; Mamba-2, Dao and Gu 2024, arXiv 2405.21060;
Nemotron-H, arXiv 2504.03624; shapes as in Hugging Face transformers 5.23.
"""

from typing import Final

from provider_catalog.architecture import Attention, FeedForward
from provider_catalog.facts import CatalogError
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.llama_like import sparse_layers
from provider_catalog.model_config.parts import Parts, positions, vocabulary
from provider_catalog.precision import Precision

STATE_FORMATS: Final[dict[str, Precision]] = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def read_qwen(config: ConfigFields, model_type: str) -> Parts:
    """Count Qwen3-Next and Qwen3.5: three gated delta layers to one of gated attention."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    types = config.words("layer_types", layer_count)
    if types is None:
        interval = config.count("full_attention_interval", default=4)
        types = tuple(
            "linear_attention" if (index + 1) % interval else "full_attention" for index in range(layer_count)
        )
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    config.divided("num_attention_heads", heads, kv_heads, "num_key_value_heads")
    head_dim = config.integer("head_dim", default=256)
    bias = config.flag("attention_bias", default=False)
    full = blocks.grouped_query_attention(
        hidden,
        heads,
        kv_heads,
        head_dim,
        query_bias=bias,
        output_bias=bias,
        norm=2 * head_dim,
        output_gate=model_type.startswith("qwen3_next") or config.flag("attn_output_gate", default=True),
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
    # One projection 2·h -> h and three norms for all draft layers, each of full attention
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
    """Gated delta rule: a matrix state d_k x d_v a value head, and a short convolution over q, k and v."""
    key_heads = config.count("linear_num_key_heads", default=16)
    value_heads = config.count("linear_num_value_heads", default=32)
    key_dim = config.integer("linear_key_head_dim", default=128)
    value_dim = config.integer("linear_value_head_dim", default=128)
    kernel = config.count("linear_conv_kernel_dim", default=4)
    keys, values = key_heads * key_dim, value_heads * value_dim
    mixed = 2 * keys + values
    small = mixed * kernel + 2 * value_heads + value_dim
    return Attention(
        kind="linear",
        heads=value_heads,
        kv_heads=key_heads,
        head_dim=key_dim,
        value_head_dim=value_dim,
        state_values=value_heads * key_dim * value_dim + mixed * (kernel - 1),
        state_precision=STATE_FORMATS.get(config.text("mamba_ssm_dtype", default="bfloat16"), "bf16"),
        parameters=hidden * (mixed + values + 2 * value_heads) + values * hidden + small,
        replicated_parameters=value_dim,
        high_precision_parameters=small,
    )


def read_nemotron_h(config: ConfigFields, model_type: str) -> Parts:
    """Count Nemotron-H and Nemotron 3: every layer is one block, by a pattern of letters."""
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
    """M Mamba-2, * attention, - dense feed-forward, E experts; one letter a layer."""
    names = {"mamba": "M", "attention": "*", "full_attention": "*", "mlp": "-", "moe": "E"}
    allowed = "a string of M, *, - and E, one a layer"
    if "hybrid_override_pattern" not in config:
        for key in ("layers_block_type", "layer_types"):
            kinds = config.words(key, config.count("num_hidden_layers", default=1))
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
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    config.divided("num_attention_heads", heads, kv_heads, "num_key_value_heads")
    head_dim = config.integer("head_dim", "attention_head_dim", default=128)
    bias = config.flag("attention_bias", default=False)
    return blocks.grouped_query_attention(hidden, heads, kv_heads, head_dim, query_bias=bias, output_bias=bias)


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
    # With latent experts (Nemotron 3 Super) router and shared experts still work on the full width.
    latent = config.integer("moe_latent_size", default=0, minimum=0)
    router = experts * hidden
    shared_parameters = 2 * hidden * shared * config.count("n_shared_experts", default=1, minimum=0)
    return block.model_copy(
        update={
            "intermediate_size": shared,
            "router_parameters": router,
            "parameters": block.routed_expert_parameters + router + shared_parameters + 2 * hidden * latent,
        }
    )


def _mamba2(config: ConfigFields, hidden: int) -> Attention:
    """Mamba-2: state heads·d·n a sequence and a short convolution (arXiv 2405.21060, section 7)."""
    heads = config.count("mamba_num_heads")
    head_dim = config.integer("mamba_head_dim")
    groups = config.count("n_groups", default=1)
    state = config.integer("ssm_state_size")
    kernel = config.count("conv_kernel", default=4)
    inner = heads * head_dim
    convolved = inner + 2 * groups * state
    bias = config.flag("use_bias", "mamba_proj_bias", default=False)
    small = (
        convolved * (kernel + (1 if config.flag("use_conv_bias", default=True) else 0))
        + 3 * heads
        + inner
        + (inner + convolved + heads + hidden if bias else 0)
    )
    return Attention(
        kind="ssm",
        heads=heads,
        kv_heads=groups,
        head_dim=head_dim,
        value_head_dim=head_dim,
        state_values=heads * head_dim * state + convolved * (kernel - 1),
        state_precision=STATE_FORMATS.get(config.text("mamba_ssm_cache_dtype", default="bfloat16"), "bf16"),
        parameters=hidden * (inner + convolved + heads) + inner * hidden + small,
        high_precision_parameters=small,
    )
