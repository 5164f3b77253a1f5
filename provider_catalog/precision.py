"""Number formats, by the names that specs, plans and the catalog share."""

from typing import Final, Literal

Precision = Literal["fp32", "bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4"]

BITS_PER_VALUE: Final[dict[Precision, int]] = {
    "fp32": 32,
    "bf16": 16,
    "fp16": 16,
    "fp8": 8,
    "int8": 8,
    "int4": 4,
    "nvfp4": 4,
    "mxfp4": 4,
}
"""Bits of one stored value, without its share of the scales of its block or group."""

KEEP_PATTERN: Final = r"attention|mlp|experts|[0-9]{1,5}(-[0-9]{1,5})?"
"""Pattern of a part that may be kept in 16 bits: a kind of block, or layers counted from 0, such as 0-2."""
