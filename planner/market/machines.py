"""Machines of the search: every instance type in every region that the spec allows, with its prices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from planner.errors import SpecError
from planner.market.features import check_features
from planner.market.lustre import no_efa_client, too_many_efa_clients
from planner.market.offers import Offers, offers_of
from planner.market.pinned_gpu import described_gpu
from planner.market.place import ON_PREM_PROVIDER, ON_PREMISES, CloudPlace, Place
from planner.market.regions import unknown_region
from planner.market.zones import check_zones, no_known_zone, zone_of
from planner.plan.choice import RootDisk
from planner.spec import BLOCK_MAX_NODES, ClusterSpec, OwnReservation, PinnedGpu, PinnedNode
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Provenance
from provider_catalog.hardware import InstanceType, NodeTopology
from provider_catalog.prices import InstancePrice
from provider_catalog.suggestions import did_you_mean


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance type in one place, or the on-premises node of `pin.node`."""

    provider: str
    region: str
    zone: str | None
    name: str
    node: NodeTopology
    nvme_disks: int
    root_disk_gib: int
    root_disk: RootDisk
    multi_node: bool
    max_nodes: int
    offers: Offers
    unavailable_reason: str | None
    """Reason why the type cannot be bought here for this spec; None when it can."""
    place: Place
    host_memory_bytes: int | None = None
    """Host memory of a node in bytes, without GPU memory; None if unknown."""

    @property
    def label(self) -> str:
        """Name of the machine in reports: provider/region/type."""
        return f"{self.provider}/{self.region}/{self.name}"

    @property
    def gpu_memory_gb(self) -> float:
        """Marketed memory of all GPUs of a node in GB (10^9 bytes); reported sizes of one GPU differ between clouds."""
        return self.node.gpus * self.node.gpu.memory_gb

    @property
    def hourly_usd(self) -> float:
        """On-demand price of a node in USD an hour; infinite without a price."""
        return inf if self.offers.on_demand is None else self.offers.on_demand.usd_per_hour


def machines(spec: ClusterSpec, catalog: Catalog) -> Iterator[Machine]:
    """Yields machines in a fixed order: providers, then regions, then instance types by name.

    Raises:
        SpecError: a provider, region, zone or instance type of the spec is not in the catalog.
    """
    if spec.pin.node is not None:
        yield _on_prem_machine(spec.pin.node, _most_on_prem_nodes(spec), catalog)
        return
    providers = _providers(spec, catalog)
    wanted = _wanted_types(spec, catalog, providers)
    _check_block(spec, catalog, providers)
    places = _places(spec, catalog, providers)
    check_zones(spec, catalog, places)
    offered, homeless = False, None
    for provider, region in places:
        for (owner, name), instance_type in sorted(catalog.instance_types.items()):
            if owner == provider and (wanted is None or name in wanted):
                homeless = no_known_zone(spec, catalog, provider, region, name)
                if homeless is not None and spec.pin.instance_type is not None:
                    continue
                offered = True
                yield _machine(spec, catalog, region, instance_type)
    if homeless is not None and not offered:
        raise SpecError(f"placement.zone: missing; {homeless}")


def _providers(spec: ClusterSpec, catalog: Catalog) -> tuple[str, ...]:
    for index, provider in enumerate(spec.placement.providers):
        if provider not in catalog.providers:
            raise SpecError(_unknown(f"placement.providers[{index}]", provider, catalog.providers))
    wanted = spec.placement.providers or catalog.providers
    able = tuple(p for p in wanted if spec.orchestrator in catalog.provider_defaults(p).orchestrators)
    missing = [provider for provider in spec.placement.providers if provider not in able]
    if missing or not able:
        offered = "; ".join(
            f"{p} has {', '.join(catalog.provider_defaults(p).orchestrators)}" for p in catalog.providers
        )
        raise SpecError(
            f"orchestrator is {spec.orchestrator!r}, which {', '.join(missing or wanted)} cannot run; {offered}."
            " Change orchestrator or placement.providers"
        )
    for provider in able:
        check_features(spec, catalog.provider_defaults(provider))
    return able


def _check_block(spec: ClusterSpec, catalog: Catalog, providers: tuple[str, ...]) -> None:
    """Refuses a pinned type whose purchase option is not sold; a pinned type without a price is still evaluated."""
    name = spec.pin.instance_type
    if name is None:
        return
    if spec.capacity.block is None:
        _check_sold_by_the_hour(name, catalog, providers)
        return
    sold = sorted(n for (p, n), kind in catalog.instance_types.items() if p in providers and _by_block(kind))
    if name not in sold:
        raise SpecError(
            f"capacity.block: pin.instance_type {name} is not sold as a Capacity Block; these are: {', '.join(sold)}. "
            "Pin one of them, or leave capacity.block out"
        )


