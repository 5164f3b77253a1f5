"""Price list files of AWS in the documented format, with rows of our own choice."""

import csv
import io
from collections.abc import Iterable

COLUMNS = (
    "SKU", "OfferTermCode", "RateCode", "TermType", "PriceDescription", "EffectiveDate", "StartingRange", "EndingRange",
    "Unit", "PricePerUnit", "Currency", "LeaseContractLength", "Product Family", "serviceCode", "Location",
    "Instance Type", "Tenancy", "Operating System", "usageType", "operation", "CapacityStatus", "MarketOption",
    "Pre Installed S/W", "Region Code", "Volume API Name", "fileSystemType", "volumeType", "serviceName",
)  # fmt: skip
"""Some of the columns, written as AWS writes them."""


def metadata(service: str = "AmazonEC2") -> list[tuple[str, str]]:
    """The five rows before the column names."""
    return [
        ("FormatVersion", "v1.0"),
        ("Disclaimer", 'This pricing list is for informational purposes only, and "as is".'),
        ("Publication Date", "2026-11-20T19:31:22Z"),
        ("Version", "20261120193122"),
        ("OfferCode", service),
    ]


def price(usage_type: str, usd: str, unit: str = "Hrs", region: str = "us-east-1", **cells: str) -> dict[str, str]:
    """A row of an on-demand price; `cells` are named as the columns, without blanks and signs."""
    named = {plain(column): column for column in COLUMNS}
    row = {
        "SKU": f"SKU{abs(hash((usage_type, usd, region))) % 10**8}",
        "TermType": "OnDemand",
        "StartingRange": "0",
        "EndingRange": "Inf",
        "Unit": unit,
        "PricePerUnit": usd,
        "Currency": "USD",
        "usageType": usage_type,
        "Region Code": region,
    }
    return row | {named[plain(name)]: value for name, value in cells.items()}


def linux(instance_type: str, usd: str, region: str = "us-east-1", **cells: str) -> dict[str, str]:
    """A row of an instance type with Linux on shared hosts."""
    given = {
        "InstanceType": instance_type,
        "Tenancy": "Shared",
        "OperatingSystem": "Linux",
        "CapacityStatus": "Used",
        "MarketOption": "OnDemand",
        "PreInstalledSW": "NA",
    }
    return price(f"BoxUsage:{instance_type}", usd, region=region, **{**given, **cells})


def file(*rows: dict[str, str], service: str = "AmazonEC2") -> str:
    """The text of a file."""
    return "".join(lines(rows, service))


def lines(rows: Iterable[dict[str, str]], service: str = "AmazonEC2") -> Iterable[str]:
    """The lines of a file, made one by one."""
    for cells in (*metadata(service), COLUMNS):
        yield line(cells)
    for row in rows:
        yield line([row.get(column, "") for column in COLUMNS])


def line(cells: Iterable[str]) -> str:
    """One line of a file, every cell in quotes."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow(cells)
    return text.getvalue()


def plain(name: str) -> str:
    """A name in lower case, letters only."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
