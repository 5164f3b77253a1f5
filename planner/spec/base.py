"""Base model of spec objects."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, model_validator

from provider_catalog.text import shortened, unsafe_part


class SpecModel(BaseModel):
    """Base model of spec objects: immutable, strict about unknown keys, and free of unsafe characters.

    Each text field also has a pattern that lists its allowed characters (`planner.spec.text`). The check here applies
    to all text, including fields without a pattern.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _text_is_harmless(self) -> "SpecModel":
        for name, value in self.__dict__.items():
            for text in _texts(value):
                if found := unsafe_part(text):
                    raise ValueError(
                        f"{name} contains {found}; given: {shortened(text)}. Use printable characters only"
                    )
        return self


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _texts(inner)
