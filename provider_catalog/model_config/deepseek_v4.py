"""DeepSeek-V4: attention over compressed caches whose keys are values, and hyper-connections between layers.

Source: DeepSeek-V4 technical report, 2026: section 2.1 (hash-routed first layers), 2.2 (manifold-constrained
hyper-connections), 2.3 (compressed sparse and heavily compressed attention, grouped output projection). The names and
shapes follow Hugging Face transformers 5.23, `deepseek_v4`.
"""

from typing import Final

from provider_catalog.attention.base import Attention
from provider_catalog.attention.latent import SPARSE_RATE, CompressedAttention
from provider_catalog.errors import CatalogError
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import MAX_POSITIONS, ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary

RATES: Final = {"sliding_attention": 0, "compressed_sparse_attention": SPARSE_RATE, "heavily_compressed_attention": 128}


def read(config: ConfigFields, model_type: str) -> Parts:
    """Counts a DeepSeek-V4 model."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    streams = config.count("hc_mult", default=4)
    experts = config.count("n_routed_experts")
    width = config.integer("moe_intermediate_size")
    moe = blocks.mixture_of_experts(
        hidden,
        experts=experts,
        experts_per_token=blocks.experts_per_token(config, experts, "num_experts_per_tok"),
        expert_width=width,
        shared_width=width * config.count("n_shared_experts", default=1, minimum=0),
    )
    norms = 2 * hidden + blocks.hyper_connections(hidden, streams)
    rates = _rates(config, layer_count)
    by_rate = {rate: (_attention(config, hidden, rate), moe, norms) for rate in dict.fromkeys(rates)}
    join = blocks.hyper_connection_head(hidden, streams)
    draft = config.count("num_nextn_predict_layers", default=0, minimum=0)
    draft_attention = _attention(config, hidden, 0)
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=False),
        layers=[by_rate[rate] for rate in rates],
        other=hidden + join,
        # As since V2, the stated 13B and 49B activated parameters leave out the input embedding.
        active_leaves_out=("embedding",),
        mtp_parameters=draft
        * (draft_attention.parameters + moe.parameters + norms + 2 * hidden * hidden + 3 * hidden + join),
    )


def _rates(config: ConfigFields, layer_count: int) -> list[int]:
    """The number of tokens per compressed cache entry in every layer; 0 means only a sliding window."""
    ratios = config.integers("compress_ratios", layer_count)
    if ratios is not None:
        return list(ratios)
    types = config.words("layer_types", layer_count)
    if types is None:
        # This is the order of V4-Pro: two heavily compressed layers, then both kinds in turn.
        return [128 if index < 2 or index % 2 else 4 for index in range(layer_count)]
    for kind in types:
        if kind not in RATES:
            raise CatalogError(
                f"{config.model}: config key '{config.path}layer_types' holds {kind!r}; allowed: {', '.join(RATES)}"
            )
    return [RATES[kind] for kind in types]


def _attention(config: ConfigFields, hidden: int, rate: int) -> Attention:
    """Multi-query attention whose one key is also the value, with the compressor and indexer of its rate."""
    heads = config.count("num_attention_heads")
    head_dim = config.integer("head_dim", default=512)
    q_rank = config.integer("q_lora_rank")
    o_rank = config.integer("o_lora_rank")
    groups = config.count("o_groups")
    window = config.integer("sliding_window", default=128, maximum=MAX_POSITIONS)
    config.divided("num_attention_heads", heads, groups, "o_groups")
    sparse = rate == RATES["compressed_sparse_attention"]
    return CompressedAttention(
        hidden,
        heads,
        head_dim,
        q_lora_rank=q_rank,
        o_lora_rank=o_rank,
        output_groups=groups,
        qk_rope_head_dim=config.integer("qk_rope_head_dim", default=64),
        rate=rate,
        window=None if rate else window,
        latest_tokens=window,
        indexer_heads=config.count("index_n_heads") if sparse else 0,
        indexer_dim=config.integer("index_head_dim") if sparse else 0,
    )
