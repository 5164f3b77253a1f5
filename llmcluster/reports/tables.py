"""Tables of reports: figures stay whole at any width, and texts give way by going on in the next line."""

from collections.abc import Collection, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table

WIDEST_UNBROKEN_WORD = 12
"""Columns that a text column keeps for its longest word; longer words are broken."""


def report_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    texts: Collection[int],
    right: Collection[int] = (),
    title: str | None = None,
) -> Table:
    """Returns a table whose columns of figures are as wide as their widest cell.

    Args:
        headings: One heading per column. Headings of figures are broken at blanks.
        rows: Cells by row. They may hold rich's markup in text columns only.
        texts: Indices of the text columns, which share the columns that are left.
        right: Indices of text columns whose text stands at the right.
        title: Line above the table.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title, title_justify="left")
    for index, heading in enumerate(headings):
        cells = [row[index] for row in rows]
        if index in texts:
            word = max((cell_len(word) for text in (heading, *cells) for word in text.split()), default=1)
            table.add_column(
                heading,
                overflow="fold",
                justify="right" if index in right else "left",
                min_width=min(word, WIDEST_UNBROKEN_WORD),
            )
        else:
            words = heading.split() or [""]
            width = max(map(cell_len, (*cells, *words)))
            table.add_column(heading, justify="right", width=width, no_wrap=False)
    for row in rows:
        table.add_row(*row)
    return table
