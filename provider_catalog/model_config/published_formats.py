"""Formats in which published weights are stored, from the `quantization_config` of a config.json.

Sources of the keys: Hugging Face transformers 5.23, `utils/quantization_config.py`; compressed-tensors,
`quantization/quant_args.py`; NVIDIA Model Optimizer, "Unified HuggingFace Checkpoint"; AMD Quark, "Exporting".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from provider_catalog.architecture import LayerGroup
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.module_names import MAX_NAMES, NamedBlocks
from provider_catalog.precision import Precision
from provider_catalog.quantization import StoredAs, WeightFormats

DTYPES: Final[dict[str, Precision]] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "half": "fp16",
    "float8_e4m3fn": "fp8",
}

KEPT: Final = (
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
"""Keys under which publishers name the modules that stay in 16 bits."""

NF4_SCALE: Final = (32, 64)
"""Scale of bitsandbytes: one fp32 for a block of 64 values (QLoRA, arXiv 2305.14314, section 3)."""
NF4_DOUBLE_SCALE: Final = (8 * 256 + 32, 64 * 256)
"""Scale of bitsandbytes with double quantization: 8 bits for a block, and one fp32 for 256 blocks."""
MX_SCALE: Final = (8, 32)
"""Scale of MX formats: one e8m0 for 32 values (OCP Microscaling Formats v1.0, Table 1)."""
NVFP4_SCALE: Final = (8, 16)
PER_TENSOR: Final = (0, 1)
"""One scale for a whole matrix, whose size is negligible."""

_MODEL_OPTIMIZER: Final[dict[str, tuple[Precision, tuple[int, int]]]] = {
    "fp8": ("fp8", PER_TENSOR),
    "fp8_pb_wo": ("fp8", (32, 128 * 128)),
    "nvfp4": ("nvfp4", NVFP4_SCALE),
    "nvfp4_awq": ("nvfp4", NVFP4_SCALE),
    "w4a8_nvfp4_fp8": ("nvfp4", NVFP4_SCALE),
    "mxfp4": ("mxfp4", MX_SCALE),
    "mxfp8": ("fp8", MX_SCALE),
    "int8": ("int8", PER_TENSOR),
}
"""Format and scale by `quant_algo` of NVIDIA Model Optimizer, except algorithms with a group size."""


@dataclass(frozen=True)
class Published:
    """The storage formats of a checkpoint."""

    precision: Precision
    """Format of most weights."""
    formats: WeightFormats | None = None
    """Format of each kind of block; None where all matrices are in `precision` with its usual scales."""
    warnings: tuple[str, ...] = ()


def published_formats(
    root: ConfigFields, text: ConfigFields, groups: Sequence[LayerGroup], order: Sequence[int], hidden: int
) -> Published:
    """Read the formats of the published weights, with a warning for anything that is not understood."""
    quantization = root.child("quantization_config") or text.child("quantization_config")
    if quantization is None:
        name = text.text("dtype", "torch_dtype", default="") or root.text("dtype", "torch_dtype", default="")
        return Published(DTYPES.get(name.removeprefix("torch."), "bf16"))
    nested = quantization.child("quantization")
    if nested is not None:
        # This is the hf_quant_config.json of Model Optimizer.
        quantization = nested
    method = quantization.text("quant_method", default="").lower()
    algorithm = quantization.text("quant_algo", default="").lower()
    stored, warnings = _stored(quantization, method, algorithm, hidden)
    if stored is None:
        named = f"quantization method {method or algorithm or 'without a name'!r}"
        return Published("bf16", None, (f"{named} is unknown: weights are counted as bf16", *warnings))
    layers = [groups[index] for index in order]
    has_experts = any(group.feed_forward.experts for group in groups)
    formats, more = _selective(quantization, stored, method, algorithm, layers, hidden)
    high = StoredAs(precision="bf16")
    if method == "mxfp4" and has_experts:
        # transformers converts only the experts (integrations/mxfp4.py).
        formats = replace(formats, attention=high, mlp=high, head=high)
    expert_dtype = root.text("expert_dtype", default="") or quantization.text("expert_dtype", default="")
    if expert_dtype == "fp4":
        # DeepSeek-V4 stores experts as e2m1 with one ue8m0 scale per 32 values, which is MXFP4
        formats = replace(formats, experts=StoredAs(precision="mxfp4", scale=MX_SCALE))
    return Published(stored.precision, formats, (*warnings, *more))


def _stored(
    quantization: ConfigFields, method: str, algorithm: str, hidden: int
) -> tuple[StoredAs | None, tuple[str, ...]]:
    """The format of quantized matrices, and warnings; the format is None where the method is unknown."""
    row = (32, hidden)
    if method in ("awq", "gptq", "auto-round", "intel/auto-round"):
        return _grouped_integers(quantization, hidden)
    if method == "bitsandbytes":
        if not quantization.flag("load_in_4bit", "_load_in_4bit", default=False):
            return StoredAs(precision="int8", scale=row), ()
        double = quantization.flag("bnb_4bit_use_double_quant", default=False)
        return StoredAs(precision="int4", scale=NF4_DOUBLE_SCALE if double else NF4_SCALE), ()
    if method == "fp8":
        block = quantization.integers("weight_block_size", 2, minimum=1)
        return StoredAs(precision="fp8", scale=PER_TENSOR if block is None else (32, block[0] * block[1])), ()
    if method == "fbgemm_fp8":
        return StoredAs(precision="fp8", scale=row), ()
    if method == "mxfp4":
        return StoredAs(precision="mxfp4", scale=MX_SCALE), ()
    if method == "compressed-tensors":
        found = _compressed_groups(quantization, hidden)
        known = next((stored for _, stored in found if stored is not None), None)
        return known, ()
    if method == "quark":
        return _quark(quantization, hidden), ()
    if method in ("modelopt", "nvfp4", "") or algorithm:
        return _optimizer_format(algorithm or method, quantization, hidden), ()
    return None, ()


def _grouped_integers(quantization: ConfigFields, hidden: int) -> tuple[StoredAs | None, tuple[str, ...]]:
    """The format of GPTQ (arXiv 2210.17323), AWQ (arXiv 2306.00978) and AutoRound (arXiv 2309.05516).

    A group has one fp16 scale and one zero point as wide as a weight; packed layouts store it even if symmetric.
    """
    data_type = quantization.text("data_type", default="int")
    if data_type.startswith("mx"):
        return StoredAs(precision="mxfp4", scale=MX_SCALE), ()
    if data_type.startswith("nv"):
        return StoredAs(precision="nvfp4", scale=NVFP4_SCALE), ()
    bits = quantization.integer("bits", "w_bit", default=4, maximum=16)
    group = _group_size(quantization, hidden, "group_size", "q_group_size")
    warnings: tuple[str, ...] = ()
    if bits not in (4, 8):
        taken = "int4" if bits < 4 else "int8" if bits < 8 else "bf16"
        warnings = (f"weights of {bits} bits are counted as {taken}",)
        if bits > 8:
            return StoredAs(precision="bf16"), warnings
    return StoredAs(precision="int4" if bits <= 4 else "int8", scale=(16 + bits, group)), warnings


def _group_size(quantization: ConfigFields, hidden: int, *keys: str, default: int = 128) -> int:
    """The number of values that share a scale; -1 in the configuration means a whole row."""
    size = quantization.integer(*keys, default=default, minimum=-1)
    return size if size > 0 else hidden


def _optimizer_format(algorithm: str, quantization: ConfigFields, hidden: int) -> StoredAs | None:
    if algorithm in _MODEL_OPTIMIZER:
        precision, scale = _MODEL_OPTIMIZER[algorithm]
        return StoredAs(precision=precision, scale=scale)
    if algorithm == "fp8_per_channel_per_token":
        return StoredAs(precision="fp8", scale=(32, hidden))
    if algorithm in ("w4a16_awq", "w4a8_awq", "int4_awq", "w4a16"):
        return StoredAs(precision="int4", scale=(16, _group_size(quantization, hidden, "group_size")))
    if algorithm == "mixed_precision" and "quantized_layers" in quantization:
        found = list(_optimizer_layers(quantization, hidden).values())
        return max(found, key=found.count, default=None)
    return None


def _optimizer_layers(quantization: ConfigFields, hidden: int) -> dict[str, StoredAs]:
    """The formats by module name in a checkpoint of mixed precision (`quantized_layers`)."""
    listed = quantization.child("quantized_layers")
    formats = {}
    for name in list(listed.values)[:MAX_NAMES] if listed is not None else ():
        entry = listed.child(name) if listed is not None else None
        algorithm = entry.text("quant_algo", default="").lower() if entry is not None else ""
        stored = _optimizer_format(algorithm, entry, hidden) if entry is not None else None
        if stored is not None and algorithm != "mixed_precision":
            formats[name] = stored
    return formats


def _quark(quantization: ConfigFields, hidden: int) -> StoredAs | None:
    """The format of AMD Quark, from `weight` of `global_quant_config`; None if it is unknown."""
    globally = quantization.child("global_quant_config")
    weight = globally.child("weight") if globally is not None else None
    if weight is None:
        return None
    kind = weight.text("dtype", default="").lower()
    if kind.startswith("fp4"):
        return StoredAs(precision="mxfp4", scale=MX_SCALE)
    precision: Precision | None = {"fp8": "fp8", "int8": "int8", "int4": "int4", "uint4": "int4"}.get(  # type: ignore[assignment]
        kind.partition("_")[0]
    )
    if precision is None:
        return None
    scheme = weight.text("qscheme", default="per_tensor")
    scale = {"per_channel": (32, hidden), "per_group": (16, _group_size(weight, hidden, "group_size"))}
    return StoredAs(precision=precision, scale=scale.get(scheme, PER_TENSOR))


def _compressed_groups(quantization: ConfigFields, hidden: int) -> list[tuple[NamedBlocks | None, StoredAs | None]]:
    """The blocks of each group of compressed-tensors (None for all linear layers), and their format."""
    groups = quantization.child("config_groups")
    found: list[tuple[NamedBlocks | None, StoredAs | None]] = []
    for name in list(groups.values)[:100] if groups is not None else ():
        group = groups.child(name) if groups is not None else None
        weights = group.child("weights") if group is not None else None
        if group is None or weights is None:
            continue
        listed = group.values.get("targets")
        targets = list(listed[:MAX_NAMES]) if isinstance(listed, (list, tuple)) else ["Linear"]
        named = None if any(target == "Linear" for target in targets) else NamedBlocks.of(targets)
        found.append((named, _compressed(weights, hidden)))
    return found


def _compressed(weights: ConfigFields, hidden: int) -> StoredAs | None:
    """The format of one group; scales have 16 bits, and zero points are as wide as the weights."""
    bits = weights.integer("num_bits", default=8, maximum=16)
    kind = weights.text("type", default="int")
    size = weights.optional_integer("group_size", minimum=-1)
    strategy = weights.text("strategy", default="group" if size and size > 0 else "channel")
    zero_point = 0 if weights.flag("symmetric", default=True) else bits
    if kind == "float" and bits == 4:
        return (
            StoredAs(precision="mxfp4", scale=MX_SCALE)
            if size == 32
            else StoredAs(precision="nvfp4", scale=NVFP4_SCALE)
        )
    precision: Precision = "fp8" if kind == "float" else "int4" if bits <= 4 else "int8"
    if bits > 8 or kind not in ("float", "int"):
        return None
    if strategy == "block":
        block = weights.integers("block_structure", 2, minimum=1) or (128, 128)
        return StoredAs(precision=precision, scale=(16, block[0] * block[1]))
    if strategy == "channel":
        return StoredAs(precision=precision, scale=(16 + zero_point, hidden))
    if strategy == "tensor":
        return StoredAs(precision=precision, scale=PER_TENSOR)
    return StoredAs(precision=precision, scale=(16 + zero_point, _group_size(weights, hidden, "group_size")))


def _selective(
    quantization: ConfigFields,
    stored: StoredAs,
    method: str,
    algorithm: str,
    layers: Sequence[LayerGroup],
    hidden: int,
) -> tuple[WeightFormats, tuple[str, ...]]:
    """The format of every kind of block; modules that the configuration excludes stay in 16 bits."""
    kept = NamedBlocks.of(_kept_names(quantization))
    shares = kept.shares(layers)
    by_block = dict.fromkeys(("attention", "mlp", "experts"), stored)
    high = StoredAs(precision="bf16")
    chosen: list[tuple[NamedBlocks | None, StoredAs | None]] = []
    if method == "compressed-tensors":
        chosen = _compressed_groups(quantization, hidden)
    elif algorithm == "mixed_precision":
        listed = _optimizer_layers(quantization, hidden)
        for each in dict.fromkeys(listed.values()):
            chosen.append((NamedBlocks.of(name for name, one in listed.items() if one == each), each))
    if chosen:
        by_block = {block: _of_groups(block, chosen) or high for block in by_block}
    # The head is quantized if the configuration says so; compressed-tensors quantizes it unless it is excluded.
    head = stored if quantization.flag("lm_head", "quant_lm_head", default=False) else high
    if method == "compressed-tensors" and not shares["head"]:
        head = next((found for named, found in chosen if found and (named is None or named.names("head"))), high)
    warnings: tuple[str, ...] = ()
    if kept.not_understood:
        names = ", ".join(map(repr, kept.not_understood[:3]))
        warnings = (
            f"quantization_config excludes {names}, which is not understood: these modules are counted as quantized",
        )
    return (
        WeightFormats(
            **{block: replace(found, unquantized_share=shares[block]) for block, found in by_block.items()},
            head=head,
            embedding=high,
        ),
        warnings,
    )


def _of_groups(block: str, groups: Sequence[tuple[NamedBlocks | None, StoredAs | None]]) -> StoredAs | None:
    """The format of the group that names a kind of block, else of the group for all linear layers."""
    words = {"attention": ("attention",), "mlp": ("mlp", "shared"), "experts": ("experts", "mlp")}[block]
    for named, stored in groups:
        if named is not None and any(named.names(word) for word in words):
            return stored
    return next((stored for named, stored in groups if named is None), None)


def _kept_names(quantization: ConfigFields) -> list[object]:
    names: list[object] = []
    for key in KEPT:
        listed = quantization.values.get(key)
        if isinstance(listed, (list, tuple)):
            names += listed[:MAX_NAMES]
    # GPTQModel excludes modules by a leading "-:" in `dynamic`; AutoRound states the bits of modules in `extra_config`.
    for key in ("dynamic", "extra_config"):
        listed = quantization.values.get(key)
        if isinstance(listed, Mapping):
            for name, how in list(listed.items())[:MAX_NAMES]:
                if isinstance(name, str) and name.startswith("-:"):
                    names.append("re:" + name[2:])
                elif isinstance(how, Mapping) and how.get("bits") == 16:
                    names.append(name)
    return names
