"""Expected errors: what may go wrong without being a bug, each class with its exit code."""

from typing import ClassVar


class LlmclusterError(Exception):
    """Base of every expected error; the command line prints the message and exits with the exit code of the class."""

    exit_code: ClassVar[int]
    kind: ClassVar[str]
    """The exit code in words, as output in JSON names it."""


class InputError(LlmclusterError, ValueError):
    """Base of errors that the user mends by changing the input."""

    exit_code = 2
    kind = "wrong input"


class OutsideError(LlmclusterError):
    """Base of failures of a file, a tool or a service outside this product."""

    exit_code = 4
    kind = "outside failed"


class CatalogError(InputError):
    """The catalog does not hold what was asked for, or one of its files is wrong; the message says what to do."""


class NothingWrittenError(OSError):
    """A staged write failed: every file that was to be replaced is still there, whole, and no new one appeared."""


class UnreadableError(OSError):
    """A file that was named exists and cannot be read; `filename` is its path."""


class LiveError(OutsideError):
    """A source of live prices gave nothing; the message says what failed and what to do."""


class NoAnswerError(LiveError):
    """Nobody answered: there is no network, a proxy refuses, or the service is down."""
