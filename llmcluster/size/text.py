"""What `llmcluster size` prints. Plain text: a table library would take as long to load as all the counting."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llmcluster.size.contract import ModelSize

if TYPE_CHECKING:
    from llmcluster.size.fleet import Fleet
    from planner.sizing.fewest_gpus import Fit
    from planner.sizing.guide import GuideRow

GIB = 2**30
WIDTH = 110


def size_text(size: ModelSize) -> str:
    """Parameters by component, weights by format and the KV cache."""
    counts, cache = size.parameters, size.kv_cache
    lines = [
        f"{size.model}: {counts.total:,} parameters, {counts.active:,} active per token",
        "",
        *_table(
            ("component", "parameters", "of total"),
            [(name, f"{count:,}", f"{count / counts.total:.1%}") for name, count in counts.by_component.items()],
        ),
        "",
        *_table(
            ("weights in", "GiB", "bytes a parameter"),
            [
                (name, f"{held / GIB:,.1f}", f"{held / counts.total:.3f}")
                for name, held in size.weights_bytes_by_precision.items()
            ],
        ),
        f"taken: {size.weights_precision}, {size.weights_bytes / GIB:,.1f} GiB",
        "",
        f"KV cache in {size.kv_cache_precision}: {size.kv_cache_bytes_per_token / 1024:,.2f} KiB a token; "
        f"{cache.context_tokens:,} tokens x {cache.concurrency} sequences: {cache.bytes / GIB:,.2f} GiB "
        f"(blocks of {cache.block_tokens} tokens)",
    ]
    return "\n".join(lines)


def fleet_text(fleet: Fleet) -> str:
    """The smallest number of each GPU."""
    rows = [
        (row.gpu, f"{row.usable_bytes / GIB:.1f}", *_fit_cells(row.serving), *_fit_cells(row.training))
        for row in fleet.gpus
    ]
    headings = ("GPU", "usable GiB", "serve", "layout", "GiB each", "train", "layout", "GiB each")
    note = (
        f"Smallest numbers that hold it in {fleet.memory_fraction:g} of the memory. Neither speed nor whether the GPU "
        "computes in the format is judged: `llmcluster plan` does. Training: all weights, AdamW in bf16 mixed "
        f"precision, ZeRO 1, full recompute, micro-batch 1, sequences of {fleet.training_sequence_tokens:,} tokens."
    )
    return "\n".join([*_table(headings, rows, left=(0, 3, 6)), *textwrap.wrap(note, WIDTH)])


def guide_text(rows: Iterable[GuideRow]) -> str:
    """The guide's rules next to ours, one paragraph each."""
    lines = ["The hardware guide's rules, and ours"]
    for row in rows:
        lines += [
            "",
            row.rule,
            f"  guide {row.guide:,.1f} {row.unit}, ours {row.ours:,.1f} {row.unit}: "
            f"the guide's is {row.off_by:.2f} times ours",
            *textwrap.wrap(f"read as: {row.reading}", WIDTH, initial_indent="  ", subsequent_indent="    "),
            *textwrap.wrap(f"why: {row.why}", WIDTH, initial_indent="  ", subsequent_indent="    "),
        ]
    return "\n".join(lines)


def _fit_cells(fit: Fit | None) -> tuple[str, str, str]:
    if fit is None:
        return "none", "", ""
    layout = fit.short_name
    if fit.attention_data > 1:
        layout += f" attention DP{fit.attention_data}"
    return str(fit.gpus), layout, f"{fit.bytes_per_gpu / GIB:.1f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return [line(headings), "  ".join("-" * width for width in widths), *map(line, rows)]
