"""Suggestions for a misspelt name: the nearest known names, and the question that an error message asks."""

from collections.abc import Iterable, Sequence
from typing import Final

LEAST_SIMILARITY: Final = 0.5
"""Least share of matching characters (difflib's ratio, 0 to 1) for a name to be suggested. Our own choice: lower values
suggest unrelated names, and a name with two slips still reaches it."""


def nearest_names(name: str, known: Iterable[str], at_most: int = 1) -> list[str]:
    """The known names most like `name`, the nearest first; empty where none is similar."""
    import difflib  # imported here: only a misspelt name needs it

    return difflib.get_close_matches(name, sorted(set(known)), n=at_most, cutoff=LEAST_SIMILARITY)


def did_you_mean(name: str, known: Iterable[str], at_most: int = 1) -> str:
    """The question "did you mean 'x'? " with a space behind it; empty where no known name is similar."""
    return question(nearest_names(name, known, at_most))


def question(names: Sequence[str]) -> str:
    """The question "did you mean 'x', 'y' or 'z'? " with a space behind it; empty without names."""
    if not names:
        return ""
    *others, last = (repr(name) for name in names)
    return f"did you mean {', '.join(others)} or {last}? " if others else f"did you mean {last}? "
