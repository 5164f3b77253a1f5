"""Comparison of the bill computed from Terraform documents with the bill of the plan."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from stacks.estimate.bill import Estimate, estimate


def usage_file(plan: Plan, folder: Path) -> Path:
    """Write the plan's assumptions about usage-based items as a file for `--usage`."""
    path = folder / f"{plan.name}-usage.json"
    path.write_text(plan.cost.usage.model_dump_json())
    return path


def bill_of(plan: Plan, stacks: Sequence[Path], folder: Path) -> Estimate:
    """Return the bill of the documents in the stack folders of one plan."""
    (found,) = estimate(list(stacks), Catalog.load(), usage_file(plan, folder))
    return found


def assert_same_bill(plan: Plan, found: Estimate) -> None:
    """Compare quantity and amount of each role; no resource may be unpriced because it is not recognised."""
    planned: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    read: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for item in plan.cost.items:
        quantity, usd = planned[item.role]
        planned[item.role] = (quantity + item.quantity, usd + (item.usd_per_hour or 0.0))
    for line in found.lines:
        quantity, usd = read[line.meter.role]
        read[line.meter.role] = (quantity + line.meter.quantity, usd + (line.usd_per_hour or 0.0))
    assert dict(read) == {role: pytest.approx(amounts, abs=1e-9) for role, amounts in planned.items()}, plan.name
    if plan.cost.usd_per_hour is None:
        assert found.usd_per_hour is None, plan.name
    else:
        assert found.usd_per_hour == pytest.approx(plan.cost.usd_per_hour, rel=1e-12), plan.name
    unknown = {item.role for item in plan.cost.items if item.usd_per_hour is None}
    assert {line.meter.role for line in found.unknown} == unknown, plan.name
    assert [(resource.address, reason) for resource, reason in found.not_priced] == [], plan.name
