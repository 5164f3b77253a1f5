"""The two ways in which planning says no. The command line turns them into exit codes 2 and 3."""

from dataclasses import dataclass


class SpecError(ValueError):
    """The input is wrong. The message names the field, what was given, what is allowed and what to do."""


@dataclass(frozen=True)
class NearestMiss:
    """A candidate that nearly served, and what would make it fit."""

    candidate: str
    reason: str


class InfeasibleError(Exception):
    """No candidate satisfies the spec."""

    def __init__(self, message: str, nearest: tuple[NearestMiss, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest
