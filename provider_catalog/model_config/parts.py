"""The result of a family's reader, without towers, formats and names."""

from dataclasses import dataclass, field
from typing import Literal

from provider_catalog.model_config.blocks import Layer
from provider_catalog.model_config.fields import MAX_POSITIONS, MAX_VOCABULARY, ConfigFields


@dataclass(frozen=True)
class Parts:
    """The parts of a decoder as its family's reader counts them.

    `other` counts parameters outside the layers, such as the final norm and position embeddings. If `head_parameters`
    is None, the head has vocabulary x hidden parameters, or none when it is tied to the embedding.
    """

    hidden: int
    vocabulary: int
    positions: int | None
    tied: bool
    layers: list[Layer]
    other: int
    embedding_parameters: int | None = None
    head_parameters: int | None = None
    mtp_parameters: int = 0
    active_leaves_out: tuple[Literal["embedding", "head"], ...] = ()
    warnings: tuple[str, ...] = field(default=())

    @property
    def embedding(self) -> int:
        """The parameters of the token embedding."""
        return self.vocabulary * self.hidden if self.embedding_parameters is None else self.embedding_parameters

    @property
    def head(self) -> int:
        """The parameters of the output projection; 0 when it shares those of the embedding."""
        if self.head_parameters is not None:
            return self.head_parameters
        return 0 if self.tied else self.vocabulary * self.hidden


def vocabulary(config: ConfigFields) -> int:
    """The number of rows of the token embedding."""
    return config.integer("vocab_size", maximum=MAX_VOCABULARY)


def positions(config: ConfigFields, *keys: str) -> int | None:
    """The longest context that the configuration states, in tokens; None if it states none."""
    return config.optional_integer(*(keys or ("max_position_embeddings",)), maximum=MAX_POSITIONS)
