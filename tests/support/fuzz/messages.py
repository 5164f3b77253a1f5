"""Rules for every message about wrong input: printable lines, words of this project, and the name of the field."""

from collections.abc import Iterable
from typing import Final

from planner.errors import InfeasibleError, failure
from provider_catalog.errors import LlmclusterError
from provider_catalog.text import one_line

LONGEST_LINE: Final = 1200
INNER_WORDS: Final = (
    "Traceback", "NoneType", "<class", "object at 0x", "pydantic", "Input should be", "is not JSON serializable",
    "not supported between", "unhashable", "math domain", "list index", "invalid literal", "could not convert",
    "Exceeds the limit", "expected str", "dict_keys", "MappingProxy", "numpy", "codec can't",
)  # fmt: skip
"""Words of Python and its libraries, which tell a user nothing."""


def check_message(error: LlmclusterError, names: Iterable[object] = ()) -> None:
    """Asserts that the message of an error is fit to print, and that it has one of the names; none: any message."""
    text = failure(error)[1]
    lines = text.split("\n")
    assert text.strip(), "the message is empty"
    for line in lines:
        assert line.isprintable(), f"unprintable: {line!r}"
        assert len(line) <= LONGEST_LINE, f"a line of {len(line)} characters: {line[:200]}"
    for word in INNER_WORDS:
        assert word not in text, f"the message has {word!r}: {text[:300]}"
    if isinstance(error, InfeasibleError):
        assert "\n" not in str(error), text
        return
    wanted = [one_line(str(name))[:40] for name in names]
    assert not wanted or any(name in text for name in wanted), f"the message names none of {wanted}: {text[:400]}"
