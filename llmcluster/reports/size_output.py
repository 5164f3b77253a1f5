"""The output of `llmcluster size`, as text or JSON. Parts that are not requested are not loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from llmcluster.reports.model_size import DEFAULT_CONCURRENCY, known_precision, model_size
from provider_catalog.models import load_model


def size_output(
    reference: str,
    *,
    weights: str | None = None,
    experts: str | None = None,
    keep: Sequence[str] = (),
    kv_cache: str = "bf16",
    context_tokens: int | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    guide: bool = False,
    exact: bool = False,
    fleet: bool | None = None,
    started: Mapping[str, str | int | float | None] | None = None,
    as_json: bool = False,
) -> str:
    """Returns what to print about a model.

    With `fleet` at None, GPU counts are in the text and not in the JSON. `started` has the options of a start-up on a
    GPU by their names; GPU counts are then left out unless they are asked for.

    Raises:
        CatalogError: there is no such model, or it cannot be counted exactly.
        SpecError: a format does not exist, or a count is out of bounds.
    """
    architecture = load_model(reference, Path())
    if exact:
        from llmcluster.reports.exact_count import with_exact_count

        architecture = with_exact_count(architecture, reference)
    if experts or keep:
        from planner.sizing.formats import with_formats

        most = known_precision("--weights", weights or architecture.published_precision)
        architecture = with_formats(
            architecture, most, known_precision("--experts", experts) if experts else None, keep
        )
    size = model_size(architecture, weights, kv_cache, context_tokens, concurrency)
    found = rows = None
    engine = None
    if started is not None and any(given is not None for given in started.values()):
        from llmcluster.reports.engine_size import engine_size, start_up

        engine = engine_size(architecture, start_up(started), size, weights_given=weights is not None)
    if fleet or (fleet is None and not as_json and engine is None):
        from llmcluster.reports.gpu_counts import smallest_fleet

        found = smallest_fleet(architecture, size)
    if guide:
        from planner.sizing.guide import guide_rows

        rows = guide_rows(architecture, size.kv_cache.context_tokens, concurrency, load_model)
    if as_json:
        more: dict[str, object] = {}
        if found is not None:
            more["fleet"] = asdict(found)
        if engine is not None:
            more["engine"] = asdict(engine)
        if rows is not None:
            more["guide"] = [{**asdict(row), "off_by": row.off_by} for row in rows]
        return size.to_json(**more)
    from llmcluster.reports.size_text import fleet_text, guide_text, size_text

    parts = [size_text(size)]
    if engine is not None:
        from llmcluster.reports.engine_size_text import engine_text

        parts.append(engine_text(engine))
    if found is not None:
        parts.append(fleet_text(found))
    if rows is not None:
        parts.append(guide_text(rows))
    if size.warnings:
        parts.append("\n".join(f"note: {warning}" for warning in size.warnings))
    return "\n\n".join(parts)
