"""An estimate in Infracost's breakdown format, version 0.2, for tools that read it (CI comments, policies, guardrails).

Fields are those of infracost/infracost, schema/infracost.schema.json: every amount is a string, and null means "no
price". A resource without a price is counted, but never has the amount zero. Infracost does not make this estimate:
`metadata.infracostCommand` only names its command that writes the same format.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from provider_catalog.units import HOURS_PER_MONTH
from stacks.estimate.bill import Estimate, Line, lines_by_resource
from stacks.estimate.documents import Resource
from stacks.estimate.meters import Unit

VERSION: Final = "0.2"
_UNITS: Final[dict[Unit, str]] = {
    "instance-hour": "hours",
    "hour": "hours",
    "key-month": "months",
    "zone-month": "months",
    "GiB-month": "GiB",
    "GB-month": "GB",
    "IOPS-month": "IOPS",
    "alarm-month": "alarms",
    "metric-month": "metrics",
    "million-samples-month": "1M samples",
}
"""Unit names of Infracost. Units without a time have a monthly price."""


def breakdown_json(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """The breakdown of the estimates, with a project for every stack, which is a root module of Terraform.

    `timeGenerated` is the date of the newest price in the catalog, so that the same resources give the same bytes.
    """
    projects = [_project(stack) for estimate in estimates for stack in _stacks(estimate)]
    totals = _totals([line for estimate in estimates for line in estimate.lines])
    nothing = {"totalHourlyCost": "0", "totalMonthlyCost": "0", "totalMonthlyUsageCost": "0"}
    return {
        "version": VERSION,
        "metadata": {
            "infracostCommand": "breakdown",
            "vcsBranch": "",
            "vcsCommitSha": "",
            "vcsCommitAuthorName": "",
            "vcsCommitAuthorEmail": "",
            "vcsCommitTimestamp": _timestamp(estimates),
            "vcsCommitMessage": "",
        },
        "currency": "USD",
        "projects": projects,
        **totals,
        **{"past" + name[0].upper() + name[1:]: amount for name, amount in nothing.items()},
        **{"diff" + name[0].upper() + name[1:]: amount for name, amount in totals.items()},
        "timeGenerated": _timestamp(estimates),
        "summary": _summary(estimates),
    }


def _stacks(estimate: Estimate) -> list[Estimate]:
    """The estimate divided by stack, in the order of their names."""
    of_stack = {
        *(line.resource.stack for line in estimate.lines),
        *(resource.stack for resource in estimate.free),
        *(resource.stack for resource, _ in estimate.not_priced),
    }
    return [
        replace(
            estimate,
            name=stack,
            lines=tuple(line for line in estimate.lines if line.resource.stack == stack),
            free=tuple(resource for resource in estimate.free if resource.stack == stack),
            not_priced=tuple(each for each in estimate.not_priced if each[0].stack == stack),
        )
        for stack in sorted(of_stack)
    ]


def _project(estimate: Estimate) -> dict[str, Any]:
    resources = [_resource(lines[0].resource, lines) for lines in lines_by_resource(estimate.lines).values()]
    breakdown = {
        "resources": resources,
        "freeResources": [{"name": free.address, "resourceType": free.kind, "metadata": {}} for free in estimate.free],
        **_totals(estimate.lines),
    }
    return {
        "name": estimate.name,
        "displayName": estimate.name,
        "metadata": {"path": estimate.name, "type": "terraform_dir"},
        "pastBreakdown": {
            "resources": [],
            "totalHourlyCost": "0",
            "totalMonthlyCost": "0",
            "totalMonthlyUsageCost": "0",
        },
        "breakdown": breakdown,
        "diff": {name: value for name, value in breakdown.items() if name != "freeResources"},
        "summary": _summary([estimate]),
    }


def _resource(resource: Resource, lines: Sequence[Line]) -> dict[str, Any]:
    totals = _totals(lines)
    tags = resource.arguments.get("tags")
    return {
        "name": resource.address,
        "resourceType": resource.kind,
        "tags": {key: str(value) for key, value in tags.items()} if isinstance(tags, dict) else {},
        "metadata": {},
        "hourlyCost": totals["totalHourlyCost"],
        "monthlyCost": totals["totalMonthlyCost"],
        "monthlyUsageCost": totals["totalMonthlyUsageCost"],
        "costComponents": [_component(line) for line in lines],
    }


def _component(line: Line) -> dict[str, Any]:
    meter, hourly = line.meter, line.usd_per_hour
    per_hour = meter.quantity / HOURS_PER_MONTH if line.monthly else meter.quantity
    return {
        "name": meter.name,
        "unit": _UNITS[meter.unit],
        "hourlyQuantity": _decimal(per_hour),
        "monthlyQuantity": _decimal(per_hour * HOURS_PER_MONTH),
        "price": _decimal(line.unit_price_usd),
        "hourlyCost": _decimal(hourly),
        "monthlyCost": _decimal(None if hourly is None else hourly * HOURS_PER_MONTH),
        "usageBased": meter.by_use,
        "priceNotFound": line.unit_price_usd is None,
    }


def _totals(lines: Iterable[Line]) -> dict[str, str | None]:
    """Hourly and monthly sums of the lines with a price, and the monthly sum of what is billed by use."""
    known = [line for line in lines if line.usd_per_hour is not None]
    hourly = sum(line.usd_per_hour or 0.0 for line in known)
    by_use = sum(line.usd_per_hour or 0.0 for line in known if line.meter.by_use)
    return {
        "totalHourlyCost": _decimal(hourly) if known else None,
        "totalMonthlyCost": _decimal(hourly * HOURS_PER_MONTH) if known else None,
        "totalMonthlyUsageCost": _decimal(by_use * HOURS_PER_MONTH) if known else None,
    }


def _summary(estimates: Sequence[Estimate]) -> dict[str, Any]:
    billed = [lines for estimate in estimates for lines in lines_by_resource(estimate.lines).values()]
    free = sum(len(estimate.free) for estimate in estimates)
    priced = {(estimate.name, *key) for estimate in estimates for key in lines_by_resource(estimate.lines)}
    unsupported = Counter(
        resource.kind
        for estimate in estimates
        for resource, _ in estimate.not_priced
        if (estimate.name, resource.stack, resource.address) not in priced
    )
    no_price = Counter(lines[0].resource.kind for lines in billed if any(line.unit_price_usd is None for line in lines))
    return {
        "totalDetectedResources": len(billed) + free + unsupported.total(),
        "totalSupportedResources": len(billed),
        "totalUnsupportedResources": unsupported.total(),
        "totalUsageBasedResources": sum(any(line.meter.by_use for line in lines) for lines in billed),
        # Infracost counts free resources as resources without a price.
        "totalNoPriceResources": free + no_price.total(),
        "unsupportedResourceCounts": dict(sorted(unsupported.items())),
        "noPriceResourceCounts": dict(
            sorted((no_price + Counter(each.kind for estimate in estimates for each in estimate.free)).items())
        ),
    }


def _decimal(amount: float | None) -> str | None:
    """An amount as a decimal in a string, as Infracost writes it; digits after the tenth are rounding noise."""
    if amount is None:
        return None
    text = format(Decimal(repr(round(amount, 10))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _timestamp(estimates: Sequence[Estimate]) -> str:
    """Midnight of the date of the newest price; a month or a year counts as its first day."""
    newest = max((estimate.prices_as_of for estimate in estimates), default="")
    parts = [*re.findall(r"\d+", newest), "01", "01"][:3]
    return f"{parts[0]}-{parts[1]}-{parts[2]}T00:00:00Z" if newest else "1970-01-01T00:00:00Z"
