"""Infracost's breakdown format as a JSON Schema.

Fields, types and required fields are those of infracost/infracost, schema/infracost.schema.json (commit
cffbc23da5189e8e7dbe11917028ce5c019ea772). Amounts are strings or null there; that a string is a number comes from the
reader, which parses it as a decimal (internal/output/output.go). `version` is what internal/output/combined.go accepts.
"""

import re
from typing import Any, Final

_TOTALS: Final = " ".join(
    f"{when}otal{period}Cost{'' if period == 'MonthlyUsage' else '!'}:amount"
    for when in ("t", "pastT", "diffT")
    for period in ("Hourly", "Monthly", "MonthlyUsage")
)
# name, ! where required, type
_FIELDS: Final = {
    "Root": "version!:version metadata!:Metadata runId:string shareUrl:string cloudUrl:string currency!:string"
    f" projects!:[Project] timeGenerated!:time summary!:Summary {_TOTALS}",
    "Metadata": "infracostCommand!:string vcsBranch!:string vcsBaseCommitSha:string vcsCommitSha!:string"
    " vcsCommitAuthorName!:string vcsCommitAuthorEmail!:string vcsCommitTimestamp!:time vcsCommitMessage!:string"
    " vcsRepositoryUrl:string vcsProvider:string vcsBaseBranch:string usageFilePath:string configFilePath:string",
    "Project": "name!:string displayName!:string metadata!:ProjectMetadata pastBreakdown!:Breakdown"
    " breakdown!:Breakdown diff!:Breakdown summary!:Summary",
    "ProjectMetadata": "path!:string type!:string terraformModulePath:string terraformWorkspace:string"
    " vcsSubPath:string vcsCodeChanged:boolean",
    "Breakdown": "resources!:[Resource] freeResources:[Resource] totalHourlyCost!:amount totalMonthlyCost!:amount"
    " totalMonthlyUsageCost!:amount",
    "Resource": "name!:string resourceType:string tags:texts defaultTags:texts metadata!:anything hourlyCost:amount"
    " monthlyCost:amount monthlyUsageCost:amount costComponents:[CostComponent] subresources:[Resource]",
    "CostComponent": "name!:string unit!:string hourlyQuantity!:amount monthlyQuantity!:amount price!:amount"
    " hourlyCost!:amount monthlyCost!:amount usageBased:boolean priceNotFound!:boolean",
    "Summary": "totalResources:integer totalDetectedResources:integer totalSupportedResources:integer"
    " totalUnsupportedResources:integer totalUsageBasedResources:integer totalNoPriceResources:integer"
    " supportedResourceCounts:counts unsupportedResourceCounts:counts noPriceResourceCounts:counts",
}
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "minimum": 0},
    "amount": {"type": ["string", "null"], "pattern": r"^-?\d+(\.\d+)?$"},
    "time": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"},
    "version": {"enum": ["0.2"]},
    "texts": {"type": "object", "additionalProperties": {"type": "string"}},
    "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    "anything": {"type": "object"},
}


def _of_type(name: str) -> dict[str, Any]:
    if name.startswith("["):
        return {"type": "array", "items": _of_type(name.strip("[]"))}
    return _TYPES.get(name) or {"$ref": f"#/definitions/{name}"}


def _definition(fields: str) -> dict[str, Any]:
    parsed = [re.fullmatch(r"(\w+)(!?):(\S+)", field) for field in fields.split()]
    found = [match.groups() for match in parsed if match is not None]
    assert len(found) == len(parsed)
    return {
        "type": "object",
        "required": [name for name, required, _ in found if required],
        "properties": {name: _of_type(kind) for name, _, kind in found},
        "additionalProperties": False,
    }


SCHEMA: Final[dict[str, Any]] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$ref": "#/definitions/Root",
    "definitions": {name: _definition(fields) for name, fields in _FIELDS.items()},
}
