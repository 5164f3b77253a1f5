"""The reports of `llmcluster spec explain` and `llmcluster spec reference`: what the fields of a spec mean."""

from collections.abc import Iterator, Sequence
from typing import Any

from llmcluster.reports.terminal import terminal
from planner.spec.fields import SpecField, all_fields

HEAD = """\
# The fields of a spec

This page is generated: `llmcluster spec reference > docs/spec-reference.md`. `llmcluster spec explain FIELD` prints one
of them, and `llmcluster spec schema` the JSON Schema for an editor.

A field without a default is required. `null` means that nothing is set; the meaning then says what holds instead.
"""


def as_data(field: SpecField) -> dict[str, Any]:
    """Returns a field as JSON data."""
    return {
        "field": field.path,
        "meaning": field.description,
        "allowed": field.allowed,
        "required": field.default is None,
        "default": field.default,
        "kinds": list(field.kinds),
    }


def explain_fields(fields: Sequence[SpecField]) -> None:
    """Prints fields as short paragraphs."""
    console = terminal()
    for number, field in enumerate(fields):
        if number:
            console.print()
        kinds = f" ({', '.join(field.kinds)})" if field.kinds else ""
        console.print(f"{field.path}{kinds}", style="bold", markup=False, highlight=False)
        lines = (f"{field.description}.", f"Takes {field.allowed}.", f"{_default(field)}.")
        for line in lines:
            console.print(f"  {line}", markup=False, highlight=False)


def reference_page() -> str:
    """Returns the page with all fields, a section for each key at the top of a spec."""
    return "\n".join((HEAD, *_sections()))


def _sections() -> Iterator[str]:
    sections: dict[str, list[SpecField]] = {}
    for field in all_fields():
        sections.setdefault(field.path.partition(".")[0].removesuffix("[]"), []).append(field)
    for name, fields in sections.items():
        yield f"## {name}\n"
        by_kinds = name == "workload"
        headings = ("field", *(["kind"] if by_kinds else []), "meaning", "takes", "default")
        yield _row(*headings)
        yield f"|{'---|' * len(headings)}"
        for field in fields:
            kinds = [", ".join(field.kinds) or "all"] if by_kinds else []
            default = "required" if field.default is None else f"`{field.default}`"
            yield _row(f"`{field.path}`", *kinds, field.description, field.allowed, default)
        yield ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: SpecField) -> str:
    return "It is required" if field.default is None else f"Default: {field.default}"
