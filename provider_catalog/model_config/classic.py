"""Decoders before Llama: GPT-2 and 3, GPT-Neo, GPT-J, GPT-NeoX, OPT, BLOOM, Falcon, MPT, Phi, StarCoder.

LayerNorms have a weight and a bias, and feed-forward blocks have no gate. The biases and norms follow each family's
modeling file in Hugging Face transformers 5.23; GPT-3: Brown et al. 2020, arXiv 2005.14165, Table 2.1.
"""

from dataclasses import dataclass
from typing import Final

from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary

HIDDEN: Final = ("hidden_size", "n_embd", "d_model")
LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS: Final = ("num_attention_heads", "n_head", "n_heads", "num_heads")
INNER: Final = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
POSITIONS: Final = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class Classic:
    """The biases, norms and position embeddings of a family."""

    query_bias: bool = True
    output_bias: bool = True
    mlp_bias: bool = True
    layer_norms: int = 2
    norm_biases: bool = True
    extra_norms: int = 0
    """Number of norms outside the layers, without the final norm (BLOOM normalises its embeddings)."""
    learned_positions: bool = False
    position_offset: int = 0
    """Number of rows in the position table before the first position (OPT)."""
    head_bias: bool = False
    tied: bool = True


FAMILIES: Final[dict[str, Classic]] = {
    "gpt2": Classic(learned_positions=True),
    "gpt_bigcode": Classic(learned_positions=True),
    "gpt_neo": Classic(learned_positions=True, query_bias=False),
    "gptj": Classic(query_bias=False, output_bias=False, layer_norms=1, head_bias=True, tied=False),
    "codegen": Classic(query_bias=False, output_bias=False, layer_norms=1, head_bias=True, tied=False),
    "gpt_neox": Classic(tied=False),
    "opt": Classic(learned_positions=True, position_offset=2),
    "bloom": Classic(extra_norms=1),
    "mpt": Classic(query_bias=False, output_bias=False, mlp_bias=False, norm_biases=False),
    "phi": Classic(layer_norms=1, head_bias=True, tied=False),
}


def read(config: ConfigFields, model_type: str) -> Parts:
    """Count a model of a family of `FAMILIES`."""
    family = FAMILIES[model_type]
    hidden = config.integer(*HIDDEN)
    heads = config.count(*HEADS)
    head_dim = config.divided("hidden_size", hidden, heads, "the number of attention heads")
    kv_heads = heads
    if model_type == "gpt_bigcode" and config.flag("multi_query", default=True):
        kv_heads = 1
    if model_type == "phi":
        kv_heads = config.count("num_key_value_heads", default=heads)
        config.divided("num_attention_heads", heads, kv_heads, "num_key_value_heads")
    attention_bias = model_type != "gpt_neox" or config.flag("attention_bias", default=True)
    if model_type == "opt":
        attention_bias = config.flag("enable_bias", default=True)
    attention = GroupedQueryAttention(
        hidden,
        heads,
        kv_heads,
        head_dim,
        query_bias=family.query_bias and attention_bias,
        output_bias=family.output_bias and attention_bias,
        norm=4 * head_dim if model_type == "phi" and config.flag("qk_layernorm", default=False) else 0,
    )
    inner = config.integer(*INNER, default=4 * hidden)
    if model_type == "mpt":
        inner = hidden * config.integer("expansion_ratio", default=4)
    if model_type == "bloom":
        inner = 4 * hidden
    mlp_bias = family.mlp_bias and (model_type != "opt" or attention_bias)
    feed_forward = blocks.dense_feed_forward(hidden, inner, gated=False, bias=mlp_bias)
    norm = hidden * (2 if family.norm_biases else 1)
    layer = (attention, feed_forward, family.layer_norms * norm)
    longest = positions(config, *POSITIONS)
    rows = vocabulary(config)
    other = norm * (1 + family.extra_norms)
    if model_type == "opt" and not config.flag("do_layer_norm_before", default=True):
        other -= norm
    if family.learned_positions:
        other += ((longest or 1024) + family.position_offset) * hidden
    # OPT-350M has narrower embeddings, with a projection behind and one before the head.
    width = config.integer("word_embed_proj_dim", default=hidden) if model_type == "opt" else hidden
    if width != hidden:
        other += 2 * width * hidden
    tied = config.flag("tie_word_embeddings", default=family.tied)
    return Parts(
        hidden=hidden,
        vocabulary=rows,
        positions=longest,
        tied=tied,
        layers=[layer] * config.count(*LAYERS),
        other=other,
        embedding_parameters=rows * width,
        head_parameters=(0 if tied else rows * width) + (rows if family.head_bias else 0),
    )


def read_falcon(config: ConfigFields, model_type: str) -> Parts:
    """Count a Falcon model: multi-query (7B) or grouped-query attention (40B, 180B), one or two norms in a layer."""
    hidden = config.integer(*HIDDEN)
    heads = config.count(*HEADS)
    head_dim = config.divided("hidden_size", hidden, heads, "num_attention_heads")
    new = config.flag("new_decoder_architecture", default=False)
    kv_heads = heads
    if new:
        kv_heads = config.count("num_kv_heads", "n_head_kv", default=heads)
        config.divided("num_attention_heads", heads, kv_heads, "num_kv_heads")
    elif config.flag("multi_query", default=True):
        kv_heads = 1
    bias = config.flag("bias", default=False)
    parallel = config.flag("parallel_attn", default=True)
    norms = config.count("num_ln_in_parallel_attn", default=2 if new or not parallel else 1)
    layer = (
        GroupedQueryAttention(hidden, heads, kv_heads, head_dim, query_bias=bias, output_bias=bias),
        blocks.dense_feed_forward(hidden, config.integer(*INNER, default=4 * hidden), gated=False, bias=bias),
        norms * 2 * hidden,
    )
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config, *POSITIONS),
        tied=config.flag("tie_word_embeddings", default=True),
        layers=[layer] * config.count(*LAYERS),
        other=2 * hidden,
    )
