"""Effects of a change of spec or plan on a running cluster, from the table of its cloud (stacks/<cloud>/changes.yaml).

The table is generated: `python -m benchmarks.aws_changes` plans each change with Terraform against a running cluster.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Final, Literal

import yaml
from pydantic import BaseModel

from planner.compare.plan_diff import Change, Effect, PlanDiff
from planner.plan.base import PlanModel
from planner.plan.plan import Plan

TABLE: Final = "changes.yaml"


class Row(PlanModel):
    """One row of a table of changes."""

    field: str
    orchestrator: str
    when: str
    """`larger` and `smaller` hold for numbers that grow or shrink, everything else for any change."""
    verdict: Literal["none", "in place", "rolling", "replaced", "refused"]
    resources: tuple[str, ...] = ()
    reason: str = ""


def table_of(provider: str) -> tuple[Row, ...]:
    """Rows of the table of a cloud; empty where there is none."""
    path = files("stacks") / provider / TABLE
    if not path.is_file():
        return ()
    return tuple(Row.model_validate(row) for row in yaml.safe_load(path.read_text(encoding="utf-8")))


def effects(diff: PlanDiff, old: Plan, new: Plan) -> tuple[Effect, ...]:
    """Returns the effects of `diff`, the changes from `old` to `new`, on the cluster that was built from `old`."""
    if old.choice.provider != new.choice.provider:
        reason = "the cluster stands in another cloud; destroy the old one with its own documents"
        return (Effect(field="provider", verdict="replaced", reason=reason),)
    rows = [row for row in table_of(old.choice.provider) if row.orchestrator in ("any", old.spec.orchestrator)]
    return tuple(effect for change in (*_changed(old, new), *diff.decision) for effect in _effects(change, rows))


def _changed(old: Plan, new: Plan) -> Iterator[Change]:
    """Fields of the spec that changed, also of parts that the spec leaves out where they are as by default."""
    before, after = dict(_leaves(old.spec)), dict(_leaves(new.spec))
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield Change(what=name, old=str(before.get(name)), new=str(after.get(name)))


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _effects(change: Change, rows: list[Row]) -> Iterator[Effect]:
    for row in rows:
        if (change.what == row.field or change.what.startswith(f"{row.field}.")) and _applies(row.when, change):
            when = "" if row.when in ("any", "larger", "smaller") else f" ({row.when})"
            yield Effect(field=change.what + when, verdict=row.verdict, resources=row.resources, reason=row.reason)


def _applies(when: str, change: Change) -> bool:
    if when not in ("larger", "smaller"):
        return True
    try:
        grows = float(change.new.replace(",", "")) > float(change.old.replace(",", ""))
    except ValueError:
        return True
    return grows == (when == "larger")
