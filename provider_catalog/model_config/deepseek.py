"""DeepSeek MoE, V2, V3, V3.2, and families with the same latent attention: Kimi K2, GLM-5, LongCat-Flash.

Sources: DeepSeekMoE, arXiv 2401.06066; DeepSeek-V2, arXiv 2405.04434; DeepSeek-V3, arXiv 2412.19437; DeepSeek-V3.2
(the lightning indexer), arXiv 2512.02556.
"""

from typing import Literal

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.attention.latent import LatentAttention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks, llama_like
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary


def read(config: ConfigFields, model_type: str) -> Parts:
    """Counts a model with multi-head latent attention, or with the plain attention of the first DeepSeekMoE."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    attention = _latent(config, hidden) if "kv_lora_rank" in config else _plain(config, hidden)
    sparse = sparse_layers(config, layer_count)
    own_index = _indexed_layers(config, layer_count)
    attentions = {True: attention, False: _latent(config, hidden, indexer=False) if not all(own_index) else attention}
    feed_forwards: dict[bool, FeedForward] = {}
    if not all(sparse):
        feed_forwards[False] = blocks.dense_feed_forward(hidden, config.integer("intermediate_size"))
    if any(sparse):
        experts = config.count("n_routed_experts")
        width = config.integer("moe_intermediate_size")
        feed_forwards[True] = blocks.mixture_of_experts(
            hidden,
            experts=experts,
            experts_per_token=blocks.experts_per_token(config, experts, "num_experts_per_tok"),
            expert_width=width,
            shared_width=width * config.count("n_shared_experts", default=0, minimum=0),
            groups=(
                config.count("n_group", default=0, minimum=0),
                config.count("topk_group", default=0, minimum=0),
            ),
        )
    shapes: dict[tuple[bool, bool], blocks.Layer] = {}
    layers = [
        shapes.setdefault(key, (attentions[key[0]], feed_forwards[key[1]], 2 * hidden))
        for key in zip(own_index, sparse, strict=True)
    ]
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=layers,
        other=hidden,
        mtp_parameters=llama_like.draft_layers(config, hidden, layers[-1]),
        active_leaves_out=_outside_active(model_type, attention),
    )


def read_longcat(config: ConfigFields, model_type: str) -> Parts:
    """Count LongCat-Flash: a block has two layers with a dense part each, and the first also has experts.

    The router may choose experts that do nothing (arXiv 2509.01322, section 2.1), so that an average token uses fewer
    experts than the top-k counted here.
    """
    hidden = config.integer("hidden_size")
    attention = _latent(config, hidden)
    width = config.integer("ffn_hidden_size", "intermediate_size")
    experts = config.count("n_routed_experts")
    idle = config.count("zero_expert_num", default=0, minimum=0)
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, "moe_topk", "num_experts_per_tok"),
        expert_width=config.integer("expert_ffn_hidden_size", "moe_intermediate_size"),
        shared_width=width,
        router_extra=idle * hidden,
    )
    first = (attention, moe, 2 * hidden)
    second = (attention, blocks.dense_feed_forward(hidden, width), 2 * hidden)
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=[first, second] * config.count("num_layers"),
        other=hidden,
        warnings=("the active parameters are an upper bound, because the top-k includes idle experts",) if idle else (),
    )


def sparse_layers(config: ConfigFields, layer_count: int) -> list[bool]:
    """Whether each layer has experts: from first_k_dense_replace on, every layer at a multiple of moe_layer_freq."""
    types = config.words("mlp_layer_types", layer_count)
    if types is not None:
        return [kind == "sparse" for kind in types]
    if "n_routed_experts" not in config:
        return [False] * layer_count
    first = config.count("first_k_dense_replace", default=0, minimum=0)
    step = config.count("moe_layer_freq", default=1)
    return [index >= first and index % step == 0 for index in range(layer_count)]


def _outside_active(model_type: str, attention: Attention) -> tuple[Literal["embedding", "head"], ...]:
    """Parts that the publishers leave out of the activated parameters that they state.

    DeepSeek leaves out the input embedding from V2 on: V2-Lite's 2.4B (arXiv 2405.04434, appendix B) and V3's 37B
    (arXiv 2412.19437, section 4.2) would be 2.66B and 37.6B with it. GLM also leaves out the head: GLM-5.1's 40B would
    be 41.8B.
    """
    if not attention.has_latent_cache:
        return ()
    return ("embedding", "head") if model_type.startswith("glm") else ("embedding",)


def _indexed_layers(config: ConfigFields, layer_count: int) -> list[bool]:
    """Whether each layer has an indexer of its own; the others reuse the selection of the previous layer (GLM-5)."""
    types = config.words("indexer_types", layer_count)
    if types is not None:
        return [kind != "shared" for kind in types]
    pattern = config.values.get("index_topk_pattern")
    if isinstance(pattern, str) and len(pattern) >= layer_count:
        return [letter != "S" for letter in pattern[:layer_count]]
    frequency = config.count("index_topk_freq", default=1)
    offset = config.count("index_skip_topk_offset", default=2, minimum=0)
    return [max(index - offset + 1, 0) % frequency == 0 for index in range(layer_count)]


def _latent(config: ConfigFields, hidden: int, *, indexer: bool = True) -> Attention:
    rope = config.integer("qk_rope_head_dim")
    return LatentAttention(
        hidden,
        config.count("num_attention_heads"),
        config.integer("qk_nope_head_dim") + rope,
        q_lora_rank=config.optional_integer("q_lora_rank"),
        kv_lora_rank=config.integer("kv_lora_rank"),
        qk_rope_head_dim=rope,
        value_head_dim=config.integer("v_head_dim"),
        bias=config.flag("attention_bias", default=False),
        indexer_heads=config.count("index_n_heads", default=0, minimum=0) if indexer else 0,
        indexer_dim=config.integer("index_head_dim", default=0, minimum=0),
    )


def _plain(config: ConfigFields, hidden: int) -> Attention:
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.divided("hidden_size", hidden, heads, "num_attention_heads")
    bias = config.flag("attention_bias", default=False)
    return GroupedQueryAttention(hidden, heads, kv_heads, head_dim, query_bias=bias, output_bias=bias)
