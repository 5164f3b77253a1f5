"""The bill of a cluster: priced lines with provenance, and their totals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from planner.market.offers import Offers
from planner.plan.choice import SharedStorage
from planner.plan.cost import Cost, CostItem, Usage
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.purchase.mix import Mix
from provider_catalog.defaults import OrchestratorDefaults
from provider_catalog.facts import Provenance
from provider_catalog.prices import InstancePrice, PriceBook, ServicePrice
from provider_catalog.purchase_kinds import PurchaseKind, compute_role, slug
from provider_catalog.units import HOURS_PER_MONTH, HOURS_PER_YEAR

GB_PER_GIB = 2**30 / 1e9
NAT_GB_PER_NODE_MONTH = 50.0
"""Packages and container images that a node pulls through NAT in a month, in GB. Estimate, within `NAT_GB_RANGE`."""
NAT_GB_RANGE = (10.0, 200.0)

CONTROL_PLANE_LOG_GB_PER_MONTH = 20.0
CONTROL_PLANE_LOG_GB_PER_NODE_MONTH = 1.0
"""All five EKS log types, mostly audit records. Estimate: bills that teams have published show 7 to 240 GB a month
(`VendedLog-Bytes` of `/aws/eks/…/cluster`)."""

USAGE_UNITS = ("GB-month", "million-samples-month")
"""Units of usage, which no single resource shows."""

NAT_NOTE = f"data through NAT: estimate of {NAT_GB_PER_NODE_MONTH:g} GB per node and month (range 10 to 200)"

NO_PRICE = Provenance(source="no known price", as_of="", kind="list")
"""Provenance of a line without a price."""

Stack = Literal["network", "storage", "compute"]


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A line of the bill before it is priced."""

    name: str
    role: str
    stack: Stack
    sku: str
    quantity: float
    unit: str


@dataclass(frozen=True, slots=True)
class BilledServices:
    """Services that are billed beside the instances."""

    provider: str
    region: str
    nodes: int
    shared_storage: SharedStorage | None
    checkpoints_gib: float
    root_disk_gib: int
    """Size of the billed root disk of a node in GiB; 0 where it lives on the host."""
    orchestrator: OrchestratorDefaults | None = None
    checkpoint_gb_per_month: float = 0.0
    """Checkpoint traffic to and from the object store in GB a month; see `checkpoint_traffic_gb`."""
    omitted_roles: frozenset[str] = frozenset()
    """Roles of the standard lines that this cluster does not have."""
    extra_lines: tuple[ServiceLine, ...] = ()
    """Lines beyond the standard ones."""


def cluster_cost(
    prices: PriceBook,
    services: BilledServices,
    offers: Offers,
    mix: Mix,
    performance: TrainingPerformance | InferencePerformance,
    run_hours: float | None,
) -> Cost:
    """Returns the bill in USD per hour, month of 730 hours, year, training run and million output tokens.

    Items without a known price have no amount; `unknown` names them and the totals leave them out.
    """
    service_items = _service_items(prices, services)
    items = (*_compute_items(offers, mix), *service_items)
    known = [item.usd_per_hour for item in items if item.usd_per_hour is not None]
    unknown = tuple(item.name for item in items if item.usd_per_hour is None)
    compute_known = all(item.usd_per_hour is not None for item in items if item.role.startswith("compute"))
    usd_per_hour = sum(known) if compute_known and known else None
    per_million = None
    if usd_per_hour is not None and isinstance(performance, InferencePerformance):
        per_million = usd_per_hour / (performance.tokens_per_s * mix.mean_demand * 3600) * 1e6
    return Cost(
        usd_per_hour=usd_per_hour,
        usd_per_month=None if usd_per_hour is None else usd_per_hour * HOURS_PER_MONTH,
        usd_per_year=None if usd_per_hour is None else usd_per_hour * HOURS_PER_YEAR,
        usd_per_run=None if usd_per_hour is None or run_hours is None else usd_per_hour * run_hours,
        usd_per_million_output_tokens=per_million,
        items=items,
        unknown=unknown,
        notes=(
            *((NAT_NOTE,) if any(item.role == "nat_data" for item in items) else ()),
            *(("totals leave out items without a known price: " + ", ".join(unknown),) if unknown else ()),
        ),
        usage=_usage(service_items, mix),
    )


