"""The files plan.json, cost.json and cost.md beside each synthesized stack."""

import json
import math
from typing import Any

from planner.cost.unpriced import without_unpriced
from planner.plan.cost import CostItem
from planner.plan.plan import Plan
from planner.workspace.locks import plan_json
from provider_catalog.text import markdown_text
from provider_catalog.units import HOURS_PER_MONTH
from stacks.clouds import BuiltStack


def sidecars(plan: Plan, built: BuiltStack) -> dict[str, str]:
    """Contents by file name; the same plan and addresses give the same bytes."""
    cost = stack_cost(plan, built)
    return {
        "plan.json": plan_json(plan),
        "cost.json": json.dumps(cost, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "cost.md": cost_markdown(cost),
    }


def stack_cost(plan: Plan, built: BuiltStack) -> dict[str, Any]:
    """The part of the bill that one stack causes. Each item has the Terraform address of the billed resource.

    `total_usd_per_hour` is the sum of the items with a known price; `unknown` lists the others.
    """
    items = [item for item in plan.cost.items if item.stack == built.role]
    known = [item.usd_per_hour for item in items if item.usd_per_hour is not None]
    total_usd_per_hour = math.fsum(known) if known or not items else None
    return {
        "cluster": plan.name,
        "stack": built.role,
        "prices_as_of": plan.catalog.prices_as_of,
        "items": [_item(item, built.addresses.get(item.role)) for item in items],
        "total_usd_per_hour": total_usd_per_hour,
        "total_usd_per_month": None if total_usd_per_hour is None else total_usd_per_hour * HOURS_PER_MONTH,
        "unknown": [item.name for item in items if item.usd_per_hour is None],
        "usage": plan.cost.usage.model_dump(mode="json"),
        "cluster_usd_per_hour": plan.cost.usd_per_hour,
        "cluster_usd_per_year": plan.cost.usd_per_year,
        "cluster_usd_per_hour_by_stack": plan.cost.usd_per_hour_by_stack,
        "cluster_usd_per_hour_by_phase": plan.cost.usd_per_hour_by_phase,
        **({"cluster_usd_per_hour_by_rollout": rollout} if (rollout := plan.cost.usd_per_hour_by_rollout) else {}),
        "cluster_range": None if plan.cost.range is None else plan.cost.range.model_dump(mode="json"),
        "cluster_usd_per_month": plan.cost.usd_per_month,
        **({"cluster_unknown": list(plan.cost.unknown)} if plan.cost.unknown else {}),
    }


def _item(item: CostItem, address: str | None) -> dict[str, Any]:
    return item.model_dump(mode="json") | {"resource": address or item.resource}


def cost_markdown(cost: dict[str, Any]) -> str:
    """The bill of `stack_cost` as Markdown."""
    total = f"Total{without_unpriced(len(cost['unknown']))}"
    lines = [
        f"# {cost['cluster']}: cost of the {cost['stack']} stack",
        "",
        "| Item | Resource | Quantity | Unit | Unit price, USD | USD per hour | USD per month | Source |",
        "|---|---|--:|---|--:|--:|--:|---|",
        *(_row(item) for item in cost["items"]),
        f"| **{total}** | | | | | **{_usd(cost['total_usd_per_hour'])}** | **{_usd(cost['total_usd_per_month'])}** | |",
        "",
    ]
    if cost["unknown"]:
        lines += [f"Price unknown, not in the total: {markdown_text(', '.join(cost['unknown']))}.", ""]
    lines.append(
        f"The whole cluster costs {_usd(cost['cluster_usd_per_hour'])} USD per hour, "
        f"{_usd(cost['cluster_usd_per_month'])} USD per month of {HOURS_PER_MONTH} hours"
        f"{without_unpriced(len(cost.get('cluster_unknown', ())))}. "
        f"The newest price in the catalog dates from {cost['prices_as_of']}."
    )
    for of, key in (
        ("stack", "cluster_usd_per_hour_by_stack"),
        ("phase", "cluster_usd_per_hour_by_phase"),
        ("phase of the roll-out", "cluster_usd_per_hour_by_rollout"),
    ):
        if cost.get(key):
            lines += ["", f"By {of}, USD per hour: {_parts(cost[key])}."]
    if cost["cluster_range"]:
        lines += ["", *_range_lines(cost["cluster_range"])]
    return "\n".join(lines) + "\n"


def _parts(amounts: dict[str, float]) -> str:
    return ", ".join(f"{markdown_text(name.replace('_', ' '))} {_usd(amount)}" for name, amount in amounts.items())


def _range_lines(bounds: dict[str, Any]) -> list[str]:
    period = bounds["period"]
    return [
        f"The expected cost is {_usd(bounds['expected_usd'])} USD per {period}. If all of these change together, it is "
        f"between {_usd(bounds['low_usd'])} and {_usd(bounds['high_usd'])} USD:",
        "",
        f"| Cost driver | Low, USD per {period} | High, USD per {period} | Assumption |",
        "|---|--:|--:|---|",
        *(
            f"| {markdown_text(driver['name'])} | {driver['low_usd']:,.2f} | {driver['high_usd']:,.2f} |"
            f" {markdown_text(driver['assumption'])} |"
            for driver in bounds["drivers"]
        ),
    ]


def _row(item: dict[str, Any]) -> str:
    per_hour, provenance = item["usd_per_hour"], item["provenance"]
    cells = [
        markdown_text(item["name"]),
        f"`{markdown_text(item['resource'])}`" if item["resource"] else "",
        f"{item['quantity']:,.6g}" if abs(item["quantity"]) < 1e6 else f"{item['quantity']:,.0f}",
        markdown_text(item["unit"]),
        "unknown" if item["unit_price_usd"] is None else f"{item['unit_price_usd']:.6g}",
        _usd(per_hour),
        _usd(None if per_hour is None else per_hour * HOURS_PER_MONTH),
        markdown_text(f"{provenance['source']}, {provenance['as_of']} ({provenance['kind']})"),
    ]
    return "| " + " | ".join(cells) + " |"


def _usd(amount: float | None) -> str:
    if amount is None:
        return "unknown"
    return f"{amount:,.4f}" if 0 < amount < 0.1 else f"{amount:,.2f}"
