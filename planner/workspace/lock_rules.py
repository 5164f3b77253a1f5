"""Rules that a locked plan must satisfy before it is used, because a pull request can edit a lock.

Single fields are checked by the models of `planner.plan`. The rules here compare a plan with its spec, with the catalog
and with itself. Each rule yields a message per violation.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from planner.market.place import ON_PREM_PROVIDER
from planner.plan.choice import Choice
from planner.plan.plan import Plan
from planner.reliability.pass_thresholds import pass_thresholds
from planner.spec import ClusterSpec, OwnReservation
from planner.spec.pin import LARGEST_DEGREE
from provider_catalog.catalog import Catalog
from provider_catalog.text import shortened, unsafe_part

LONGEST_TEXT: Final = 4000
"""Characters that a text of a plan may have."""
LARGEST_NUMBER: Final = 1e27
"""Largest number in a plan: above the floating-point operations of any training run."""
TOLERANCE: Final = 1e-6
"""Relative difference that rounding may cause between a sum and its parts."""

_COLLECTIVES: Final = re.compile(r"(NCCL|RCCL|FI|OFI|UCX|CUDA|HSA|HIP|ROCR)_[A-Z0-9_]{1,60}")
"""Variables of collective libraries, fabrics and GPU runtimes."""
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9_:,=^-]{0,64}")
"""Values without a path, because some variables of NCCL load a library from a file."""


def broken_values(document: object, path: str = "") -> Iterator[str]:
    """Yields a message, with its path, for every text and number of a parsed document that no plan can contain."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            if found := unsafe_part(str(key)):
                yield f"{path or 'the document'} has a key that contains {found}"
            yield from broken_values(value, f"{path}.{key}" if path else str(key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from broken_values(value, f"{path}.{index}")
    elif isinstance(document, str):
        if found := unsafe_part(document):
            yield f"{path} contains {found}"
        elif len(document) > LONGEST_TEXT:
            yield f"{path} has {len(document):,} characters; at most {LONGEST_TEXT:,} are allowed"
    elif isinstance(document, int | float) and not isinstance(document, bool) and not _is_possible(document):
        yield f"{path} is {shortened(document)}, which is outside the range of numbers in plans"


def _is_possible(number: float) -> bool:
    return -LARGEST_NUMBER <= number <= LARGEST_NUMBER  # false for NaN


def violations(plan: Plan, catalog: Catalog) -> Iterator[str]:
    """Yields a message for each contradiction between a plan and its spec, the catalog or itself."""
    yield from _against_the_spec(plan.spec, plan)
    yield from _against_itself(plan)
    if plan.choice.provider != ON_PREM_PROVIDER:
        yield from _against_the_catalog(plan, catalog)
    yield from _environment(plan, catalog)
    yield from _bill(plan)


def _against_the_spec(spec: ClusterSpec, plan: Plan) -> Iterator[str]:
    choice, placement, pin = plan.choice, spec.placement, spec.pin
    allowed: tuple[tuple[str, str | None, tuple[str | None, ...]], ...] = (
        ("name", plan.name, (spec.name,)),
        ("choice.provider", choice.provider, placement.providers),
        ("choice.region", choice.region, placement.regions),
        ("choice.zone", choice.zone, placement.zones if placement.zone is None else (placement.zone,)),
        (
            "choice.instance_type",
            choice.instance_type,
            () if placement.instance_types == "any" else placement.instance_types,
        ),
        ("choice.instance_type", choice.instance_type, () if pin.instance_type is None else (pin.instance_type,)),
    )
    on_premises = pin.node is not None
    for field, value, values in allowed:
        if values and value not in values and not (on_premises and field != "name"):
            yield f"{field} is {value}, but the spec allows {', '.join(map(str, values))}"
    if on_premises != (choice.provider == ON_PREM_PROVIDER):
        yield f"choice.provider is {choice.provider}, which contradicts pin.node of the spec"
    if pin.nodes is not None and choice.nodes != pin.nodes:
        yield f"choice.nodes is {choice.nodes}, but pin.nodes is {pin.nodes}"
    if pin.nodes is None and choice.nodes > placement.max_nodes:
        yield f"choice.nodes is {choice.nodes}, but placement.max_nodes is {placement.max_nodes}"
    yield from _purchase_against_the_spec(spec, choice)
    if choice.scratch != "none" and spec.storage.scratch == "none":
        yield f"choice.scratch is {choice.scratch}, but storage.scratch is none"
    shared = choice.shared_storage
    if (shared is None) != (choice.provider == ON_PREM_PROVIDER or not spec.storage.shared_tib):
        yield (
            "choice.shared_storage does not fit the provider and storage.shared_tib: plans of clouds have one unless "
            "storage.shared_tib is 0, on-premises plans do not"
        )
    if shared is not None:
        if spec.storage.shared_sku is not None and shared.sku != spec.storage.shared_sku:
            yield f"choice.shared_storage.sku is {shared.sku}, but storage.shared_sku is {spec.storage.shared_sku}"
        if shared.size_gib < spec.storage.shared_tib * 1024 * (1 - TOLERANCE):
            yield f"choice.shared_storage.size_gib is {shared.size_gib:,}, less than storage.shared_tib"


def _purchase_against_the_spec(spec: ClusterSpec, choice: Choice) -> Iterator[str]:
    bought, capacity = choice.purchase, spec.capacity
    if bought.spot_nodes and capacity.interruption == "never":
        yield f"choice.purchase.spot_nodes is {bought.spot_nodes}, but capacity.interruption is never"
    if (bought.capacity_block_nodes or bought.capacity_block_instances) and capacity.block is None:
        yield "choice.purchase has nodes in a Capacity Block, but the spec has no capacity.block"
    if capacity.block is not None and bought.capacity_block_nodes != choice.nodes:
        yield "choice.purchase has nodes outside the Capacity Block of the spec"
    held = capacity.reservation
    if isinstance(held, OwnReservation):
        if bought.reserved_nodes != choice.nodes:
            yield "choice.purchase has nodes outside capacity.reservation, in which all nodes must run"
        if held.instance_type not in (None, choice.instance_type) or held.zone not in (None, choice.zone):
            yield (
                f"choice is {choice.instance_type} in {choice.zone}, but capacity.reservation has another type or zone"
            )
        if held.instances is not None and choice.nodes > held.instances:
            yield f"choice.nodes is {choice.nodes}, but capacity.reservation.instances is {held.instances}"
    if bought.capacity_block_instances and bought.capacity_block_instances < bought.capacity_block_nodes:
        yield "choice.purchase.capacity_block_instances is less than capacity_block_nodes"


def _against_itself(plan: Plan) -> Iterator[str]:
    choice, layout = plan.choice, plan.choice.layout
    bought = choice.purchase
    nodes = bought.reserved_nodes + bought.spot_nodes + bought.on_demand_nodes + bought.capacity_block_nodes
    if nodes != choice.nodes:
        yield f"choice.purchase has {nodes} nodes, but choice.nodes is {choice.nodes}"
    if choice.gpus % choice.nodes:
        yield f"choice.gpus is {choice.gpus}, which is not a multiple of choice.nodes, {choice.nodes}"
    degrees = ("tensor", "pipeline", "data", "expert", "context", "micro_batch", "virtual_stages", "attention_data")
    for degree in degrees:
        if not 1 <= getattr(layout, degree) <= LARGEST_DEGREE:
            yield f"choice.layout.{degree} is {getattr(layout, degree)}; allowed are 1 to {LARGEST_DEGREE:,}"
            return
    spare = choice.gpus - layout.gpus
    pinned = any(value is not None for value in plan.spec.pin.layout.model_dump().values())
    may_idle = choice.gpus if pinned else max(layout.gpus_per_replica, choice.gpus // choice.nodes)
    if not 0 <= spare < may_idle:
        yield f"choice.layout uses {layout.gpus} GPUs, but choice.gpus is {choice.gpus}"
    memory = plan.memory_per_gpu
    parts = {name: value for name, value in vars(memory).items() if name.endswith("_bytes")}
    capacity_bytes, total_bytes = parts.pop("capacity_bytes"), parts.pop("total_bytes")
    if min(parts.values()) < 0 or capacity_bytes <= 0 or sum(parts.values()) != total_bytes:
        yield "memory_per_gpu: a part is negative, or the parts do not sum to total_bytes"
    kind = "inference" if plan.spec.workload.kind == "inference" else "training"
    if plan.performance.kind != kind:
        yield f"performance.kind is {plan.performance.kind}, but workload.kind is {plan.spec.workload.kind}"


def _against_the_catalog(plan: Plan, catalog: Catalog) -> Iterator[str]:
    choice = plan.choice
    if choice.provider not in catalog.providers:
        yield f"choice.provider is {choice.provider}; the catalog has {', '.join(catalog.providers)}"
        return
    if choice.region not in catalog.regions(choice.provider):
        yield f"choice.region is {choice.region}, which the catalog does not list for {choice.provider}"
    if (choice.provider, choice.instance_type) not in catalog.instance_types:
        yield f"choice.instance_type is {choice.instance_type}, which the catalog does not list for {choice.provider}"
        return
    instance_type = catalog.instance_type(choice.provider, choice.instance_type)
    if choice.gpus != choice.nodes * instance_type.gpus or choice.gpu != instance_type.gpu:
        yield (
            f"choice has {choice.gpus} {choice.gpu}, but {choice.nodes} {choice.instance_type} have"
            f" {choice.nodes * instance_type.gpus} {instance_type.gpu}"
        )
    if plan.spec.rollout.validation_nodes is not None:
        least = pass_thresholds(catalog.topology(instance_type), multi_node=choice.multi_node)
        for field in ("inside_gb_per_s", "between_gb_per_s"):
            asked, planned = getattr(least, field), getattr(choice.pass_thresholds, field)
            if asked is not None and (planned is None or planned < asked / 2):
                yield f"choice.pass_thresholds.{field} is {planned}; the burn-in needs {asked} for this instance type"


def _environment(plan: Plan, catalog: Catalog) -> Iterator[str]:
    """Allows only variables of collective libraries in launch scripts, with values that load no file."""
    if plan.topology is None:
        return
    known: set[tuple[str, str | None]] = set()
    machine = (plan.choice.provider, plan.choice.instance_type)
    if machine in catalog.instance_types:
        environment = catalog.collectives(catalog.instance_type(*machine))
        known = {(entry.variable, entry.value) for entry in environment}
    for entry in plan.topology.environment:
        if entry.value is None or (entry.variable, entry.value) in known:
            continue
        if not _COLLECTIVES.fullmatch(entry.variable) or not _PLAIN_VALUE.fullmatch(entry.value):
            yield (
                f"topology.environment sets {entry.variable} to {shortened(entry.value)}, which is neither in the"
                " catalog nor allowed"
            )


def _bill(plan: Plan) -> Iterator[str]:
    cost = plan.cost
    for item in cost.items:
        if item.quantity < 0 or (item.unit_price_usd or 0) < 0 or (item.usd_per_hour or 0) < 0:
            yield f"cost.items: {item.name} is negative"
    total = math.fsum(item.usd_per_hour for item in cost.items if item.usd_per_hour is not None)
    if cost.usd_per_hour is not None and not math.isclose(total, cost.usd_per_hour, rel_tol=TOLERANCE, abs_tol=1e-9):
        yield f"cost.usd_per_hour is {cost.usd_per_hour:,.2f}, but the items sum to {total:,.2f}"
    months = None if cost.usd_per_hour is None else cost.usd_per_hour * 730
    if (cost.usd_per_month is None) != (months is None) or (
        months is not None
        and cost.usd_per_month is not None
        and not math.isclose(months, cost.usd_per_month, rel_tol=TOLERANCE, abs_tol=1e-6)
    ):
        yield "cost.usd_per_month is not 730 times cost.usd_per_hour"
