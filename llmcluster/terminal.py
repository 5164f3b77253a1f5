"""Where reports go: the terminal, a pipe or a file."""

from rich.console import Console


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Leave a reader that has gone (`| head`) to `exit_codes`; rich would exit with 1, which is kept for bugs."""
        raise BrokenPipeError


def terminal(piped_width: int = 120) -> Console:
    """Standard output, as wide as the terminal; `piped_width` columns where it is none, so that tables keep theirs."""
    output = _Output()
    return output if output.is_terminal else _Output(width=piped_width)