def _check_sold_by_the_hour(name: str, catalog: Catalog, providers: tuple[str, ...]) -> None:
    kinds = [kind for (p, n), kind in catalog.instance_types.items() if p in providers and n == name]
    if kinds and all(kind.purchase_options == ("capacity-block",) for kind in kinds):
        raise SpecError(
            f"pin.instance_type: {name} is sold only as a Capacity Block; set its dates in capacity.block, such as "
            "{start: 2026-12-10, days: 14}, or pin another type"
        )


def _by_block(instance_type: InstanceType) -> bool:
    return "capacity-block" in instance_type.purchase_options


def _wanted_types(spec: ClusterSpec, catalog: Catalog, providers: tuple[str, ...]) -> frozenset[str] | None:
    own = spec.capacity.reservation
    if spec.pin.instance_type is not None:
        named = {"pin.instance_type": spec.pin.instance_type}
    elif isinstance(own, OwnReservation) and own.instance_type is not None:
        named = {"capacity.reservation.instance_type": own.instance_type}
    elif spec.placement.instance_types == "any":
        return None
    else:
        named = {f"placement.instance_types[{i}]": name for i, name in enumerate(spec.placement.instance_types)}
    known = sorted(name for provider, name in catalog.instance_types if provider in providers)
    for field, name in named.items():
        reasons = (catalog.provider_defaults(p).unsupported_instance_families for p in providers)
        for families in reasons:
            if (family := name.split(".")[0]) in families:
                raise SpecError(f"{field} is {name!r}, and {family} cannot be planned: {families[family]}")
        if name not in known:
            raise SpecError(_unknown(field, name, known))
    return frozenset(named.values())


def _places(spec: ClusterSpec, catalog: Catalog, providers: tuple[str, ...]) -> list[tuple[str, str]]:
    """Returns (provider, region) pairs: the regions of the spec with their providers, else each default region."""
    if not spec.placement.regions:
        return [(provider, catalog.provider_defaults(provider).default_region) for provider in providers]
    places = []
    for index, region in enumerate(spec.placement.regions):
        owners = [p for p in providers if region in catalog.provider_defaults(p).default_zones]
        if not owners:
            raise SpecError(unknown_region(f"placement.regions[{index}]", region, catalog, providers))
        places += [(owner, region) for owner in owners]
    return places


def _machine(spec: ClusterSpec, catalog: Catalog, region: str, instance_type: InstanceType) -> Machine:
    provider, name = instance_type.provider, instance_type.name
    place = CloudPlace(provider, catalog)
    defaults = place.defaults
    block, own = spec.capacity.block, spec.capacity.reservation
    zone = zone_of(spec, catalog, provider, region, name)
    offers = offers_of(spec, catalog, region, zone, instance_type)
    gang_limit = defaults.max_gang_nodes or spec.placement.max_nodes
    if block is not None:
        gang_limit = min(gang_limit, BLOCK_MAX_NODES)
    gang_limit = min(gang_limit, _most_efa_clients(spec, place, instance_type) or gang_limit)
    if isinstance(own, OwnReservation) and own.instances is not None:
        gang_limit = min(gang_limit, own.instances)
    return Machine(
        provider=provider,
        region=region,
        zone=zone,
        name=name,
        node=catalog.topology(instance_type),
        nvme_disks=instance_type.nvme_disks,
        root_disk_gib=defaults.root_disk_gib,
        root_disk="ephemeral" if (instance_type.ephemeral_os_disk_gib or 0) >= defaults.root_disk_gib else "network",
        multi_node=instance_type.multi_node,
        max_nodes=min(spec.placement.max_nodes, gang_limit),
        offers=offers,
        unavailable_reason=no_known_zone(spec, catalog, provider, region, name)
        or _no_efa_storage(spec, place, instance_type)
        or _unavailable_reason(spec, catalog, region, zone, instance_type, offers),
        place=place,
        host_memory_bytes=instance_type.memory_mib * 2**20,
    )


def _unavailable_reason(
    spec: ClusterSpec, catalog: Catalog, region: str, zone: str | None, instance_type: InstanceType, offers: Offers
) -> str | None:
    provider, name = instance_type.provider, instance_type.name
    if instance_type.nvme_total_gb < spec.storage.scratch_gb:
        return (
            f"has {instance_type.nvme_total_gb:,} GB of local NVMe; storage.scratch_gb is {spec.storage.scratch_gb:g}"
        )
    if spec.capacity.block is not None:
        if not _by_block(instance_type):
            return "not sold as a Capacity Block, which capacity.block requires"
        if offers.block is not None:
            return None
        if (old := _outdated(catalog, region, zone, instance_type)) is not None:
            return _too_old(old, catalog)
        return f"no Capacity Block price is known in {region}"
    spot = offers.spot if spec.capacity.interruption == "tolerate" else None
    if offers.on_demand is not None or spot is not None:
        return None
    if catalog.prices.instance(provider, region, name, "capacity-block") is not None:
        return (
            f"sold in {region} only as a Capacity Block, which is not chosen by default; set capacity.block to use one"
        )
    if offers.spot is not None:
        return f"only a Spot price is known in {zone or region}, and capacity.interruption: never rules Spot out"
    old = _outdated(catalog, region, zone, instance_type)
    if old is not None:
        return _too_old(old, catalog)
    elsewhere = [r for r in catalog.prices.regions(provider, name) if r != region]
    hint = f"; priced in {', '.join(elsewhere)}" if elsewhere else "; no region has a known price"
    where = region if zone is None else f"{region} ({zone})"
    return f"price unknown in {where}{hint}"


