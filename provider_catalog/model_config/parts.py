"""Parts: the result of a family's reader, before towers, formats and names are added."""

from dataclasses import dataclass, field
from typing import Literal

from provider_catalog.model_config.blocks import Layer
from provider_catalog.model_config.fields import MAX_POSITIONS, MAX_VOCABULARY, ConfigFields


@dataclass(frozen=True)
class Parts:
    """Shape of a decoder as its family counts it.

    `other` counts the final norm, position embeddings and all other parameters outside the layers. `head_parameters`
    None means vocabulary x hidden, or nothing when tied.
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
        """Parameters of the token embedding."""
        return self.vocabulary * self.hidden if self.embedding_parameters is None else self.embedding_parameters

    @property
    def head(self) -> int:
        """Parameters of the output projection, 0 when it shares the embedding's."""
        if self.head_parameters is not None:
            return self.head_parameters
        return 0 if self.tied else self.vocabulary * self.hidden


def vocabulary(config: ConfigFields) -> int:
    """Entries of the vocabulary, which are the rows of the embedding."""
    return config.integer("vocab_size", maximum=MAX_VOCABULARY)


def positions(config: ConfigFields, *keys: str) -> int | None:
    """Longest context that the configuration states."""
    return config.optional_integer(*(keys or ("max_position_embeddings",)), maximum=MAX_POSITIONS)
