"""What fine-tuning passes through the model: examples of some length, a number of times."""

from bisect import insort
from typing import Annotated, Literal

from pydantic import Field

from planner.spec.base import SpecModel

Packing = Literal["packed", "padded"]
Tokens = Annotated[float, Field(gt=0, le=10_000_000)]


class Dataset(SpecModel):
    """Examples, each passed through the model `epochs` times."""

    examples: int = Field(gt=0, le=1_000_000_000_000)
    tokens_per_example: Tokens | Annotated[tuple[Tokens, ...], Field(min_length=1, max_length=10_000)] = Field(
        description="The mean; or lengths that are equally frequent, such as the deciles of the data"
    )
    epochs: float = Field(default=1, gt=0, le=10_000)
    packing: Packing = Field(
        default="packed",
        description="packed: several examples share a sequence; padded: each is filled up to sequence_length",
    )

    @property
    def lengths(self) -> tuple[float, ...]:
        """Equally frequent lengths."""
        given = self.tokens_per_example
        return given if isinstance(given, tuple) else (given,)

    def useful_tokens(self, sequence_length: int) -> float:
        """Tokens of the examples in all epochs; what exceeds a sequence is cut off."""
        kept = [min(length, sequence_length) for length in self.lengths]
        return self.epochs * self.examples * sum(kept) / len(kept)

    def computed_tokens(self, sequence_length: int) -> float:
        """Tokens that pass through the model in all epochs, padding included.

        Packed lengths fill sequences by best fit, the longest first (Krell et al. 2021, arXiv 2107.02027, section 3.1,
        names packing by first and best fit decreasing). A mean alone says nothing of what fits beside what: examples
        are then taken to run on from one sequence into the next, which leaves no padding.
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
"""Examples that packing is tried on."""


def _best_fit(lengths: list[float], sequence_length: int) -> int:
    """Sequences that hold the lengths, each put where it leaves the least room, the longest first."""
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
