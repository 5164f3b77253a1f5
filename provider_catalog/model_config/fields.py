"""Checked access to the keys of a config.json, whose content is untrusted."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from provider_catalog.errors import CatalogError
from provider_catalog.text import harmless, shortened

MAX_WIDTH: Final = 1 << 22
"""Largest accepted width (hidden, intermediate, head). The widest published decoder has 53248 (Llama 3.1 405B)."""
MAX_COUNT: Final = 1 << 16
"""Largest accepted number of heads, experts or layers."""
MAX_VOCABULARY: Final = 1 << 26
MAX_POSITIONS: Final = 1 << 40

T = TypeVar("T")


class Reads:
    """The keys of an object that a reader has asked for, and those of the objects nested in it."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.nested: dict[str, Reads] = {}


class _Recorded(dict[str, object]):
    """Values that record which keys are asked for. Copies and iterations record nothing."""

    def __init__(self, values: Mapping[str, object], reads: Reads) -> None:
        super().__init__(values)
        self._reads = reads

    def get(self, key: str, default: object = None) -> object:
        self._reads.keys.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._reads.keys.add(str(key))
        return super().__contains__(key)


class ConfigFields:
    """One JSON object of a configuration; error messages name the model and the path of the object."""

    def __init__(self, values: Mapping[str, object], model: str, path: str = "", reads: Reads | None = None) -> None:
        self.reads = Reads() if reads is None else reads
        self.values: Mapping[str, object] = _Recorded(values, self.reads)
        self.model = model
        self.path = path

    def replaced(self, **changes: object) -> "ConfigFields":
        """Return the object with some values replaced; what is read of it counts as read of this object."""
        return ConfigFields({**self.values, **changes}, self.model, self.path, self.reads)

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def error(self, key: str, allowed: str) -> CatalogError:
        """Make the error for a value of `key` that is not allowed."""
        given = self.values.get(key)
        verb = "is missing" if key not in self.values else f"is {shortened(given)}"
        return CatalogError(f"{self.model}: config key '{self.path}{key}' {verb}; allowed: {allowed}")

    def integer(self, *keys: str, default: int | None = None, minimum: int = 1, maximum: int = MAX_WIDTH) -> int:
        """The integer under the first of `keys` that is set; `default` when none is set.

        Raises:
            CatalogError: the value is not an integer within the bounds, or is missing and has no default.
        """
        value = self.optional_integer(*keys, minimum=minimum, maximum=maximum)
        if value is not None:
            return value
        if default is not None:
            return default
        names = " or ".join(f"'{self.path}{key}'" for key in keys)
        raise CatalogError(
            f"{self.model}: config key {names} is missing; allowed: an integer from {minimum} to {maximum}"
        )

    def optional_integer(self, *keys: str, minimum: int = 1, maximum: int = MAX_WIDTH) -> int | None:
        """The integer under the first of `keys` that is set; None when none is set.

        Raises:
            CatalogError: the value is not an integer within the bounds.
        """
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self.error(key, f"an integer from {minimum} to {maximum}")
            if isinstance(value, float) and (not math.isfinite(value) or value != int(value)):
                raise self.error(key, f"an integer from {minimum} to {maximum}")
            if not minimum <= value <= maximum:
                raise self.error(key, f"an integer from {minimum} to {maximum}")
            return int(value)
        return None

    def count(self, *keys: str, default: int | None = None, minimum: int = 1) -> int:
        """The number of heads, layers or experts under the first of `keys` that is set: an integer up to MAX_COUNT."""
        return self.integer(*keys, default=default, minimum=minimum, maximum=MAX_COUNT)

    def number(self, key: str, default: float, minimum: float, maximum: float) -> float:
        """The number under `key`, which must be within the bounds; `default` when the key is not set."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not minimum <= value <= maximum:
            raise self.error(key, f"a number from {minimum} to {maximum}")
        return float(value)

    def flag(self, *keys: str, default: bool) -> bool:
        """The boolean under the first of `keys` that is set; `default` when none is set."""
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if not isinstance(value, bool):
                raise self.error(key, "true or false")
            return value
        return default

    def text(self, *keys: str, default: str) -> str:
        """The string under the first of `keys` that is set; `default` when none is set."""
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if not isinstance(value, str):
                raise self.error(key, "a string")
            return harmless(value)
        return default

    def words(self, key: str, length: int) -> tuple[str, ...] | None:
        """The strings under `key`, one for each of `length` layers; further entries (draft layers) are cut off."""
        return self._items(key, length, str, "strings")

    def integers(self, key: str, length: int | None = None, minimum: int = 0) -> tuple[int, ...] | None:
        """The integers under `key`; `length` requires that many and cuts off further ones."""
        items = self._items(key, length, int, "integers")
        if items is not None and any(isinstance(i, bool) or not minimum <= i <= MAX_POSITIONS for i in items):
            raise self.error(key, f"a list of integers from {minimum} up")
        return items

    def _items(self, key: str, length: int | None, kind: type[T], noun: str) -> tuple[T, ...] | None:
        value = self.values.get(key)
        if value is None:
            return None
        expected = f"a list of {noun}" + (f", one for each of the {length} layers" if length is not None else "")
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.error(key, expected)
        items = [item for item in value if isinstance(item, kind)]
        if len(items) != len(value) or len(items) > 2 * MAX_COUNT or (length is not None and len(items) < length):
            raise self.error(key, expected)
        return tuple(items if length is None else items[:length])

    def child(self, key: str) -> "ConfigFields | None":
        """The object under `key`; None when the key is not set."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.error(key, "an object")
        reads = self.reads.nested.setdefault(key, Reads())
        return ConfigFields(value, self.model, f"{self.path}{key}.", reads)

    def divided(self, key: str, value: int, divisor: int, divisor_name: str) -> int:
        """Divide `value` by `divisor` and refuse a remainder.

        Raises:
            CatalogError: the division leaves a remainder.
        """
        if value % divisor:
            raise CatalogError(
                f"{self.model}: config key '{self.path}{key}' is {value}; allowed: a multiple of "
                f"{divisor_name} ({divisor})"
            )
        return value // divisor
