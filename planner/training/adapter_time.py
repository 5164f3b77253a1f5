"""Time of LoRA and QLoRA adapters and of expanding 4-bit weights, on top of the products of a layer."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from planner.sizing.adapters import AdapterShares, Part
from planner.sizing.efficiency import KernelRates

DEQUANTIZED_BYTES: Final = 15
"""Memory traffic whose time equals that of expanding one 4-bit weight to 16 bits. Reading and writing alone are 2.5
bytes, but the lookup of the value and of its doubly quantized scale bounds the kernels. The value follows from the time
that Q-LoRA adds to LoRA in one micro-batch of Qwen 7B and 14B on an A100 (Qwen README.md, "Profiling of Memory and
Speed": 0.19 and 0.40 s, weights expanded three times): 15 to 16. Estimate, 3 (compiled kernels: torchtune's 405B in
docs/training.md) to 20."""
ADDED_BYTES: Final = 6
"""Bytes moved to add one value of the adapter's output to the frozen output: two reads and a write of 16 bits."""


class FrozenProduct(NamedTuple):
    """A product with a frozen matrix on one rank: tokens x inner by inner x outer."""

    tokens: float
    inner: float
    outer: float
    times: float
    """Equal products, such as those of a rank's experts."""
    part: Part
    """Block of the layer that holds the matrix."""


@dataclass(frozen=True, slots=True)
class AdapterTime:
    """Seconds of one micro-batch in one layer of one rank."""

    forward: float = 0.0
    """Seconds of the adapters in the forward pass."""
    backward: float = 0.0
    """Seconds of the adapters in the backward pass."""
    dequantize: float = 0.0
    """Seconds of expanding all 4-bit weights once."""

    def slower(self, forward: float, backward: float) -> "AdapterTime":
        """Return the time with more seconds in each pass."""
        return replace(self, forward=self.forward + forward, backward=self.backward + backward)


@dataclass(frozen=True, slots=True)
class AdapterTimer:
    """Times the adapters of one model on one kind of GPU."""

    rates: KernelRates
    rank: int
    shares: AdapterShares
    quantized: bool

    def time(self, sides: Iterable[FrozenProduct]) -> AdapterTime:
        """Return the time of adapters and of weight expansion in one layer.

        An adapter multiplies its input by A and then by B, and its output is added (LoRA, arXiv 2106.09685, section
        4.1). The backward pass runs each of the two products twice, for the gradients of its input and of its weight.
        Frozen 4-bit weights are expanded before every product with them (QLoRA, arXiv 2305.14314, section 3,
        equation 5).
        """
        forward = backward = dequantize = 0.0
        for side in sides:
            tokens, inner, outer, times, part = side
            if self.quantized:
                dequantize += self.rates.streaming_s(times * inner * outer * DEQUANTIZED_BYTES)
            times *= getattr(self.shares, part)
            products = ((tokens, inner, self.rank), (tokens, self.rank, outer))
            once = times * sum(self.rates.product_s(*product) for product in products)
            forward += once + times * self.rates.streaming_s(ADDED_BYTES * tokens * outer)
            backward += 2 * once + times * self.rates.streaming_s(ADDED_BYTES * tokens * inner)
        return AdapterTime(forward, backward, dequantize)
