"""Differences between each Llama-like family and Llama, with one row for each family.

The source of every row is the family's modeling and configuration files in Hugging Face transformers 5.23.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Traits:
    """The differences of a family from Llama."""

    query_bias: bool | str = False
    """Whether query, key and value projections have biases, or the key that decides it."""
    output_bias: bool | str = False
    mlp_bias: bool | str = False
    query_norm: Literal["none", "head", "width"] = "none"
    """Norms on queries and keys. head: weights for one head, which all heads share. width: weights for all heads."""
    query_norm_key: str | None = None
    """Key that switches the query norm on; None where it is always on."""
    norms: int = 2
    norm_biases: bool = False
    norm_weights: bool = True
    gated: bool = True
    tied: bool = False
    """Whether head and embedding share their weights unless the configuration decides it."""
    head_dim: int | None = None
    """Default of `head_dim`; None means the hidden size divided by the heads."""
    window: int | None = None
    """Default of `sliding_window`."""
    window_switch: str | None = None
    """Key that switches the window on; it is off by default. None where the window is always on."""
    window_period: int | None = None
    """Default interval of layers with full attention; the layers between have the window."""
    experts: tuple[str, ...] = ()
    """Keys for the number of routed experts; empty for a dense family."""
    expert_width: tuple[str, ...] = ("moe_intermediate_size",)
    dense_width: tuple[str, ...] = ("intermediate_size",)
    shared_width: str | None = None
    """Key for the width of the shared expert, which is 0 when the key is missing."""
    shared_count: str | None = None
    """Key for the number of shared experts, which are as wide as the routed experts."""
    shared_gate: bool = False
    router_bias: bool = False
    balancing_bias: bool = False
    """Whether the published total counts the bias that balances the experts."""
    expert_bias: bool = False
    sinks: bool = False
    output_gate: bool = False
    """Whether a projection as wide as the queries gates the output of attention."""
    head_bias: bool | str = False
    active_leaves_out: tuple[Literal["embedding", "head"], ...] = ()


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
    # gpt-oss model card, arXiv 2508.10925, Table 1: the active count leaves out the input embedding.
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
        active_leaves_out=("embedding",),
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
    # Qwen2-VL and Qwen2.5-VL have the decoder of Qwen2.
    **dict.fromkeys(
        ("qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_5_omni_text"),
        Traits(query_bias=True, window_switch="use_sliding_window"),
    ),
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
    **dict.fromkeys(
        ("qwen3_vl_moe_text", "qwen3_omni_moe_text"),
        Traits(
            query_bias="attention_bias",
            output_bias="attention_bias",
            query_norm="head",
            experts=("num_experts", "num_local_experts"),
        ),
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
    "glm4v_text": Traits(query_bias=True, norms=4),
    **dict.fromkeys(
        ("glm4_moe", "glm4v_moe_text"),
        Traits(
            query_bias="attention_bias",
            query_norm="head",
            query_norm_key="use_qk_norm",
            experts=("n_routed_experts",),
            shared_count="n_shared_experts",
            # GLM-4.5, arXiv 2508.06471, Table 1: the activated 32B and 12B leave out embedding and head.
            active_leaves_out=("embedding", "head"),
        ),
    ),
    "cohere2_moe": Traits(norms=1, experts=("num_experts", "num_local_experts"), expert_width=("intermediate_size",)),
    "exaone_moe": Traits(
        query_norm="head",
        window=4096,
        window_period=4,
        experts=("num_experts",),
        shared_count="num_shared_experts",
    ),
    "hunyuan_v1_moe": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="head",
        experts=("num_experts",),
        expert_width=("moe_intermediate_size", "intermediate_size"),
        shared_count="num_shared_expert",
    ),
    "granitemoe": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        experts=("num_local_experts",),
        expert_width=("intermediate_size",),
        shared_width="shared_intermediate_size",
    ),
    "minimax_m3_vl_text": Traits(
        query_norm="head",
        experts=("num_local_experts",),
        expert_width=("intermediate_size",),
        dense_width=("dense_intermediate_size", "intermediate_size"),
        shared_width="shared_intermediate_size",
        balancing_bias=True,
    ),
    "ernie4_5_moe": Traits(
        query_bias="use_bias",
        output_bias="use_bias",
        mlp_bias="use_bias",
        tied=True,
        experts=("moe_num_experts",),
        shared_count="moe_num_shared_experts",
        # The activated 47B of ERNIE-4.5-300B-A47B leave out the input embedding.
        active_leaves_out=("embedding",),
    ),
    "dots1": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        query_norm="head",
        experts=("n_routed_experts",),
        shared_count="n_shared_experts",
    ),
    "ernie4_5": Traits(query_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias", head_dim=128, tied=True),
    # The activated counts of MiniMax (45.9B of MiniMax-01, arXiv 2501.08313) leave out embedding and head.
    "minimax_m2": Traits(
        active_leaves_out=("embedding", "head"),
        query_norm="width",
        query_norm_key="use_qk_norm",
        experts=("num_local_experts",),
        expert_width=("intermediate_size",),
    ),
    "cohere": Traits(
        query_bias="attention_bias",
        output_bias="attention_bias",
        norms=1,
        tied=True,
        query_norm="width",
        query_norm_key="use_qk_norm",
    ),
    "cohere2": Traits(query_bias="attention_bias", output_bias="attention_bias", norms=1, tied=True, window=4096),
    "starcoder2": Traits(
        query_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias", norm_biases=True, gated=False, tied=True
    ),
    "stablelm": Traits(query_bias="use_qkv_bias", norm_biases=True),
    "nemotron": Traits(
        query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias", norm_biases=True, gated=False
    ),
    # The activation learns two numbers in every layer, which are not counted.
    "apertus": Traits(query_bias="attention_bias", output_bias="attention_bias", gated=False, query_norm="head"),
    "arcee": Traits(query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias", gated=False),
    "seed_oss": Traits(
        query_bias="attention_bias", output_bias="attention_out_bias", mlp_bias="mlp_bias", head_dim=128
    ),
    "exaone4": Traits(query_norm="head"),
    "hunyuan_v1_dense": Traits(
        query_bias="attention_bias", output_bias="attention_bias", query_norm="head", mlp_bias=False
    ),
    "afmoe": Traits(
        query_bias="attention_bias",
        query_norm="head",
        norms=4,
        window_period=4,
        output_gate=True,
        experts=("num_experts",),
        shared_count="num_shared_experts",
        router_bias=True,
    ),
    # These are Ling and Ring, arXiv 2510.22115.
    **dict.fromkeys(
        ("bailing_moe", "bailing_moe_v2"),
        Traits(
            query_bias="use_qkv_bias",
            output_bias="use_bias",
            query_norm="head",
            query_norm_key="use_qk_norm",
            experts=("num_experts",),
            shared_count="num_shared_experts",
        ),
    ),
    # The norm inside the feed-forward block, with one weight for each inner value, is not counted (0.01 %).
    "bitnet": Traits(query_bias="attention_bias", output_bias="attention_bias", norms=3, tied=True),
    "nanochat": Traits(query_bias="attention_bias", output_bias="attention_bias", norm_weights=False, gated=False),
    "jais2": Traits(
        query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias", norm_biases=True, gated=False
    ),
    "persimmon": Traits(
        query_bias=True, output_bias=True, mlp_bias=True, norm_biases=True, gated=False, query_norm="head"
    ),
    **dict.fromkeys(
        ("helium", "cwm", "emu3", "iquestcoder"),
        Traits(query_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias"),
    ),
    "internlm3": Traits(query_bias="qkv_bias", output_bias="bias", mlp_bias="bias"),
    "internlm": Traits(query_bias="bias", output_bias="bias"),
    "xverse": LLAMA,
    "exaone": LLAMA,
    "dbrx": Traits(norms=2, experts=("moe_num_experts",), expert_width=("intermediate_size",)),
    # A dense residual block of the hidden width stands beside the experts (snowflake-arctic, modeling_arctic.py).
    "arctic": Traits(
        norms=3, experts=("num_local_experts",), expert_width=("intermediate_size",), shared_width="residual_width"
    ),
    "mimo": Traits(query_bias=True),
    "chatglm": Traits(query_bias="add_qkv_bias", output_bias="add_bias_linear", mlp_bias="add_bias_linear"),
    # This is the first Qwen: queries, keys and values have biases, and intermediate_size counts gate and up together.
    "qwen": Traits(query_bias=True),
    "baichuan": Traits(),
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
"""Families in which a switch is on unless the configuration decides it, by switch."""
