"""How the blocks of a model are stored: a format, what its scales add, and which part stays in 16 bits."""

from dataclasses import dataclass

from provider_catalog.precision import Precision


@dataclass(frozen=True, kw_only=True)
class StoredAs:
    """Format of the matrices of one kind of block."""

    precision: Precision
    scale: tuple[int, int] | None = None
    """Bits of a scale with its zero point, and values that share it; None means the usual scale of the format."""
    unquantized_share: float = 0.0
    """Share of these parameters that stays in 16 bits."""


@dataclass(frozen=True, kw_only=True)
class WeightFormats:
    """Format of every kind of block. Norms, biases and routers stay in 16 bits in any case."""

    attention: StoredAs
    mlp: StoredAs
    """Dense blocks and shared experts."""
    experts: StoredAs
    """Routed experts."""
    head: StoredAs
    embedding: StoredAs
