"""Families that differ from Llama by biases, norms, windows and experts only.

Each row of `TRAITS` states those differences; the counting is one function. Source of every row: the family's
modeling file in Hugging Face transformers 5.23.
"""

from dataclasses import dataclass
from typing import Final, Literal

from provider_catalog.architecture import Attention, FeedForward
from provider_catalog.model_config import blocks
from provider_catalog.model_config.fields import MAX_POSITIONS, ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary


@dataclass(frozen=True)
class Traits:
    """How a family differs from Llama."""

    query_bias: bool | str = False
    """On query, key and value projections: always, never, or by this key."""
    output_bias: bool | str = False
    mlp_bias: bool | str = False
    query_norm: Literal["none", "head", "width"] = "none"
    """Norms on queries and keys: one weight a head dimension shared by heads, or one over the whole width."""
    query_norm_key: str | None = None
    """Key that switches the query norm on, where it is optional."""
    norms: int = 2
    norm_biases: bool = False
    norm_weights: bool = True
    gated: bool = True
    tied: bool = False
    """Whether head and embedding are one when the configuration does not say."""
    head_dim: int | None = None
    """Default of the family where `head_dim` is missing; None: hidden size / heads."""
    window: int | None = None
    """Default of the family where `sliding_window` is missing."""
    window_switch: str | None = None
    """Key without which the window is not used, and its default is false."""
    window_period: int | None = None
    """Default of the family for the interval at which a layer sees all, the others only the window."""
    experts: tuple[str, ...] = ()
    """Keys of the number of routed experts; empty for a dense family."""
    expert_width: tuple[str, ...] = ("moe_intermediate_size",)
    shared_width: str | None = None
    """Key of the width of the shared expert, 0 when missing."""
    shared_count: str | None = None
    """Key of the number of shared experts, each of the routed experts' width."""
    shared_gate: bool = False
    router_bias: bool = False
    expert_bias: bool = False
    sinks: bool = False
    head_bias: bool | str = False
    embedding_counts_as_active: bool = True


LLAMA: Final = Traits(query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias")
QWEN3: Final = Traits(query_bias="attention_bias", output_bias="attention_bias", query_norm="head", head_dim=128)

TRAITS: Final[dict[str, Traits]] = {
    "gemma": Traits(query_bias="attention_bias", output_bias="attention_bias", head_dim=256, tied=True),
    "gemma2": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        head_dim=256,
        tied=True,
        norms=4,
        window=4096,
        window_period=2,
    ),
    "gemma3_text": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="head",
        head_dim=256,
        tied=True,
        norms=4,
        window=4096,
        window_period=6,
    ),
    # gpt-oss model card, arXiv 2508.10925, Table 1: the active count leaves the input embedding out
    "gpt_oss": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        sinks=True,
        head_dim=64,
        window=128,
        window_period=2,
        experts=("num_local_experts", "num_experts"),
        expert_width=("intermediate_size",),
        router_bias=True,
        expert_bias=True,
        embedding_counts_as_active=False,
    ),
    "llama": LLAMA,
    "internlm2": LLAMA,
    "yi": LLAMA,
    "smollm3": LLAMA,
    "granite": Traits(query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias", tied=False),
    "mistral": Traits(window=4096),
    "ministral": Traits(window=4096),
    "ministral3": Traits(),
    "phi3": Traits(),
    "mixtral": Traits(experts=("num_local_experts",), expert_width=("intermediate_size",)),
    "qwen2": Traits(query_bias=True, window_switch="use_sliding_window"),
    "qwen2_moe": Traits(
        query_bias="qkv_bias",
        window_switch="use_sliding_window",
        experts=("num_experts", "num_local_experts"),
        shared_width="shared_expert_intermediate_size",
        shared_gate=True,
    ),
    "qwen3": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="head",
        head_dim=128,
        window_switch="use_sliding_window",
    ),
    "qwen3_moe": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="head",
        window_switch="use_sliding_window",
        experts=("num_experts", "num_local_experts"),
    ),
    "qwen3_vl_text": QWEN3,
    "qwen3_vl_moe_text": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="head",
        experts=("num_experts", "num_local_experts"),
    ),
    "olmo": Traits(query_bias="attention_bias", output_bias="attention_bias", norm_weights=False),
    "olmo2": Traits(query_bias="attention_bias", output_bias="attention_bias", query_norm="width"),
    "olmo3": Traits(query_bias="attention_bias", output_bias="attention_bias", query_norm="width", window=4096),
    "olmoe": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="width",
        experts=("num_experts", "num_local_experts"),
        expert_width=("intermediate_size",),
    ),
    "glm": Traits(query_bias="attention_bias", head_dim=128),
    "glm4": Traits(query_bias="attention_bias", head_dim=128, norms=4),
    "glm4_moe": Traits(
        query_bias="attention_bias",
        query_norm="head",
        query_norm_key="use_qk_norm",
        experts=("n_routed_experts",),
        shared_count="n_shared_experts",
    ),
    "dots1": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="head",
        experts=("n_routed_experts",),
        shared_count="n_shared_experts",
    ),
    "ernie4_5": Traits(query_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias", head_dim=128, tied=True),
    "minimax_m2": Traits(
        query_norm="width",
        query_norm_key="use_qk_norm",
        experts=("num_local_experts",),
        expert_width=("intermediate_size",),
    ),
    "cohere": Traits(query_bias="attention_bias", output_bias="attention_bias", norms=1, tied=True, query_norm="none"),
    "cohere2": Traits(query_bias="attention_bias", output_bias="attention_bias", norms=1, tied=True, window=4096),
    "starcoder2": Traits(
        query_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias", norm_biases=True, gated=False, tied=True
    ),
    "stablelm": Traits(query_bias="use_qkv_bias", norm_biases=True),
    "nemotron": Traits(
        query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias", norm_biases=True, gated=False
    ),
    "arcee": Traits(query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias", gated=False),
    "seed_oss": Traits(
        query_bias="attention_bias", output_bias="attention_out_bias", mlp_bias="mlp_bias", head_dim=128
    ),
    "exaone4": Traits(query_norm="head"),
    "hunyuan_v1_dense": Traits(
        query_bias="attention_bias", output_bias="attention_bias", query_norm="head", mlp_bias=False
    ),
    "mimo": Traits(query_bias=True),
    "phimoe": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        norm_biases=True,
        experts=("num_local_experts",),
        expert_width=("intermediate_size",),
        head_bias="lm_head_bias",
    ),
}

