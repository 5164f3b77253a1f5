"""The report of `llmcluster models`: names, sizes and licences of the presets."""

from collections.abc import Sequence
from typing import Any

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from provider_catalog.errors import CatalogError
from provider_catalog.models import ModelPreset, load_model, model_index
from provider_catalog.suggestions import did_you_mean


def known_models(text: str) -> list[dict[str, Any]]:
    """Returns a row for each preset whose name or alias holds `text`, ignoring case, in the order of the names.

    Raises:
        CatalogError: no name holds it; the message names near ones.
    """
    wanted = text.strip().casefold()
    presets = [each for each in model_index().presets if any(wanted in name.casefold() for name in _names(each))]
    if not presets:
        names = [preset.name for preset in model_index().presets]
        near = did_you_mean(text, names)
        raise CatalogError(
            f"no preset has {text!r} in its name; {near}llmcluster models lists all; the path of a config.json "
            "works without a preset"
        )
    rows = []
    for preset in sorted(presets, key=lambda each: each.name.casefold()):
        shape = load_model(preset.name)
        rows.append(
            {
                "model": preset.name,
                "aliases": list(preset.aliases),
                "parameters": shape.total_parameters,
                "active_parameters": shape.active_parameters,
                "context_tokens": shape.max_position_embeddings,
                "licence": preset.licence,
                "source": preset.source,
                "as_of": preset.as_of,
            }
        )
    return rows


def print_models(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows as a table; sizes are in billions of parameters."""
    cells = [
        (
            row["model"],
            f"{row['parameters'] / 1e9:,.1f}",
            f"{row['active_parameters'] / 1e9:,.1f}",
            "-" if row["context_tokens"] is None else f"{row['context_tokens']:,}",
            row["licence"],
        )
        for row in rows
    ]
    headings = ("model", "size, B", "active, B", "context", "licence")
    terminal().print(report_table(headings, cells, texts=(0, 4)))


def _names(preset: ModelPreset) -> tuple[str, ...]:
    return (preset.name, *preset.aliases)
