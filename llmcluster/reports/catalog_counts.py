"""The report of `llmcluster catalog counts`: how many prices there are, of what kind, and how old."""

from rich import box
from rich.table import Table

from llmcluster.reports.terminal import terminal
from provider_catalog.price_counts import UNKNOWN, PriceCount


def print_counts(found: tuple[PriceCount, ...]) -> None:
    """Prints the number of prices by cloud, priced item and kind, and the totals of each cloud."""
    table = Table(box=box.SIMPLE, title="prices in use", title_justify="left")
    for heading in ("cloud", "priced item", "kind"):
        table.add_column(heading, no_wrap=True)
    for heading in ("prices", "oldest", "newest"):
        table.add_column(heading, justify="right")
    for row in found:
        table.add_row(row.provider, row.priced, row.kind, str(row.prices), row.oldest or "-", row.newest or "-")
    screen = terminal()
    screen.print(table)
    for provider in dict.fromkeys(row.provider for row in found):
        of_cloud = [row for row in found if row.provider == provider]
        known = sum(row.prices for row in of_cloud if row.kind != UNKNOWN)
        unknown = sum(row.prices for row in of_cloud if row.kind == UNKNOWN)
        oldest = min((row.oldest for row in of_cloud if row.oldest), default="-")
        screen.print(f"{provider}: {known} known prices, {unknown} unknown; the oldest is of {oldest}", highlight=False)
