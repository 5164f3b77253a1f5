"""Machines of the search: every instance type in every region that the spec allows, with its prices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from planner.errors import SpecError
from planner.market.features import check_features
from planner.market.lustre import no_efa_client
from planner.market.offers import Offers, offers_of
from planner.market.place import ON_PREM_PROVIDER, ON_PREMISES, CloudPlace, Place
from planner.plan.choice import RootDisk
from planner.spec import BLOCK_MAX_NODES, ClusterSpec, PinnedNode
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Provenance
from provider_catalog.hardware import Gpu, InstanceType, NodeTopology
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
    for provider, region in _places(spec, catalog, providers):
        for (owner, name), instance_type in sorted(catalog.instance_types.items()):
            if owner == provider and (wanted is None or name in wanted):
                yield _machine(spec, catalog, region, instance_type)


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
    if spec.pin.instance_type is not None:
        named = {"pin.instance_type": spec.pin.instance_type}
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
            known = [r for p in providers for r in catalog.provider_defaults(p).default_zones]
            field = f"placement.regions[{index}]"
            elsewhere = [name for name in catalog.providers if region in catalog.provider_defaults(name).default_zones]
            if elsewhere:
                raise SpecError(
                    f"{field} is {region!r}, a region of {elsewhere[0]}, which placement.providers leaves out; add"
                    f" {elsewhere[0]} to placement.providers, or name a region of theirs"
                )
            raise SpecError(_unknown(field, region, known))
        places += [(owner, region) for owner in owners]
    return places


def _machine(spec: ClusterSpec, catalog: Catalog, region: str, instance_type: InstanceType) -> Machine:
    provider, name, prices = instance_type.provider, instance_type.name, catalog.prices
    place = CloudPlace(provider, catalog)
    defaults = place.defaults
    block = spec.capacity.block
    fixed_zone = spec.placement.zone or (block and block.zone)
    zone = fixed_zone or defaults.default_zones[region]
    zones = prices.zones(provider, region, name)
    if fixed_zone is None and zones and zone not in zones:
        zone = zones[0]
    offers = offers_of(spec, catalog, region, zone, instance_type)
    gang_limit = defaults.max_gang_nodes or spec.placement.max_nodes
    if block is not None:
        gang_limit = min(gang_limit, BLOCK_MAX_NODES)
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
        unavailable_reason=_no_efa_storage(spec, place, instance_type)
        or _unavailable_reason(spec, catalog, region, zone, instance_type, offers),
        place=place,
        host_memory_bytes=instance_type.memory_mib * 2**20,
    )


def _unavailable_reason(
    spec: ClusterSpec, catalog: Catalog, region: str, zone: str, instance_type: InstanceType, offers: Offers
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
        return f"no Capacity Block price is known in {region}"
    spot = offers.spot if spec.capacity.interruption == "tolerate" else None
    if offers.on_demand is not None or spot is not None:
        return None
    if catalog.prices.instance(provider, region, name, "capacity-block") is not None:
        return (
            f"sold in {region} only as a Capacity Block, which is not chosen by default; set capacity.block to use one"
        )
    if offers.spot is not None:
        return f"only a Spot price is known in {zone}, and capacity.interruption: never rules Spot out"
    elsewhere = [r for r in catalog.prices.regions(provider, name) if r != region]
    hint = f"; priced in {', '.join(elsewhere)}" if elsewhere else "; no region has a known price"
    return f"price unknown in {region} ({zone}){hint}"


def _no_efa_storage(spec: ClusterSpec, place: CloudPlace, instance_type: InstanceType) -> str | None:
    if not spec.storage.lustre.efa:
        return None
    topology = place.catalog.topology(instance_type)
    return no_efa_client(spec.storage.lustre, place.file_system(spec), instance_type.name, topology)


def _most_on_prem_nodes(spec: ClusterSpec) -> int:
    """Returns the most nodes that a plan on `pin.node` may have: the pinned number, else placement.max_nodes."""
    return spec.pin.nodes or spec.placement.max_nodes


def _on_prem_machine(node: PinnedNode, max_nodes: int, catalog: Catalog) -> Machine:
    try:
        gpu = catalog.gpu(node.gpu)
    except CatalogError as error:
        raise SpecError(f"pin.node.gpu: {error}") from error
    return Machine(
        provider=ON_PREM_PROVIDER,
        region=ON_PREM_PROVIDER,
        zone=None,
        name=f"{node.gpus}x {gpu.name}",
        node=NodeTopology(
            gpu=gpu,
            gpus=node.gpus,
            gpu_memory_bytes=_reported_memory_bytes(gpu, catalog),
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


def _reported_memory_bytes(gpu: Gpu, catalog: Catalog) -> int:
    """Returns the smallest memory that an instance type reports for the GPU, else the marketed size.

    An "80 GB" H100 reports 81,559 MiB.
    """
    reported = (kind.gpu_memory_mib for kind in catalog.instance_types.values() if kind.gpu == gpu.name)
    return min((mib * 2**20 for mib in reported), default=int(gpu.memory_gb * 1e9))


def _unknown(field: str, value: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    hint = did_you_mean(value, names)
    return f"{field} is {value!r}, which the catalog does not hold; {hint}known: {', '.join(names)}"
