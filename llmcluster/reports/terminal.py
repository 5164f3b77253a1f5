"""The console that reports are printed to: a terminal, a pipe or a file."""

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
    """Returns a console on standard output, as wide as the terminal or else `piped_width` columns wide."""
    output = _Output()
    return output if output.is_terminal else _Output(width=piped_width)
