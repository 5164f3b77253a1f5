"""The console that reports are printed to: a terminal, a pipe or a file."""

import os
from typing import Final

from rich.console import Console


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Raises an error for `exit_codes` when the reader has gone (`| head`).

        Rich itself would exit with 1, which means a bug here.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError


def terminal(piped_width: int = 120) -> Console:
    """Returns a console on standard output, as wide as the terminal.

    Args:
        piped_width: Columns where no terminal is attached and the variable COLUMNS names no width.
    """
    output = _Output()
    if output.is_terminal:
        return output
    columns = os.environ.get("COLUMNS", "")
    return _Output(width=int(columns) if columns.isdigit() and int(columns) else piped_width)


ASCII: Final = str.maketrans({"✓": "ok", "✗": "X", "×": "x", "–": "-", "−": "-", "·": ";", "→": "->", "≥": ">="})


def plain(screen: Console, text: str) -> str:
    """Returns a text with ASCII in place of signs that the encoding of the output does not have."""
    return text if screen.encoding.lower().startswith("utf") else text.translate(ASCII)
