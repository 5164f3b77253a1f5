"""The bill of resources: what each is billed for, at the prices of the catalog."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import fsum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError

from planner.errors import SpecError
from planner.plan.cost import Usage
from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance
from provider_catalog.prices import PriceBook
from provider_catalog.rules import rule_of_error
from provider_catalog.text import one_line
from provider_catalog.text_files import UnreadableFileError, read_text_file
from provider_catalog.units import HOURS_PER_MONTH
from provider_catalog.yaml_text import parse_yaml
from stacks.estimate.documents import Resource, Resources, clusters, read_resources
from stacks.estimate.meters import Context, Meter, NotPriced, Reader, Reading

LARGEST_USAGE_BYTES: Final = 20_000_000
"""Size of the largest cost.json, which holds every line of a bill."""
LARGEST_QUANTITY: Final = 1e12
"""Quantities above this are errors in a document."""
NOT_PURCHASED: Final = "the capacity block is not purchased by Terraform, so it is neither built nor billed"


@dataclass(frozen=True)
class Line:
    """A priced line of the bill of a resource."""

    resource: Resource
    meter: Meter
    unit_price_usd: float | None
    """Unit price in USD; None: it is unknown."""
    provenance: Provenance | None

    @property
    def usd_per_hour(self) -> float | None:
        """Quantity times unit price in USD per hour, with 730 hours in a month; None: the price is unknown."""
        if self.unit_price_usd is None:
            return None
        return self.meter.quantity * self.unit_price_usd / (HOURS_PER_MONTH if self.monthly else 1)

    @property
    def monthly(self) -> bool:
        """Whether the price is one for a month."""
        return self.meter.unit.endswith("-month")


@dataclass(frozen=True)
class Estimate:
    """The bill of one cluster's resources."""

    name: str
    region: str | None
    prices_as_of: str
    lines: tuple[Line, ...]
    free: tuple[Resource, ...]
    not_priced: tuple[tuple[Resource, str], ...]
    """Resources that may be billed but have no line, with the reason."""
    usage: Usage | None
    usage_source: str

    @property
    def usd_per_hour(self) -> float | None:
        """Sum of the lines with a known price; None if no line has one, or if the price of the nodes is unknown."""
        if any(line.unit_price_usd is None and line.meter.option is not None for line in self.lines):
            return None
        known = [line.usd_per_hour for line in self.lines if line.usd_per_hour is not None]
        return fsum(known) if known else None

    @property
    def unknown(self) -> tuple[Line, ...]:
        """Lines with an unknown price, which the sum leaves out."""
        return tuple(line for line in self.lines if line.unit_price_usd is None)

    def usd_per_hour_by_role(self) -> dict[str, float]:
        """Known amounts in USD per hour, by their role on the bill of the plan."""
        by_role: dict[str, float] = defaultdict(float)
        for line in self.lines:
            by_role[line.meter.role] += line.usd_per_hour or 0.0
        return dict(by_role)


def estimate(
    paths: Sequence[Path], catalog: Catalog, usage: Path | None = None, region: str | None = None
) -> tuple[Estimate, ...]:
    """The bill of each cluster whose resources are at `paths`, by name.

    Args:
        paths: Output folders of synth, or output of `terraform show -json`.
        catalog: Catalog with the prices.
        usage: A cost.json, or a YAML or JSON file with the fields of `Usage`; None: the cost.json beside the documents.
        region: Region of the prices, if the documents do not name one.

    Raises:
        SpecError: the paths hold no documents, or the usage is wrong.
    """
    given = None if usage is None else (read_usage(usage), str(usage))
    found = []
    for name, files in clusters(paths).items():
        assumed = given or _usage_beside(files)
        found.append(_estimate(name, read_resources(files, region), catalog, *assumed))
    return tuple(found)


