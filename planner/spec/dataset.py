"""The training data as a number of examples, their lengths and the number of epochs."""

from bisect import insort
from typing import Annotated, Literal

from pydantic import Field

from planner.spec.base import SpecModel

Packing = Literal["packed", "padded"]
Tokens = Annotated[float, Field(gt=0, le=10_000_000)]


class Dataset(SpecModel):
    """Training examples, each of which passes through the model `epochs` times."""

    examples: int = Field(gt=0, le=1_000_000_000_000, description="Number of examples in the data")
    tokens_per_example: Tokens | Annotated[tuple[Tokens, ...], Field(min_length=1, max_length=10_000)] = Field(
        description=(
            "Length of an example in tokens: the mean, or a list of equally frequent lengths, such as the deciles of "
            "the data"
        ),
    )
    epochs: float = Field(default=1, gt=0, le=10_000, description="Number of passes over the data")
    packing: Packing = Field(
        default="packed",
        description="packed: several examples share a sequence; padded: each example is padded to sequence_length",
    )

    @property
    def lengths(self) -> tuple[float, ...]:
        """Equally frequent lengths of examples in tokens."""
        given = self.tokens_per_example
        return given if isinstance(given, tuple) else (given,)

    def useful_tokens(self, sequence_length: int) -> float:
        """Tokens of the examples in all epochs; examples longer than a sequence are truncated."""
        kept = [min(length, sequence_length) for length in self.lengths]
        return self.epochs * self.examples * sum(kept) / len(kept)

    def computed_tokens(self, sequence_length: int) -> float:
        """Tokens that pass through the model in all epochs, padding included.

        Packed examples fill sequences by best fit decreasing (Krell et al. 2021, arXiv 2107.02027, section 3.1). If
        only the mean length is known, examples are assumed to continue in the next sequence, which leaves no padding.
        """
        if self.packing == "padded":
            return self.epochs * self.examples * sequence_length
        if not isinstance(self.tokens_per_example, tuple):
            return self.useful_tokens(sequence_length)
        kept = sorted((min(length, sequence_length) for length in self.lengths), reverse=True)
        sequences = _best_fit(kept * -(-_SAMPLED // len(kept)), sequence_length)
        sampled = len(kept) * -(-_SAMPLED // len(kept))
        return self.epochs * self.examples * sequences / sampled * sequence_length


_SAMPLED = 1000
"""Minimum number of examples in the sample that is packed to estimate the padding."""


def _best_fit(lengths: list[float], sequence_length: int) -> int:
    """Number of sequences that hold the lengths when packed by best fit decreasing."""
    rooms: list[float] = []
    count = 0
    for length in sorted(lengths, reverse=True):
        fitting = next((index for index, room in enumerate(rooms) if room >= length), None)
        room = float(sequence_length)
        if fitting is None:
            count += 1
        else:
            room = rooms.pop(fitting)
        if room > length:
            insort(rooms, room - length)
    return count
