"""What every part of a spec has in common."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, model_validator

from provider_catalog.text import shortened, unsafe_part


class SpecModel(BaseModel):
    """Immutable; a misspelt key is an error, never ignored, and no text steers a terminal or opens a template.

    Each text field has an alphabet of its own (`planner.spec.text`); this check is the floor below all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _text_is_harmless(self) -> "SpecModel":
        for name, value in self.__dict__.items():
            for text in _texts(value):
                if found := unsafe_part(text):
                    raise ValueError(
                        f"{name} holds {found}; given: {shortened(text)}. Write it with printable characters"
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