def read_usage(path: Path) -> Usage:
    """The usage in a cost.json, or in a file that holds only the usage.

    Raises:
        SpecError: the file cannot be read, or a field is wrong.
    """
    try:
        document: Any = parse_yaml(read_text_file(path, largest_bytes=LARGEST_USAGE_BYTES))
        fields = document.get("usage", document)
        return Usage.model_validate(fields)
    except UnreadableFileError as error:
        raise SpecError(f"--usage {path}: cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = one_line(".".join(str(part)[:80] for part in first["loc"]))
        raise SpecError(
            f"--usage {path}: {where}: {rule_of_error(first)}; allowed are {', '.join(Usage.model_fields)}"
        ) from None
    except (AttributeError, ValueError):
        raise SpecError(
            f"--usage {path}: not a mapping; give a cost.json, or {', '.join(Usage.model_fields)}"
        ) from None


def _usage_beside(files: Sequence[Path]) -> tuple[Usage | None, str]:
    for file in files:
        beside = file.with_name("cost.json")
        if beside.is_file() and "usage" in _cost_beside(beside):
            return read_usage(beside), str(beside)
    return None, ""


def _cost_beside(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_text_file(path, largest_bytes=LARGEST_USAGE_BYTES))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise SpecError(f"{path}: no JSON object; synthesize again, or give --usage")
    return document


def _estimate(name: str, resources: Resources, catalog: Catalog, usage: Usage | None, usage_source: str) -> Estimate:
    gpu_types = frozenset(name for _, name in catalog.instance_types)
    context = Context(resources, usage, gpu_types)
    lines: list[Line] = []
    free: list[Resource] = []
    not_priced: list[tuple[Resource, str]] = []
    for resource, cloud in _billable(resources):
        reader = None if cloud is None else (cloud.READERS | cloud.OUTPUTS).get(resource.kind)
        if cloud is None or reader is None:
            if cloud is not None and resource.kind in cloud.FREE:
                free.append(resource)
            else:
                not_priced.append((resource, "the estimate knows no prices for this kind of resource"))
            continue
        reading = _read(reader, resource, context)
        meters = [meter for meter in reading if isinstance(meter, Meter)]
        not_priced += [(resource, each.reason) for each in reading if isinstance(each, NotPriced)]
        if not reading:
            free.append(resource)
        elif meters and resources.region is None:
            not_priced.append((resource, "the documents name no region; give --region"))
        else:
            place = (cloud.PROVIDER, resources.region or "", resources.zone)
            lines += [_line(resource, meter, catalog.prices, place) for meter in meters]
    not_priced += [(data, NOT_PURCHASED) for data in resources.data if _is_unpurchased(data, resources)]
    return Estimate(
        name=name,
        region=resources.region,
        prices_as_of=catalog.prices_as_of,
        lines=tuple(lines),
        free=tuple(free),
        not_priced=tuple(not_priced),
        usage=usage,
        usage_source=usage_source,
    )


def _read(reader: Reader, resource: Resource, context: Context) -> Reading:
    try:
        reading = reader(resource, context)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return [NotPriced(f"an argument has not the type that the provider accepts ({error})")]
    wrong = [each for each in reading if isinstance(each, Meter) and not 0 <= each.quantity < LARGEST_QUANTITY]
    return [
        NotPriced(f"{meter.name}: {meter.quantity:g} {meter.unit} is not a possible quantity") for meter in wrong
    ] or reading


def _is_unpurchased(data: Resource, resources: Resources) -> bool:
    """Whether `data` can be bought, but no resource in the documents buys it."""
    cloud = _cloud(data.kind)
    buyers = [] if cloud is None else [each for each in resources.all if each.kind == cloud.OFFERS.get(data.kind)]
    return (
        cloud is not None
        and data.kind in cloud.OFFERS
        and not any(resources.linked(buyer, data.kind) is data for buyer in buyers)
    )


def _billable(resources: Resources) -> Iterator[tuple[Resource, ModuleType | None]]:
    """Every resource, and every output from which another tool builds resources, with the module of its cloud."""
    clouds = {resource.kind: _cloud(resource.kind) for resource in resources.all}
    for resource in resources.all:
        yield resource, clouds[resource.kind]
    for cloud in dict.fromkeys(filter(None, clouds.values())):
        for output in resources.outputs:
            if output.kind in cloud.OUTPUTS:
                yield output, cloud


def _line(resource: Resource, meter: Meter, prices: PriceBook, place: tuple[str, str, str | None]) -> Line:
    provider, region, zone = place
    if meter.option is not None:
        instance = prices.instance(provider, region, meter.sku, meter.option, zone)
        if instance is None:
            return Line(resource, meter, None, None)
        return Line(resource, meter, instance.usd_per_hour, instance.provenance)
    service = prices.service(provider, region, meter.sku)
    if service is None:
        return Line(resource, meter, None, None)
    return Line(resource, meter, service.unit_price_usd, service.provenance)


def _cloud(kind: str) -> ModuleType | None:
    """The module that reads resources of a Terraform provider; None if there is none for it."""
    name = f"stacks.estimate.{kind.split('_', 1)[0]}"
    module = import_module(name) if find_spec(name) else None
    return module if module is not None and hasattr(module, "READERS") else None


def lines_by_resource(lines: Iterable[Line]) -> dict[tuple[str, str], list[Line]]:
    """Lines by stack and address, in the order of the documents."""
    grouped: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        grouped[line.resource.stack, line.resource.address].append(line)
    return dict(grouped)
