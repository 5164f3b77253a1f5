"""Timing of callables and commands, and the table that shows it."""

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


def call_s(function: Callable[[], object], repeat: int) -> list[float]:
    """Return the wall time of each of ``repeat`` calls, in seconds, the first included."""
    times_s = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times_s.append(time.perf_counter() - start)
    return times_s


def command_s(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Return the wall time of a command run from the repository root, in seconds.

    Raises:
        subprocess.CalledProcessError: the command failed; its output is in the exception.
    """
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def print_table(title: str, rows: Mapping[str, Sequence[float]], *, target_s: float | None = None) -> None:
    """Print first, median and slowest of each row's times, in seconds, and the target beside them."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for heading in ("runs", "first s", "median s", "slowest s"):
        table.add_column(heading, justify="right")
    for name, times_s in rows.items():
        table.add_row(
            name,
            str(len(times_s)),
            f"{times_s[0]:.3f}",
            f"{statistics.median(times_s):.3f}",
            f"{max(times_s):.3f}",
        )
    Console().print(table)
    if target_s is not None:
        Console().print(f"target: median under {target_s} s", highlight=False)