DEFAULT_TRUE: Final = {"use_bias": {"starcoder2"}, "qkv_bias": {"qwen2_moe"}, "attention_bias": {"seed_oss", "gpt_oss"}}
"""Switches that are on when the configuration does not say, by family."""


def read(config: ConfigFields, model_type: str, traits: Traits | None = None) -> Parts:
    """Count a family of `TRAITS`, or one with the traits given.

    Raises:
        CatalogError: a key is missing or out of bounds.
    """
    traits = traits or TRAITS[model_type]
    hidden = config.integer("hidden_size")
    layer_count = config.count("num_hidden_layers")
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    config.divided("num_attention_heads", heads, kv_heads, "num_key_value_heads")
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

    def attention(window: int | None) -> Attention:
        return blocks.grouped_query_attention(
            hidden,
            heads,
            kv_heads,
            head_dim,
            query_bias=switched(traits.query_bias),
            output_bias=switched(traits.output_bias),
            norm=query_norm,
            sinks=traits.sinks,
            window=window,
        )

    windows = layer_windows(config, layer_count, traits)
    by_window = {window: attention(window) for window in dict.fromkeys(windows)}
    dense, moe, sparse = _feed_forwards(config, layer_count, hidden, traits, switched(traits.mlp_bias))
    norm = hidden * ((1 if traits.norm_weights else 0) + (1 if traits.norm_biases else 0))
    layers = [
        (by_window[window], feed_forward, traits.norms * norm)
        for window, feed_forward in zip(windows, (moe if s else dense for s in sparse), strict=True)
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
        embedding_counts_as_active=traits.embedding_counts_as_active,
    )


def draft_layers(config: ConfigFields, hidden: int, last: blocks.Layer) -> int:
    """Multi-token-prediction modules: a layer like the last, a projection 2·h -> h, and three norms each.

    DeepSeek-V3, arXiv 2412.19437, eq. 21; embedding and head are the main model's.
    """
    modules = config.count("num_nextn_predict_layers", default=0, minimum=0)
    attention, feed_forward, norms = last
    return modules * (attention.parameters + feed_forward.parameters + norms + 2 * hidden * hidden + 3 * hidden)


def layer_windows(config: ConfigFields, layer_count: int, traits: Traits) -> list[int | None]:
    """Window of every layer, None where it sees all."""
    window = config.optional_integer("sliding_window", minimum=0, maximum=MAX_POSITIONS) or None
    if window is None and "sliding_window" not in config.values:
        window = traits.window
    if traits.window_switch is not None and not config.flag(traits.window_switch, default=False):
        window = None
    types = config.words("layer_types", layer_count)
    if types is not None:
        return [window if kind == "sliding_attention" else None for kind in types]
    if traits.window_switch is not None and window is not None:
        # Qwen2: the first max_window_layers layers see all
        first = config.count("max_window_layers", default=layer_count, minimum=0)
        return [None if index < first else window for index in range(layer_count)]
    period = config.count("sliding_window_pattern", "_sliding_window_pattern", default=traits.window_period or 0)
    if window is not None and period:
        return [window if (index + 1) % period else None for index in range(layer_count)]
    return [window] * layer_count


def sparse_layers(config: ConfigFields, layer_count: int) -> list[bool]:
    """Which layers hold experts: all, but for the first k, those named dense, and those off the step."""
    first = config.count("first_k_dense_replace", default=0, minimum=0)
    step = config.count("decoder_sparse_step", "moe_layer_freq", default=1)
    named = set(config.integers("mlp_only_layers") or ())
    return [index >= first and index not in named and (index + 1) % step == 0 for index in range(layer_count)]


def _feed_forwards(
    config: ConfigFields, layer_count: int, hidden: int, traits: Traits, bias: bool
) -> tuple[FeedForward | None, FeedForward | None, list[bool]]:
    """The dense and the sparse block, and which layers are sparse."""
    sparse = sparse_layers(config, layer_count) if traits.experts else [False] * layer_count
    dense = None
    if not all(sparse):
        dense = blocks.dense_feed_forward(hidden, config.integer("intermediate_size"), gated=traits.gated, bias=bias)
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
        experts_per_token=blocks.experts_per_token(config, experts, "num_experts_per_tok", "experts_per_token"),
        expert_width=width,
        shared_width=shared,
        gated=traits.gated,
        router_bias=traits.router_bias,
        expert_bias=traits.expert_bias,
        shared_gate=traits.shared_gate and shared > 0,
    )
    return dense, moe, sparse
