"""The report of `llmcluster size`, as plain text: loading a table library would take as long as the counting."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llmcluster.reports.model_size import ModelSize

if TYPE_CHECKING:
    from llmcluster.reports.gpu_counts import Fleet
    from planner.sizing.fewest_gpus import Fit
    from planner.sizing.guide import GuideRow

GIB = 2**30
WIDEST_PROSE = 110


def columns() -> int:
    """Returns the width of the terminal, or of the variable COLUMNS; 120 for a pipe or a file."""
    return shutil.get_terminal_size((120, 24)).columns


def wrapped(text: str, first: str = "", later: str = "") -> list[str]:
    """Returns the lines of a paragraph."""
    width = min(WIDEST_PROSE, columns())
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def size_text(size: ModelSize) -> str:
    """Returns parameters by component, weights by format and the KV cache."""
    counts, cache = size.parameters, size.kv_cache
    lines = [
        *wrapped(f"{size.model}: {counts.total:,} parameters, {counts.active:,} active per token"),
        "",
        *table(
            ("component", "parameters", "share"),
            [(name, f"{count:,}", f"{count / counts.total:.1%}") for name, count in counts.by_component.items()],
        ),
        "",
        *table(
            ("weights in", "GiB", "bytes per parameter"),
            [
                (name, f"{held / GIB:,.1f}", f"{held / counts.total:.3f}")
                for name, held in size.weights_bytes_by_precision.items()
            ],
        ),
        f"weights used: {size.weights_precision}, {size.weights_bytes / GIB:,.1f} GiB",
        "",
        *wrapped(
            f"KV cache in {size.kv_cache_precision}: {size.kv_cache_bytes_per_token / 1024:,.2f} KiB per token; "
            f"{cache.context_tokens:,} tokens x {cache.concurrency} sequences: {cache.bytes / GIB:,.2f} GiB "
            f"(blocks of {cache.block_tokens} tokens)"
        ),
    ]
    return "\n".join(lines)


def fleet_text(fleet: Fleet) -> str:
    """Returns the smallest number of each GPU that holds the model."""
    rows = [
        (row.gpu, f"{row.usable_bytes / GIB:.1f}", *_fit_cells(row.serving), *_fit_cells(row.training))
        for row in fleet.gpus
    ]
    headings = ("GPU", "usable GiB", "serving", "layout", "GiB each", "training", "layout", "GiB each")
    note = (
        f"Smallest numbers of GPUs that hold the model in {fleet.memory_fraction:g} of their memory. Speed, and "
        "whether the GPU computes in the format, are checked by `llmcluster plan` only. Training: all weights, AdamW "
        "in bf16 mixed precision, ZeRO 1, full recompute, micro-batch 1, "
        f"{fleet.training_sequence_tokens:,} tokens per sequence."
    )
    lines = table(headings, rows, left=(0, 3, 6))
    if max(map(len, lines)) > columns():
        serving = table(headings[:5], [row[:5] for row in rows], left=(0, 3))
        training = table((headings[0], *headings[5:]), [(row[0], *row[5:]) for row in rows], left=(0, 2))
        lines = [*serving, "", *training]
    return "\n".join([*lines, *wrapped(note)])


def guide_text(rows: Iterable[GuideRow]) -> str:
    """Returns the guide's rules of thumb next to our figures, one paragraph each."""
    lines = ["The hardware guide's rules of thumb next to our figures"]
    for row in rows:
        lines += [
            "",
            *wrapped(row.rule),
            *wrapped(
                f"guide {row.guide:,.1f} {row.unit}, ours {row.ours:,.1f} {row.unit}: "
                f"the guide's figure is {row.off_by:.2f} times ours",
                "  ",
                "    ",
            ),
            *wrapped(f"interpretation: {row.reading}", "  ", "    "),
            *wrapped(f"reason: {row.why}", "  ", "    "),
        ]
    return "\n".join(lines)


def _fit_cells(fit: Fit | None) -> tuple[str, str, str]:
    if fit is None:
        return "none", "", ""
    layout = fit.short_name
    if fit.attention_data > 1:
        layout += f" attention DP{fit.attention_data}"
    return str(fit.gpus), layout, f"{fit.bytes_per_gpu / GIB:.1f}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Returns the lines of a table; the columns of `left` are aligned to the left."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return [line(headings), "  ".join("-" * width for width in widths), *map(line, rows)]