def checkpoint_traffic_gb(performance: TrainingPerformance | InferencePerformance) -> float:
    """Returns the GB a month that a run writes to the object store and reads back at restarts.

    It is 0 without checkpoints in the object store.
    """
    outlook = performance.reliability if isinstance(performance, TrainingPerformance) else None
    if outlook is None or outlook.checkpoint_to != "object_store":
        return 0.0
    per_hour = 3600 / outlook.interval_s + 1 / outlook.mtbf_hours
    return outlook.checkpoint_bytes / 1e9 * per_hour * HOURS_PER_MONTH


def _usage(service_items: Sequence[CostItem], mix: Mix) -> Usage:
    purchase = mix.purchase
    running: dict[PurchaseKind, tuple[int, float]] = {
        "reserved": (purchase.reserved_nodes, float(purchase.reserved_nodes)),
        "spot": (purchase.spot_nodes, mix.mean_spot_nodes),
        "on_demand": (purchase.on_demand_nodes, mix.mean_on_demand_nodes),
        # Blocks are sold in fixed sizes, so more instances can be billed than run.
        "capacity_block": (purchase.capacity_block_nodes, float(purchase.capacity_block_instances)),
    }
    return Usage(
        # Resources show neither the data billed by the GB nor the contents of a bucket.
        quantities={
            item.role: item.quantity
            for item in service_items
            if item.unit in USAGE_UNITS or item.role == "checkpoint_storage"
        },
        running_share={kind: mean / nodes for kind, (nodes, mean) in running.items() if nodes},
        spot_restart_share=mix.spot_restart_share,
        reserved_option="on-demand" if mix.reserved_price is None else mix.reserved_price.option,
    )


def _compute_items(offers: Offers, mix: Mix) -> list[CostItem]:
    purchase = mix.purchase
    block = purchase.capacity_block_instances
    rows: tuple[tuple[PurchaseKind, int, float, InstancePrice | None], ...] = (
        ("reserved", purchase.reserved_nodes, float(purchase.reserved_nodes), mix.reserved_price),
        ("spot", purchase.spot_nodes, mix.mean_spot_nodes, offers.spot),
        ("capacity_block", block, float(block), mix.reserved_price),
        ("on_demand", purchase.on_demand_nodes, mix.mean_on_demand_nodes, offers.on_demand),
    )
    return [_instance_item(kind, nodes, mean, price) for kind, nodes, mean, price in rows if nodes]


def _instance_item(kind: PurchaseKind, nodes: int, mean_nodes: float, price: InstancePrice | None) -> CostItem:
    average = "" if mean_nodes > nodes - 0.05 else f", {mean_nodes:.1f} running on average"
    return CostItem(
        name=f"compute, {slug(kind)}: {nodes} node{'' if nodes == 1 else 's'}{average}",
        role=compute_role(kind),
        stack="compute",
        sku="" if price is None else price.instance_type,
        quantity=mean_nodes,
        unit="instance-hour",
        unit_price_usd=None if price is None else price.usd_per_hour,
        usd_per_hour=None if price is None else mean_nodes * price.usd_per_hour,
        provenance=NO_PRICE if price is None else price.provenance,
    )


