"""Storage formats of a model's blocks: the format of the values, its scales, and the part kept in 16 bits."""

from dataclasses import dataclass

from provider_catalog.precision import Precision


@dataclass(frozen=True, kw_only=True)
class StoredAs:
    """The storage format of the matrices of one kind of block."""

    precision: Precision
    scale: tuple[int, int] | None = None
    """Bits of a scale with its zero point, and values that share it; None means the usual scale of the format."""
    unquantized_share: float = 0.0
    """Share of these parameters that stays in 16 bits."""


@dataclass(frozen=True, kw_only=True)
class WeightFormats:
    """The storage format of every kind of block; norms, biases and routers always stay in 16 bits."""

    attention: StoredAs
    mlp: StoredAs
    """Format of dense feed-forward blocks and shared experts."""
    experts: StoredAs
    """Format of routed experts."""
    head: StoredAs
    embedding: StoredAs
