"""Differences between two plans of a cluster: cost first, then the decision, then the causes."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, Literal

from planner.cost.price_ages import compute_as_of, price_ages
from planner.cost.unpriced import unpriced_upper_bound_usd
from planner.plan.base import PlanModel
from planner.plan.cost import Cost, CostItem, UpdateCosts
from planner.plan.layout import Layout
from planner.plan.plan import Plan
from provider_catalog.units import HOURS_PER_MONTH

_UNKNOWN: Final[dict[tuple[bool, bool], Literal["", "old", "new", "both"]]] = {
    (False, False): "", (True, False): "old", (False, True): "new", (True, True): "both",
}  # fmt: skip
IGNORED: Final = ("reason", "layout", "purchase", "shared_storage")
"""Fields of the choice that are text, or that are compared separately."""


class MoneyChange(PlanModel):
    """A total before and after in USD; None if unknown or absent."""

    what: str
    old_usd: float | None
    new_usd: float | None


class ItemChange(PlanModel):
    """A line of the bill before and after in USD a month, and why it changed."""

    role: str
    name: str
    old_usd_per_month: float | None
    """Cost before; None if the line is absent or unpriced."""
    new_usd_per_month: float | None
    unknown: Literal["", "old", "new", "both"] = ""
    """Side on which the line is unpriced; the two parts of the change count it as 0 there."""
    by_price_usd: float
    """Part of the change in USD a month that comes from the unit price, at the new quantity."""
    by_quantity_usd: float
    """Part of the change in USD a month that comes from the quantity, or from a different SKU."""
    why: str


class Change(PlanModel):
    """A change in something other than cost."""

    what: str
    old: str
    new: str


class Effect(PlanModel):
    """The effect that changing a field has on a running cluster."""

    field: str
    """Field of the spec, or decision of the plan."""
    verdict: Literal["none", "in place", "rolling", "replaced", "refused"]
    """`rolling`: nodes are replaced one by one; `replaced`: a resource is destroyed and created again."""
    resources: tuple[str, ...] = ()
    """Terraform addresses, each after the name of its stack, of what is replaced or rolls."""
    reason: str = ""


class PlanDiff(PlanModel):
    """All differences between two plans, with their causes."""

    old_name: str
    new_name: str
    totals: tuple[MoneyChange, ...]
    items: tuple[ItemChange, ...]
    decision: tuple[Change, ...]
    spec: tuple[Change, ...]
    catalog: tuple[Change, ...]
    causes: tuple[str, ...]
    """Causes of the differences, one sentence each."""
    price_ages: str | None = None
    """Words on compute prices of different age on the two sides; None where they are of about the same age."""
    left_out: tuple[str, ...] = ()
    """Unpriced items before and after, one line for each side; no total includes them."""
    effects: tuple[Effect, ...] = ()
    """Effect of the change on the running cluster, by field; empty if the cloud has no table of changes."""

    @property
    def same(self) -> bool:
        """Whether bill, decision, spec and catalog are the same."""
        return not (self.decision or self.items or self.spec or self.catalog)


def diff_plans(old: Plan, new: Plan) -> PlanDiff:
    """Returns the differences between two plans of the same cluster."""
    items = tuple(_items(old, new))
    decision = tuple(_decision(old, new))
    spec = tuple(_fields(old.spec.model_dump(mode="json"), new.spec.model_dump(mode="json")))
    catalog = tuple(_fields(old.catalog.model_dump(mode="json"), new.catalog.model_dump(mode="json")))
    return PlanDiff(
        old_name=old.name,
        new_name=new.name,
        totals=(*_totals(old.cost, new.cost), *_updates(old.updates, new.updates)),
        items=items,
        decision=decision,
        spec=spec,
        catalog=catalog,
        causes=tuple(_causes(items, decision, spec, catalog)),
        price_ages=price_ages({"the plan before": compute_as_of(old.cost), "the plan after": compute_as_of(new.cost)}),
        left_out=tuple(_left_out(old.cost, new.cost)),
    )


def cluster_added(plan: Plan) -> PlanDiff:
    """Returns the difference for a cluster that only the new side has; its whole bill is new."""
    return _one_sided(plan, None, plan.cost, "the cluster is new")


def cluster_removed(plan: Plan) -> PlanDiff:
    """Returns the difference for a cluster that only the old side has; its whole bill is gone."""
    return _one_sided(plan, plan.cost, None, "the cluster is gone")


def _one_sided(plan: Plan, old: Cost | None, new: Cost | None, cause: str) -> PlanDiff:
    sides = ((None, item) if old is None else (item, None) for item in plan.cost.items)
    items = [change for before, after in sides if (change := _item(before, after, same_thing=True)) is not None]
    return PlanDiff(
        old_name=plan.name,
        new_name=plan.name,
        totals=tuple(_totals(old, new)),
        items=tuple(_largest_first(items)),
        decision=(),
        spec=(),
        catalog=(),
        causes=(cause,),
        left_out=tuple(_left_out(old, new)),
    )


def _left_out(old: Cost | None, new: Cost | None) -> Iterator[str]:
    for side, cost in (("before", old), ("after", new)):
        if cost is None or not cost.unknown:
            continue
        bounds, most = cost.range, unpriced_upper_bound_usd(cost.range)
        up_to = f", up to {most:,.0f} USD a {bounds.period} at the highest known rate" if bounds and most else ""
        yield f"{side}: {', '.join(cost.unknown)}{up_to}"


def _largest_first(items: list[ItemChange]) -> list[ItemChange]:
    return sorted(items, key=lambda change: -abs((change.new_usd_per_month or 0) - (change.old_usd_per_month or 0)))


def _totals(old: Cost | None, new: Cost | None) -> Iterator[MoneyChange]:
    rows = (
        ("hour", "usd_per_hour"),
        ("month", "usd_per_month"),
        ("year", "usd_per_year"),
        ("run", "usd_per_run"),
        ("million output tokens", "usd_per_million_output_tokens"),
        ("million tokens trained", "usd_per_million_training_tokens"),
    )
    for what, field in rows:
        before, after = getattr(old, field, None), getattr(new, field, None)
        if before is not None or after is not None:
            yield MoneyChange(what=what, old_usd=before, new_usd=after)


def _updates(old: UpdateCosts | None, new: UpdateCosts | None) -> Iterator[MoneyChange]:
    for what, field in (("update", "usd_per_update"), ("year of updates", "usd_per_year")):
        before, after = (None if side is None else getattr(side, field) for side in (old, new))
        if before is not None or after is not None:
            yield MoneyChange(what=what, old_usd=before, new_usd=after)


def _items(old: Plan, new: Plan) -> Iterator[ItemChange]:
    before = {item.role: item for item in old.cost.items}
    after = {item.role: item for item in new.cost.items}
    one_place = (old.choice.provider, old.choice.region) == (new.choice.provider, new.choice.region)
    one_type = one_place and old.choice.instance_type == new.choice.instance_type
    changes = [
        _item(before.get(role), after.get(role), one_type if role.startswith("compute_") else one_place)
        for role in dict.fromkeys([*before, *after])
    ]
    yield from _largest_first([change for change in changes if change is not None])


def _item(old: CostItem | None, new: CostItem | None, same_thing: bool) -> ItemChange | None:
    item = new or old
    if item is None or (old is not None and new is not None and _billed(old) == _billed(new)):
        return None
    before, after = _monthly(old), _monthly(new)
    change = (after or 0.0) - (before or 0.0)
    by_price = 0.0
    if old is not None and new is not None and same_thing and _named(old) == _named(new):
        was, now = old.unit_price_usd, new.unit_price_usd
        by_price = 0.0 if not was or not now else (after or 0.0) * (1 - was / now)
    return ItemChange(
        role=item.role,
        name=item.name,
        old_usd_per_month=before,
        new_usd_per_month=after,
        unknown=_UNKNOWN[old is not None and before is None, new is not None and after is None],
        by_price_usd=by_price,
        by_quantity_usd=change - by_price,
        why=_why(old, new),
    )


def _named(item: CostItem) -> tuple[str, str]:
    """Identifies the SKU of a line; names of compute lines are left out because they hold the number of nodes."""
    return (item.unit, "" if item.role.startswith("compute_") else item.name)


def _billed(item: CostItem) -> tuple[object, ...]:
    return (item.quantity, item.unit, item.unit_price_usd)


def _monthly(item: CostItem | None) -> float | None:
    return None if item is None or item.usd_per_hour is None else item.usd_per_hour * HOURS_PER_MONTH


def _why(old: CostItem | None, new: CostItem | None) -> str:
    if old is None or new is None:
        return "new" if old is None else "gone"
    parts = []
    if old.quantity != new.quantity:
        parts.append(f"{old.quantity:,.6g} to {new.quantity:,.6g} {new.unit}")
    if old.unit_price_usd != new.unit_price_usd:
        parts.append(f"{_price(old)} to {_price(new)} USD per {new.unit}")
    return ", ".join(parts) or f"{old.unit} to {new.unit}"


def _price(item: CostItem) -> str:
    return "unknown" if item.unit_price_usd is None else f"{item.unit_price_usd:.6g}"


def _decision(old: Plan, new: Plan) -> Iterator[Change]:
    before, after = old.choice, new.choice
    yield from _fields(
        before.model_dump(mode="json", exclude=set(IGNORED)), after.model_dump(mode="json", exclude=set(IGNORED))
    )
    if before.layout != after.layout:
        yield Change(what="layout", old=_layout(before.layout), new=_layout(after.layout))
    bought = (before.purchase.model_dump(exclude={"reason"}), after.purchase.model_dump(exclude={"reason"}))
    if bought[0] != bought[1]:
        yield Change(what="purchase", old=_bought(bought[0]), new=_bought(bought[1]))
    stored = (before.shared_storage, after.shared_storage)
    if stored[0] != stored[1]:
        shown = ["none" if each is None else f"{each.sku}, {each.size_gib:,} GiB" for each in stored]
        yield Change(what="shared storage", old=shown[0], new=shown[1])
    yield from _performance_changes(old, new)


def _layout(layout: Layout) -> str:
    """Lists every degree and option that differs from the default, so that different layouts read differently."""
    plain = asdict(Layout())
    given = {name: value for name, value in asdict(layout).items() if value != plain.get(name)}
    return ", ".join(f"{name} {value}" for name, value in given.items()) or "one GPU"


def _bought(purchase: Mapping[str, Any]) -> str:
    parts = [f"{nodes} {name.removesuffix('_nodes').replace('_', '-')}" for name, nodes in purchase.items() if nodes]
    return ", ".join(parts) or "nothing"


def _performance_changes(old: Plan, new: Plan) -> Iterator[Change]:
    before, after = old.performance, new.performance
    shown: tuple[tuple[str, str], ...] = (("days", "days"), ("mfu", "MFU"), ("ttft_ms", "TTFT, ms"),
        ("tpot_ms", "TPOT, ms"), ("requests_per_s", "requests/s"))  # fmt: skip
    for field, what in shown:
        was, will = getattr(before, field, None), getattr(after, field, None)
        if was is not None and will is not None and f"{was:.4g}" != f"{will:.4g}":
            yield Change(what=what, old=f"{was:.4g}", new=f"{will:.4g}")
    if before.engine != after.engine:
        yield Change(what="engine", old=before.engine, new=after.engine)


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[Change]:
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _fields(before, after, f"{prefix}{name}.")
        else:
            yield Change(what=prefix + name, old=_shown(before), new=_shown(after))


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _causes(
    items: tuple[ItemChange, ...],
    decision: tuple[Change, ...],
    spec: tuple[Change, ...],
    catalog: tuple[Change, ...],
) -> Iterator[str]:
    if spec:
        yield "the spec changed: " + ", ".join(change.what for change in spec)
    prices = [item for item in items if abs(item.by_price_usd) > 0.005]
    if prices:
        moved = sum(item.by_price_usd for item in prices)
        yield f"prices changed: {moved:+,.2f} USD a month on {', '.join(item.role for item in prices)}"
    if any(change.what == "version" for change in catalog):
        yield "the catalog changed" + ("" if prices else ", but no price of this bill")
    if any(change.what == "engine" for change in decision):
        yield "the engine that predicts performance changed"
    if decision and not spec and not catalog:
        yield "the spec and the catalog are the same, so another version of the planner made the decision"