def _outdated(catalog: Catalog, region: str, zone: str | None, instance_type: InstanceType) -> InstancePrice | None:
    """Returns a price that would offer the type here, if it were not too old."""
    if catalog.prices_since is None:
        return None
    place, outdated = (instance_type.provider, region, instance_type.name), catalog.outdated_prices
    return outdated.instance(*place, "on-demand", zone) or outdated.instance(*place, "capacity-block", zone)


def _too_old(price: InstancePrice, catalog: Catalog) -> str:
    return (
        f"its {price.option} price in {price.region} dates from {price.provenance.as_of}, and prices from before"
        f" {catalog.prices_since} are not used (--max-price-age)"
    )


def _no_efa_storage(spec: ClusterSpec, place: CloudPlace, instance_type: InstanceType) -> str | None:
    if not spec.storage.lustre.efa:
        return None
    topology = place.catalog.topology(instance_type)
    reason = no_efa_client(spec.storage.lustre, place.file_system(spec), instance_type.name, topology)
    clients, field, remedy = place.defaults.efa_clients, "pin.instance_type", "; pin another type"
    if reason is None and clients is not None and spec.pin.nodes is not None:
        field, remedy = "pin.nodes", ""
        reason = too_many_efa_clients(clients, instance_type.name, instance_type.rdma_cards, spec.pin.nodes)
    # A pinned type is evaluated without an offer, but not with a file system that it cannot reach.
    if reason is not None and spec.pin.instance_type == instance_type.name:
        raise SpecError(f"{field}: {instance_type.name} {reason}{remedy}, or leave storage.lustre.efa out")
    return reason


def _most_efa_clients(spec: ClusterSpec, place: CloudPlace, instance_type: InstanceType) -> int | None:
    """Largest number of nodes that one file system serves over EFA; None where nodes reach it over TCP."""
    clients = place.defaults.efa_clients
    if not spec.storage.lustre.efa or clients is None or not instance_type.rdma_cards:
        return None
    return clients.most_clients(instance_type.name, instance_type.rdma_cards)


def _most_on_prem_nodes(spec: ClusterSpec) -> int:
    """Returns the most nodes that a plan on `pin.node` may have: the pinned number, else placement.max_nodes."""
    return spec.pin.nodes or spec.placement.max_nodes


def _on_prem_machine(node: PinnedNode, max_nodes: int, catalog: Catalog) -> Machine:
    if isinstance(node.gpu, PinnedGpu):
        gpu = described_gpu(node.gpu)
    else:
        try:
            gpu = catalog.gpu(node.gpu)
        except CatalogError as error:
            raise SpecError(f"pin.node.gpu: {error}; or describe it: {{name, memory_gib, …}}") from error
    return Machine(
        provider=ON_PREM_PROVIDER,
        region=ON_PREM_PROVIDER,
        zone=None,
        name=f"{node.gpus}x {gpu.name}",
        node=NodeTopology(
            gpu=gpu,
            gpus=node.gpus,
            gpu_memory_bytes=(
                int(node.gpu.memory_gib * 2**30)
                if isinstance(node.gpu, PinnedGpu)
                else catalog.reported_memory_bytes(gpu)
            ),
            nvlink_gb_per_s=gpu.nvlink_gb_per_s if node.nvlink_gb_per_s is None else node.nvlink_gb_per_s,
            nic_gbit_per_s=node.nic_gbit_per_s,
            fabric="infiniband",
        ),
        nvme_disks=0,
        root_disk_gib=0,
        root_disk="ephemeral",
        multi_node=True,
        max_nodes=max_nodes,
        offers=Offers(on_demand=_on_prem_price(node, gpu.name), spot=None, commitment=None, reservable=False),
        unavailable_reason=None,
        place=ON_PREMISES,
    )


def _on_prem_price(node: PinnedNode, gpu: str) -> InstancePrice | None:
    if node.usd_per_hour is None:
        return None
    return InstancePrice(
        provider=ON_PREM_PROVIDER,
        region=ON_PREM_PROVIDER,
        zone=None,
        instance_type=f"{node.gpus}x {gpu}",
        option="on-demand",
        usd_per_hour=node.usd_per_hour,
        provenance=Provenance(source="pin.node.usd_per_hour of the spec", as_of="", kind="list"),
    )


def _unknown(field: str, value: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    hint = did_you_mean(value, names)
    return f"{field} is {value!r}, which the catalog does not hold; {hint}known: {', '.join(names)}"