def _service_items(prices: PriceBook, services: BilledServices) -> list[CostItem]:
    rows: list[tuple[str, str, Stack, str, float, str]] = [
        ("root disks", "root_disk", "compute", "root_disk_gb_month",
         services.nodes * services.root_disk_gib, "GiB-month"),
        ("checkpoints in the object store", "checkpoint_storage", "storage", "object_storage_gb_month",
         services.checkpoints_gib, "GiB-month"),
        ("encryption key", "encryption_key", "storage", "encryption_key_month", 1, "key-month"),
        ("NAT gateway", "nat_gateway", "network", "nat_gateway_hour", 1, "hour"),
        ("data through NAT", "nat_data", "network", "nat_gateway_gb",
         services.nodes * NAT_GB_PER_NODE_MONTH, "GB-month"),
        ("private endpoint of the object store", "private_endpoint", "storage", "private_endpoint_hour", 1, "hour"),
        ("public address of the NAT gateway", "public_ip", "network", "public_ip_hour", 1, "hour"),
        ("private DNS zone", "private_dns_zone", "network", "private_dns_zone_month", 1, "zone-month"),
        # Estimate: stored checkpoints are uploaded once, and the monthly traffic replaces them or passes through.
        ("data through the private endpoint, an estimate", "private_endpoint_data", "storage", "private_endpoint_gb",
         max(services.checkpoints_gib * GB_PER_GIB, services.checkpoint_gb_per_month), "GB-month"),
    ]  # fmt: skip
    if not services.root_disk_gib:
        rows = [row for row in rows if row[1] != "root_disk"]
    if services.shared_storage is not None:
        storage = services.shared_storage
        name = f"shared file system {storage.sku}"
        rows.insert(0, (name, "shared_storage", "storage", storage.sku, storage.size_gib, "GiB-month"))
    rows += _orchestrator_rows(services.orchestrator, services.nodes)
    rows = [row for row in rows if row[1] not in services.omitted_roles]
    rows += [(line.name, line.role, line.stack, line.sku, line.quantity, line.unit) for line in services.extra_lines]
    return [
        _service_item(prices.service(services.provider, services.region, sku), name, role, stack, sku, quantity, unit)
        for name, role, stack, sku, quantity, unit in rows
        if prices.sells(services.provider, sku)
    ]


def _orchestrator_rows(
    orchestrator: OrchestratorDefaults | None, gpu_nodes: int
) -> list[tuple[str, str, Stack, str, float, str]]:
    if orchestrator is None:
        return []
    rows: list[tuple[str, str, Stack, str, float, str]] = []
    if orchestrator.control_plane_sku:
        rows.append(("control plane", "control_plane", "compute", orchestrator.control_plane_sku, 1, "hour"))
        logs_gb = CONTROL_PLANE_LOG_GB_PER_MONTH + gpu_nodes * CONTROL_PLANE_LOG_GB_PER_NODE_MONTH
        # EKS logs are vended logs, priced like VPC flow logs.
        rows.append(("control plane logs, an estimate", "log_data", "compute", "flow_log_gb", logs_gb, "GB-month"))
    kind, nodes = orchestrator.service_instance_type, orchestrator.service_nodes
    if kind:
        name = f"{orchestrator.service_role}: {nodes} {kind}"
        disks_gib = nodes * orchestrator.service_root_disk_gib
        rows.append((name, "service_nodes", "compute", kind, nodes, "instance-hour"))
        disk = f"root disk of the {orchestrator.service_role}"
        rows.append((disk, "service_root_disk", "compute", "root_disk_gb_month", disks_gib, "GiB-month"))
    return rows


def _service_item(
    price: ServicePrice | None, name: str, role: str, stack: Stack, sku: str, quantity: float, unit: str
) -> CostItem:
    unit_price = None if price is None else price.unit_price_usd
    return CostItem(
        name=name,
        role=role,
        stack=stack,
        sku=sku,
        quantity=float(quantity),
        unit=unit,
        unit_price_usd=unit_price,
        usd_per_hour=None if unit_price is None else quantity * unit_price / hours_per_unit(unit),
        provenance=NO_PRICE if price is None else price.provenance,
    )


def hours_per_unit(unit: str) -> int:
    """Returns the hours that one unit of a quantity covers: 730 for a unit per month, else 1."""
    return HOURS_PER_MONTH if unit.endswith("-month") else 1
