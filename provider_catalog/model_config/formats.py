"""In which format the published weights are stored."""

import re
from typing import Final

from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.precision import Precision

DTYPES: Final[dict[str, Precision]] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "half": "fp16",
    "float8_e4m3fn": "fp8",
}

METHODS: Final[dict[str, Precision]] = {
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "mxfp4": "mxfp4",
    "awq": "int4",
    "gptq": "int4",
    "nvfp4": "nvfp4",
}
"""`quant_method` of a quantization_config to format; awq and gptq state their `bits`."""

_BLOCKS: Final = {
    # One projection of an attention block (kv_b_proj, say) left alone does not make the block unquantized
    "attention": re.compile(r"(self_attn|attention|attn)(\.?\*)*\$?$"),
    "dense": re.compile(r"shared_experts?(\.?\*)*\$?$"),
}
_LAYER: Final = re.compile(r"layers?\.(\d+)\.")


def published_precision(config: ConfigFields, text: ConfigFields) -> tuple[Precision, tuple[str, ...]]:
    """Format of most weights, and a warning where the configuration's own word for it is unknown."""
    quantization = config.child("quantization_config") or text.child("quantization_config")
    if quantization is not None:
        method = quantization.text("quant_method", default="")
        if method in ("awq", "gptq", "auto-round"):
            bits = quantization.integer("bits", default=4, maximum=16)
            if bits in (4, 8):
                return ("int4" if bits == 4 else "int8"), ()
        if method == "bitsandbytes":
            return ("int4" if quantization.flag("load_in_4bit", default=False) else "int8"), ()
        if method in METHODS:
            return METHODS[method], ()
        algorithm = quantization.text("quant_algo", default="").lower()
        if algorithm in ("fp8", "nvfp4"):
            return ("fp8" if algorithm == "fp8" else "nvfp4"), ()
        if method == "compressed-tensors":
            return _compressed_tensors(quantization)
        return "bf16", (f"quantization method {method or algorithm!r} is unknown: weights are taken as bf16",)
    name = text.text("dtype", "torch_dtype", default="") or config.text("dtype", "torch_dtype", default="")
    return DTYPES.get(name.removeprefix("torch."), "bf16"), ()


def _compressed_tensors(quantization: ConfigFields) -> tuple[Precision, tuple[str, ...]]:
    groups = quantization.child("config_groups")
    for name in groups.values if groups is not None else ():
        group = groups.child(name) if groups is not None else None
        weights = group.child("weights") if group is not None else None
        if weights is None:
            continue
        bits = weights.integer("num_bits", default=8, maximum=16)
        kind = weights.text("type", default="int")
        if (kind, bits) == ("float", 8):
            return "fp8", ()
        if (kind, bits) == ("float", 4):
            return ("mxfp4" if weights.integer("group_size", default=16, minimum=-1) == 32 else "nvfp4"), ()
        if bits in (4, 8):
            return ("int4" if bits == 4 else "int8"), ()
    return "bf16", ("the compressed-tensors groups are unknown: weights are taken as bf16",)


def unquantized_blocks(config: ConfigFields, text: ConfigFields, layer_count: int) -> set[str]:
    """Which of `attention` and `dense` a quantized checkpoint leaves in 16 bits in (almost) every layer.

    Publishers name them by patterns or one by one under `modules_to_not_convert`, `ignore` or `exclude_modules`.
    """
    quantization = config.child("quantization_config") or text.child("quantization_config")
    if quantization is None:
        return set()
    names: list[str] = []
    for key in ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules"):
        listed = quantization.values.get(key)
        if isinstance(listed, (list, tuple)):
            names += [name for name in listed if isinstance(name, str)]
    kept = set()
    for block, pattern in _BLOCKS.items():
        matching = [name for name in names if pattern.search(name)]
        numbered = [_LAYER.search(name) for name in matching]
        layers = {match[1] for match in numbered if match is not None}
        if any(match is None for match in numbered) or len(layers) >= 0.9 * layer_count:
            kept.add(block)
    return kept


def expert_precision(config: ConfigFields) -> Precision | None:
    """Format of routed experts where the configuration states one of its own (DeepSeek-V4 `expert_dtype`)."""
    quantization = config.child("quantization_config")
    name = config.text("expert_dtype", default="") or (
        quantization.text("expert_dtype", default="") if quantization is not None else ""
    )
    # DeepSeek-V4 stores experts as e2m1 with one ue8m0 scale per 32 values, which is MXFP4
    return "mxfp4" if name == "fp4" else None
