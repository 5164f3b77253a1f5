"""The console that reports are printed to: a terminal, a pipe or a file."""

import os
import re
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from provider_catalog.text import printable

_TAGS: Final = re.compile(r"\[(bold|dim|red|green|yellow|/)\]")
"""The markup of our own reports. Everything else in brackets is text: names of models, layers and files hold some."""


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Raises an error for `exit_codes` when the reader has gone (`| head`).

        Rich itself would exit with 1, which means a bug here.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Reads our own tags and shows the rest as it is, so that no text of a spec or a model steers the terminal.

        Every string that is printed, alone or as a cell or a title, comes through here.
        """
        markup = options.pop("markup", None)
        options["emoji"] = False
        if markup is False or not (markup or self._markup):
            return super().render_str(printable(text), markup=False, **options)
        return super().render_str(_own_markup(printable(text)), markup=True, **options)


def _own_markup(text: str) -> str:
    """`text` as markup of rich in which all is escaped but pairs of our own tags."""
    parts: list[str] = []
    opened: list[int] = []
    at = 0
    for found in _TAGS.finditer(text):
        parts += [escape(text[at : found.start()]), found.group()]
        at = found.end()
        if found.group(1) != "/":
            opened.append(len(parts) - 1)
        elif opened:
            opened.pop()
        else:
            parts[-1] = escape(found.group())
    for index in opened:
        parts[index] = escape(parts[index])
    return "".join([*parts, escape(text[at:])])


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
