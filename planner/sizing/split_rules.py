"""Splits of a replica that serving engines accept, as one table of rules.

The search, the pins of a spec and launch scripts ask here. A rule looks at one block of the model and says what would
have to divide what. Sources of all rules: vLLM 0.33.0, distributed/utils.py (`divide`), config/model.py, and the files
and issues that a rule names; SGLang and TensorRT-LLM cut the same matrices in the same way.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from planner.plan.layout import Layout
from provider_catalog.architecture import LayerGroup, ModelArchitecture
from provider_catalog.attention.latent import CompressedAttention
from provider_catalog.precision import Precision
from provider_catalog.quantization import StoredAs

Block = Literal["attention", "mlp", "experts"]

FP8_BLOCK: Final = 128
"""Rows and columns that share a scale in block-quantized FP8 weights (DeepSeek-V3, arXiv 2412.19437, section 3.3.2)."""
BLOCK_FP8_FAMILIES: Final = frozenset(
    {
        "deepseek_v3",
        "deepseek_v32",
        "deepseek_v4",
        "glm_moe_dsa",
        "kimi_k2",
        "minimax_m2",
        "qwen3_moe",
        "qwen3_next",
        "qwen3_vl_moe",
        "qwen3_5_moe",
    }
)
"""Families of mixtures of experts whose publishers quantize FP8 weights in blocks of 128 x 128 (`weight_block_size` in
the config.json of their FP8 checkpoints). Other models have scales of rows or matrices, which any split keeps."""
INTEGER_GROUP: Final = 128
"""Inputs that share a scale in int4 weights (GPTQ, arXiv 2210.17323, section 4; AWQ, arXiv 2306.00978)."""
VALUES_PER_SCALE: Final[dict[Precision, int]] = {"mxfp4": 32, "nvfp4": 16}
"""Values that share a scale: OCP Microscaling Formats v1.0, Table 1; NVIDIA, "Introducing NVFP4", 2025."""


MOST_TRIED_RANKS: Final = 64
"""Tensor-parallel degrees among which the nearest legal one is sought, beside powers of two."""


class Split(NamedTuple):
    """The split that a rule judges."""

    arch: ModelArchitecture
    weights: Precision
    tensor: int
    attention_ranks: int
    """Tensor-parallel ranks of one group of data-parallel attention, which also cut dense blocks and shared experts."""
    expert_ranks: int
    """Ranks among which each expert is cut."""


class Rule(NamedTuple):
    """A rule with its source."""

    name: str
    source: str
    broken: Callable[[Split, LayerGroup], str | None]
    """Returns what the split breaks for the layers of a group; None if nothing."""


def _heads(split: Split, group: LayerGroup) -> str | None:
    heads = group.attention.heads
    if heads % split.attention_ranks:
        return f"{split.attention_ranks} ranks do not divide the {heads} attention heads"
    return None


def _key_value_heads(split: Split, group: LayerGroup) -> str | None:
    heads, ranks = group.attention.kv_heads, split.attention_ranks
    if group.attention.recurrent or heads <= 1 or heads % ranks == 0 or ranks % heads == 0:
        return None
    return f"{ranks} ranks neither divide the {heads} key/value heads nor are a multiple of them"


def _output_groups(split: Split, group: LayerGroup) -> str | None:
    attention = group.attention
    if isinstance(attention, CompressedAttention) and attention.output_groups % split.attention_ranks:
        return f"{split.attention_ranks} ranks do not divide the {attention.output_groups} groups of the output"
    return None


def _dense_width(split: Split, group: LayerGroup) -> str | None:
    return _whole(group.feed_forward.intermediate_size, split.attention_ranks, "dense feed-forward width")


def _expert_width(split: Split, group: LayerGroup) -> str | None:
    if not group.feed_forward.experts or _stored(split.arch, split.weights, "experts").precision == "mxfp4":
        return None
    return _whole(group.feed_forward.expert_intermediate_size, split.expert_ranks, "width of an expert")


def _attention_scales(split: Split, group: LayerGroup) -> str | None:
    attention, ranks = group.attention, split.attention_ranks
    scale = _values_per_scale(split.arch, split.weights, "attention")
    if ranks == 1 or scale == 1 or not attention.mixes_tokens or isinstance(attention, CompressedAttention):
        return None
    return _scaled(attention.value_width, ranks, scale, "input of the attention output projection")


def _dense_scales(split: Split, group: LayerGroup) -> str | None:
    scale = _values_per_scale(split.arch, split.weights, "mlp")
    return _scaled(group.feed_forward.intermediate_size, split.attention_ranks, scale, "input of the down projection")


def _expert_scales(split: Split, group: LayerGroup) -> str | None:
    stored = _stored(split.arch, split.weights, "experts")
    if not group.feed_forward.experts or stored.precision == "mxfp4":
        return None
    scale = _values_per_scale(split.arch, split.weights, "experts")
    return _scaled(group.feed_forward.expert_intermediate_size, split.expert_ranks, scale, "width of an expert")


RULES: Final[tuple[Rule, ...]] = (
    Rule("attention heads", "vLLM config/model.py, verify_with_parallel_config", _heads),
    Rule("key/value heads", "vLLM layers/linear.py, QKVParallelLinear", _key_value_heads),
    Rule("output groups", "vLLM models/deepseek_v4/attention.py", _output_groups),
    Rule("dense width", "vLLM layers/linear.py, ColumnParallelLinear", _dense_width),
    Rule("expert width", "vLLM layers/fused_moe/layer.py; MXFP4 experts are padded", _expert_width),
    Rule("attention scales", "vLLM quantization/utils/fp8_utils.py, validate_fp8_block_shape", _attention_scales),
    Rule(
        "dense scales",
        "vLLM issues 5675 and 21695, pull 52915; QwenLM/Qwen3 issue 698",
        _dense_scales,
    ),
    Rule("expert scales", "vLLM fp8_utils.py; QwenLM/Qwen3-Coder-480B-A35B-Instruct-FP8 at TP8", _expert_scales),
)
"""All rules, in the order in which their messages are preferred."""


@lru_cache(maxsize=8192)
def broken_rule(arch: ModelArchitecture, weights: Precision, layout: Layout) -> str | None:
    """Return what a layout breaks when the model is served with weights in a format; None if engines accept it."""
    return next(_broken(arch, weights, layout.tensor, layout.expert, layout.attention_data), None)


def _broken(
    arch: ModelArchitecture, weights: Precision, tensor: int, expert: int, attention_data: int
) -> Iterator[str]:
    split = Split(arch, weights, tensor, max(1, tensor // attention_data), max(1, tensor // expert))
    for rule in RULES:
        for group in arch.layers:
            found = rule.broken(split, group)
            if found is not None:
                yield found
                break


def legal_tensors(
    arch: ModelArchitecture,
    weights: Precision,
    candidates: Sequence[int],
    *,
    expert: int | None = None,
    attention_data: int = 1,
) -> list[int]:
    """Return those of some tensor-parallel degrees that engines accept.

    Args:
        arch: The model.
        weights: Format of the weights.
        candidates: Degrees to try.
        expert: Expert-parallel degree; None spreads whole experts over all ranks where their number allows it.
        attention_data: Groups of data-parallel attention.
    """
    most = max(group.feed_forward.experts for group in arch.layers)

    def experts(tensor: int) -> int:
        if expert is not None:
            return min(expert, tensor)
        return tensor if most and most % tensor == 0 else 1

    fitting = (tensor for tensor in candidates if tensor % attention_data == 0)
    return [t for t in fitting if next(_broken(arch, weights, t, experts(t), attention_data), None) is None]


def _whole(width: int, ranks: int, what: str) -> str | None:
    return f"{ranks} ranks do not divide the {what}, {width}" if width % ranks else None


def _scaled(width: int, ranks: int, scale: int, what: str) -> str | None:
    if ranks == 1 or width % ranks or width // ranks % scale == 0:
        return None
    return (
        f"with {ranks} ranks a rank holds {width // ranks} of the {width} values of the {what}, which is no multiple of"
        f" the {scale} that share a scale"
    )


def _stored(arch: ModelArchitecture, weights: Precision, block: Block) -> StoredAs:
    formats = arch.published_formats if weights == arch.published_precision else None
    return StoredAs(precision=weights) if formats is None else getattr(formats, block)


def _values_per_scale(arch: ModelArchitecture, weights: Precision, block: Block) -> int:
    """Return the values along the input of a row-parallel matrix that share a scale; 1 where any split keeps them."""
    stored = _stored(arch, weights, block)
    if stored.unquantized_share == 1.0:
        return 1
    shared = None if stored.scale is None else stored.scale[1]
    if stored.precision == "fp8":
        in_blocks = shared == FP8_BLOCK**2 if shared is not None else arch.model_type in BLOCK_FP8_FAMILIES
        return FP8_BLOCK if in_blocks else 1
    if stored.precision in ("int4", "int8"):
        if shared is None:
            return INTEGER_GROUP if stored.precision == "int4" else 1
        return shared if 1 < shared < arch.hidden_size else 1
    return VALUES_PER_SCALE.get(stored.precision, 1)


def pinned_split_error(
    arch: ModelArchitecture, weights: Precision, layout: Layout, *, whole_experts: bool
) -> str | None:
    """Return why engines refuse a pinned split, with the nearest legal degrees; None if they accept it.

    Args:
        arch: The model.
        weights: Format of the weights.
        layout: The pinned split.
        whole_experts: Whether the expert-parallel degree is free, so that experts can stay whole.
    """
    broken = broken_rule(arch, weights, layout)
    if broken is None:
        return None
    tensor, groups = layout.tensor, layout.attention_data
    expert = None if whole_experts else layout.expert
    tried = sorted({*range(1, MOST_TRIED_RANKS + 1), *(2**power for power in range(9))})
    legal = legal_tensors(arch, weights, tried, expert=expert, attention_data=groups)
    below, above = [t for t in legal if t < tensor], [t for t in legal if t > tensor]
    nearest = " or ".join(str(t) for t in (*below[-1:], *above[:1])) or "none"
    remedy = ""
    if not whole_experts and legal_tensors(arch, weights, [tensor], attention_data=groups):
        remedy = f"; or pin.layout.expert: {tensor}, which leaves experts whole"
    return (
        f"pin.layout.tensor is {tensor}, which serving engines refuse for {arch.name} in {weights}: {broken}. Nearest"
        f" legal degree: {nearest}{remedy}"
    )
