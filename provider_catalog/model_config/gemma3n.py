"""Gemma 3n: alternating updates, a learned augmented residual, per-layer embeddings, and caches that layers share.

The shapes follow Hugging Face transformers 5.23, `gemma3n`; AltUp, Baykal et al. 2023, arXiv 2301.13310; LAuReL,
Menghani et al. 2024, arXiv 2411.07501.
"""

from provider_catalog.attention.base import Attention
from provider_catalog.attention.grouped_query import GroupedQueryAttention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import MAX_POSITIONS, MAX_VOCABULARY, ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary


def read(config: ConfigFields, model_type: str) -> Parts:
    """Counts a Gemma 3n text model."""
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    types = config.words("layer_types", layer_count) or tuple(
        "sliding_attention" if (index + 1) % 5 else "full_attention" for index in range(layer_count)
    )
    shared_from = layer_count - config.count("num_kv_shared_layers", default=15, minimum=0)
    streams = config.count("altup_num_inputs", default=4)
    per_layer = config.integer("hidden_size_per_layer_input", default=256, minimum=0)
    rank = config.integer("laurel_rank", default=64, minimum=0)
    # The small parameters are four norms around both blocks, one norm each after LAuReL, the per-layer input and the
    # router of AltUp, and the output scale of AltUp.
    small = 8 * hidden + streams * streams * (streams + 1) + streams * hidden
    small += 2 * rank * hidden + 2 * per_layer * hidden
    widths = _widths(config, layer_count)
    shapes: dict[tuple[bool, bool, int], blocks.Layer] = {}
    feed_forwards: dict[int, FeedForward] = {}
    layers = []
    for index, kind in enumerate(types):
        key = (kind == "sliding_attention", index >= shared_from, widths[index])
        if key not in shapes:
            feed_forward = feed_forwards.setdefault(key[2], blocks.dense_feed_forward(hidden, key[2]))
            shapes[key] = (_attention(config, hidden, sliding=key[0], reuses_cache=key[1]), feed_forward, small)
        layers.append(shapes[key])
    rows = config.integer("vocab_size_per_layer_input", default=262144, maximum=MAX_VOCABULARY)
    width = layer_count * per_layer
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=config.flag("tie_word_embeddings", default=True),
        layers=layers,
        other=hidden + rows * width + hidden * width + per_layer + 2 * (streams - 1) * hidden * hidden,
    )


def _widths(config: ConfigFields, layer_count: int) -> tuple[int, ...]:
    """The feed-forward width of every layer; the configuration states one width, or one for each layer."""
    if isinstance(config.values.get("intermediate_size"), (list, tuple)):
        listed = config.integers("intermediate_size", layer_count, minimum=1) or ()
        # This checks each width against the bounds.
        return tuple(
            ConfigFields({"intermediate_size": one}, config.model, config.path).integer("intermediate_size")
            for one in listed
        )
    return (config.integer("intermediate_size"),) * layer_count


def _attention(config: ConfigFields, hidden: int, *, sliding: bool, reuses_cache: bool) -> Attention:
    """The attention of a layer; a layer that reads the cache of an earlier layer has no key and value projections."""
    heads, kv_heads = blocks.head_counts(config)
    head_dim = config.integer("head_dim", default=256)
    return GroupedQueryAttention(
        hidden,
        heads,
        kv_heads,
        head_dim,
        norm=head_dim * (1 if reuses_cache else 2),
        owns_cache=not reuses_cache,
        window=config.integer("sliding_window", default=512, maximum=MAX_POSITIONS) if sliding else None,
    )
