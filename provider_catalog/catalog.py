"""The catalog: every fact of a data folder, each file parsed once, when it is first asked for."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from provider_catalog.collective_environment import CollectiveEnvironment, Variable
from provider_catalog.data_files import fact, read_csv, read_yaml
from provider_catalog.defaults import ProviderDefaults
from provider_catalog.errors import CatalogError
from provider_catalog.hardware import Gpu, InstanceType, NodeTopology, visible_memory_bytes
from provider_catalog.interruptions import Cause, InterruptionRate, InterruptionRecord, cause_shares, interruption_rate
from provider_catalog.price_dates import first_day
from provider_catalog.price_files import in_each_region, read_instance_prices, read_service_prices
from provider_catalog.price_layers import PriceLayer, lay_instances, lay_services, live_folder, read_live
from provider_catalog.prices import InstancePrice, PriceBook, ServicePrice
from provider_catalog.software_matrix import SoftwareMatrix
from provider_catalog.storage import FileSystemSku
from provider_catalog.suggestions import did_you_mean
from provider_catalog.text import kind_of
from provider_catalog.wiring import FabricWiring, NodeWiring, Wiring
from provider_catalog.zones import InstanceZones, read_zones

if TYPE_CHECKING:
    from provider_catalog.architecture import ModelArchitecture

_YamlT = TypeVar("_YamlT", Gpu, FileSystemSku, InterruptionRecord)
_ValueT = TypeVar("_ValueT")

PACKAGED_DATA: Final = Path(__file__).parent / "data"
_MODELS_FOLDER: Final = "models"
_INSTANCES: Final = "instances.csv"
_MIB: Final = 2**20
_FOLLOWS_PRICES: Final = (
    "version",
    "prices_as_of",
    "prices",
    "instance_prices",
    "outdated_prices",
    "_laid_instance_prices",
    "service_prices",
    "_listed_service_prices",
    "instance_types",
    "_defaults",
)


class Catalog:
    """The facts of one data folder.

    Every subfolder that holds `instances.csv` is a cloud; this class names no cloud. A file is read when a query first
    needs it, so an error in a file is raised by that query.
    """

    prices_since: date | None = None
    """Day before which instance prices are too old to be used; None uses prices of every age."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise CatalogError(f"catalog folder {folder}: no such folder; give one that holds gpus.yaml")
        self.folder = folder
        self.layers: tuple[PriceLayer, ...] = ()

    @classmethod
    def load(cls, folder: Path | None = None) -> "Catalog":
        """The packaged catalog with the prices of the last refresh; or, without them, the catalog in `folder`.

        Raises:
            CatalogError: `folder` does not exist, or a file of refreshed prices is broken.
        """
        if folder is not None:
            return cls(folder)
        kept = live_folder()
        live = None if kept is None else read_live(kept)
        return cls.packaged() if live is None else cls.packaged().under(live)

    @classmethod
    def packaged(cls) -> "Catalog":
        """The installed catalog without refreshed prices; the process shares one instance."""
        return _packaged()

    def under(self, layer: PriceLayer) -> "Catalog":
        """A catalog with the same facts, in which the prices of `layer` take the place of its own."""
        other = self._with_other_prices()
        other.layers = (*self.layers, layer)
        return other

    def since(self, day: date) -> "Catalog":
        """A catalog with the same facts that leaves out the instance prices that may date from before `day`.

        Negotiated prices stay: they hold for the term of their contract.
        """
        other = self._with_other_prices()
        other.prices_since = day
        return other

    def _with_other_prices(self) -> "Catalog":
        other = copy(self)
        for name in _FOLLOWS_PRICES:
            other.__dict__.pop(name, None)
        return other

    @cached_property
    def version(self) -> str:
        """The first 12 hex digits of a SHA-256 over the data files, except those of models, and the price layers."""
        digest = hashlib.sha256()
        for path in self._data_files():
            content = path.read_bytes()
            # The length separates a file's content from the next file's name.
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
        for layer in self.layers:
            digest.update(f"\0{layer.digest}".encode())
        if self.prices_since is not None:
            digest.update(f"\0since {self.prices_since}".encode())
        return digest.hexdigest()[:12]

    @cached_property
    def prices_as_of(self) -> str:
        """The newest date of a known price: an ISO date, a month or a year; empty without prices."""
        provenances = [price.provenance for price in self.instance_prices]
        provenances += [price.provenance for price in self.service_prices if price.unit_price_usd is not None]
        return max((provenance.as_of for provenance in provenances), default="")

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """Names of the clouds, sorted."""
        return tuple(sorted(path.parent.name for path in self.folder.glob(f"*/{_INSTANCES}")))

    @cached_property
    def gpus(self) -> Mapping[str, Gpu]:
        """The GPUs by name, without aliases."""
        path = self.folder / "gpus.yaml"
        return MappingProxyType(_unique(((gpu.name, gpu) for gpu in _yaml_facts(path, Gpu)), path))

    @cached_property
    def instance_types(self) -> Mapping[tuple[str, str], InstanceType]:
        """The instance types by provider and name.

        Raises:
            CatalogError: a row is broken or repeated, or names a GPU that gpus.yaml does not hold.
        """
        types: dict[tuple[str, str], InstanceType] = {}
        for provider in self.providers:
            path = self.folder / provider / _INSTANCES
            for line, row in read_csv(path):
                where = f"{path}, line {line}"
                instance_type = fact(InstanceType, {"provider": provider, **row}, where)
                key = (provider, instance_type.name)
                if key in types:
                    raise CatalogError(f"{where}: {instance_type.name} has two rows; remove one")
                if instance_type.gpu not in self.gpus:
                    raise CatalogError(f"{where}: {_unknown('gpu', instance_type.gpu, self.gpus)}")
                types[key] = instance_type
        types |= {(added.provider, added.name): added for layer in self.layers for added in layer.instance_types}
        return MappingProxyType(types)

    @cached_property
    def prices(self) -> PriceBook:
        """All prices of all clouds."""
        return PriceBook(self.instance_prices, self._listed_service_prices)

    @cached_property
    def instance_prices(self) -> tuple[InstancePrice, ...]:
        """All instance prices, cloud by cloud, without those that are too old."""
        return tuple(price for price in self._laid_instance_prices if not self._is_too_old(price))

    @cached_property
    def outdated_prices(self) -> PriceBook:
        """The instance prices that are left out because they may date from before `prices_since`."""
        return PriceBook((price for price in self._laid_instance_prices if self._is_too_old(price)), ())

    @cached_property
    def _laid_instance_prices(self) -> tuple[InstancePrice, ...]:
        prices = tuple(p for name in self.providers for p in read_instance_prices(self.folder / name, name))
        for layer in self.layers:
            prices = lay_instances(prices, layer)
        return prices

    def _is_too_old(self, price: InstancePrice) -> bool:
        if self.prices_since is None or price.provenance.kind == "negotiated":
            return False
        dated = first_day(price.provenance.as_of)
        return dated is None or dated < self.prices_since

    @cached_property
    def service_prices(self) -> tuple[ServicePrice, ...]:
        """All prices of services, cloud by cloud; a service without a sourced price has the price None."""
        regions = {name: tuple(self.provider_defaults(name).default_zones) for name in self.providers}
        return tuple(in_each_region(self._listed_service_prices, regions))

    @cached_property
    def _listed_service_prices(self) -> tuple[ServicePrice, ...]:
        """The prices as they are listed: one row may hold in every region of its cloud."""
        prices = tuple(p for name in self.providers for p in read_service_prices(self.folder / name, name))
        for layer in self.layers:
            prices = lay_services(prices, layer.services)
        return prices

    def regions(self, provider: str) -> tuple[str, ...]:
        """The regions of the cloud that have prices or a default zone, sorted."""
        named = {price.region for price in self.instance_prices if price.provider == provider}
        return tuple(sorted(named | set(self.provider_defaults(provider).default_zones)))

    def zones(self, provider: str, region: str, instance_type: str) -> tuple[str, ...] | None:
        """The zones in which the type is sold or has a price, sorted; None for a cloud whose zones are not recorded."""
        known = self._zones.get(provider)
        if not known:
            return None
        row = known.get((region, instance_type))
        return tuple(sorted({*(row.zones if row else ()), *self.prices.zones(provider, region, instance_type)}))

    @cached_property
    def _zones(self) -> Mapping[str, Mapping[tuple[str, str], InstanceZones]]:
        return {provider: read_zones(self.folder / provider) for provider in self.providers}

    @cached_property
    def shared_file_systems(self) -> Mapping[str, tuple[FileSystemSku, ...]]:
        """The shared file systems by provider, in the order of the file."""
        return MappingProxyType(
            {
                provider: tuple(
                    _yaml_facts(self.folder / provider / "shared_file_systems.yaml", FileSystemSku, provider)
                )
                for provider in self.providers
            }
        )

    @cached_property
    def interruptions(self) -> tuple[InterruptionRecord, ...]:
        """Published interruptions of training; a folder without interruptions.yaml uses the packaged file."""
        path = self.folder / "interruptions.yaml"
        return tuple(_yaml_facts(path if path.is_file() else PACKAGED_DATA / path.name, InterruptionRecord))

    @cached_property
    def interruption_causes(self) -> Mapping[Cause, float]:
        """The share of each cause in all interruptions; the shares sum to 1."""
        return MappingProxyType(cause_shares(self.interruptions))

    def interruption_rate(self, generation: str) -> InterruptionRate:
        """The rate at which one GPU of a generation interrupts training, per hour, with its range."""
        if generation not in self._interruption_rates:
            self._interruption_rates[generation] = interruption_rate(self.interruptions, generation)
        return self._interruption_rates[generation]

    @cached_property
    def _interruption_rates(self) -> dict[str, InterruptionRate]:
        return {}

    @cached_property
    def software(self) -> SoftwareMatrix:
        """The software matrix of the folder; a folder without software.yaml uses the packaged matrix."""
        return SoftwareMatrix(self.folder if (self.folder / "software.yaml").is_file() else PACKAGED_DATA)

    def gpu(self, name: str) -> Gpu:
        """The GPU of that name or alias.

        Raises:
            CatalogError: no GPU has that name; the message suggests a similar one.
        """
        if name in self._gpus_by_any_name:
            return self._gpus_by_any_name[name]
        raise CatalogError(_unknown("gpu", name, self._gpus_by_any_name))

    def instance_type(self, provider: str, name: str) -> InstanceType:
        """The instance type of that name.

        Raises:
            CatalogError: the provider or the name is unknown; the message suggests a similar one.
        """
        self._require_provider(provider)
        if (provider, name) in self.instance_types:
            return self.instance_types[provider, name]
        elsewhere = [p for p, known in self.instance_types if known == name]
        if elsewhere:
            raise CatalogError(
                f"instance_type {name!r} belongs to {elsewhere[0]}, not to {provider}; change the name or the provider"
            )
        raise CatalogError(
            _unknown(f"{provider} instance_type", name, [known for p, known in self.instance_types if p == provider])
        )

    def shared_file_system(self, provider: str, sku: str) -> FileSystemSku:
        """The shared file system of that SKU.

        Raises:
            CatalogError: the provider or the SKU is unknown; the message suggests a similar one.
        """
        self._require_provider(provider)
        by_sku = {system.sku: system for system in self.shared_file_systems[provider]}
        if sku in by_sku:
            return by_sku[sku]
        raise CatalogError(_unknown(f"{provider} shared file system", sku, by_sku))

    def provider_defaults(self, provider: str) -> ProviderDefaults:
        """The defaults of a cloud, which a plan uses where the spec says nothing.

        Raises:
            CatalogError: the provider is unknown, or its defaults.yaml is broken.
        """
        self._require_provider(provider)
        if provider not in self._defaults:
            path = self.folder / provider / "defaults.yaml"
            packaged = fact(ProviderDefaults, {"provider": provider, **_mapping(path)}, str(path))
            added = {new.region: new.zone for layer in self.layers for new in layer.regions if new.provider == provider}
            zones = {**packaged.default_zones, **added}
            self._defaults[provider] = packaged.model_copy(update={"default_zones": zones}) if added else packaged
        return self._defaults[provider]

    def reported_memory_bytes(self, gpu: Gpu) -> int:
        """The smallest memory that an instance type reports for the GPU, else the marketed size.

        An "80 GB" H100 reports 81,559 MiB.
        """
        reported = (kind.gpu_memory_mib for kind in self.instance_types.values() if kind.gpu == gpu.name)
        return min((mib * _MIB for mib in reported), default=int(gpu.memory_gb * 1e9))

    def visible_memory_bytes(self, gpu: Gpu) -> int:
        """The memory that a process sees as the total of the GPU, in bytes."""
        return visible_memory_bytes(gpu, self.reported_memory_bytes(gpu))

    def topology(self, instance_type: InstanceType) -> NodeTopology:
        """The links of a node of that type: between its own GPUs, and to other nodes."""
        gpu, wiring = self.gpu(instance_type.gpu), self._wiring(instance_type.provider)
        linked = instance_type.nvlink or (gpu.links == "bridge" and instance_type.gpus > 1)
        node, network = wiring.node(instance_type), wiring.network(instance_type.fabric)
        return NodeTopology(
            gpu=gpu,
            gpus=instance_type.gpus,
            gpu_memory_bytes=instance_type.gpu_memory_mib * _MIB,
            nvlink_gb_per_s=gpu.nvlink_gb_per_s if linked else 0,
            nic_gbit_per_s=instance_type.nic_gbit_per_s,
            fabric=instance_type.fabric,
            cards=instance_type.rdma_cards or instance_type.network_cards,
            gpus_per_pcie_switch=node.gpus_per_pcie_switch if node else None,
            gpus_per_numa_node=node.gpus_per_numa_node if node else None,
            paths=network.paths if network else "unknown",
        )

    def node_wiring(self, instance_type: InstanceType) -> NodeWiring | None:
        """The positions of GPUs and network cards in that type, with the source; None if nothing is published."""
        return self._wiring(instance_type.provider).node(instance_type)

    def fabric_wiring(self, instance_type: InstanceType) -> FabricWiring | None:
        """The network between nodes of that type, with the source; None if nothing is known."""
        return self._wiring(instance_type.provider).network(instance_type.fabric)

    def collectives(self, instance_type: InstanceType) -> tuple[Variable, ...]:
        """The environment variables of NCCL or RCCL and libfabric for that type, each with its reason.

        Raises:
            CatalogError: the cloud's collectives.yaml is broken, or contradicts itself.
        """
        return self._collectives(instance_type.provider).environment(instance_type)

    def model(self, reference: str | Mapping[str, object], folder: Path | None = None) -> "ModelArchitecture":
        """The architecture of a preset, of a `config.json` or a folder that holds one, or of a nominal size.

        Args:
            reference: Preset name, path, or a mapping such as `{parameters: 65B}`.
            folder: The folder that relative paths start from; None means the working directory.

        Raises:
            CatalogError: nothing has that name or path, or the configuration is not that of a readable decoder.
        """
        # Imported here: queries of hardware and prices then start without the readers of model configurations.
        from provider_catalog.models import load_model

        return load_model(reference, folder)

    def _wiring(self, provider: str) -> Wiring:
        path = self.folder / provider / "topology.yaml"
        if provider not in self._wirings:
            self._wirings[provider] = fact(Wiring, _mapping(path), str(path)) if path.is_file() else Wiring()
        return self._wirings[provider]

    def _collectives(self, provider: str) -> CollectiveEnvironment:
        path = self.folder / provider / "collectives.yaml"
        if provider not in self._environments:
            known = (
                fact(CollectiveEnvironment, _mapping(path), str(path)) if path.is_file() else CollectiveEnvironment()
            )
            self._environments[provider] = known
        return self._environments[provider]

    @cached_property
    def _wirings(self) -> dict[str, Wiring]:
        return {}

    @cached_property
    def _environments(self) -> dict[str, CollectiveEnvironment]:
        return {}

    @cached_property
    def _gpus_by_any_name(self) -> Mapping[str, Gpu]:
        named = ((name, gpu) for gpu in self.gpus.values() for name in (gpu.name, *gpu.aliases))
        return _unique(named, self.folder / "gpus.yaml")

    @cached_property
    def _defaults(self) -> dict[str, ProviderDefaults]:
        return {}

    def _require_provider(self, provider: str) -> None:
        if provider not in self.providers:
            raise CatalogError(_unknown("provider", provider, self.providers))

    def _data_files(self) -> list[Path]:
        folders = [self.folder, *(p for p in self.folder.iterdir() if p.is_dir() and p.name != _MODELS_FOLDER)]
        files = (path for folder in folders for path in folder.iterdir() if path.suffix in {".csv", ".yaml"})
        return sorted(files, key=lambda path: path.relative_to(self.folder).as_posix())


@cache
def _packaged() -> Catalog:
    return Catalog(PACKAGED_DATA)


def _mapping(path: Path) -> dict[str, Any]:
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise CatalogError(f"{path}: expected a mapping at the top, found {kind_of(document)}")
    return document


def _yaml_facts(path: Path, model: type[_YamlT], provider: str | None = None) -> Iterator[_YamlT]:
    document = read_yaml(path)
    if not isinstance(document, list):
        raise CatalogError(f"{path}: expected a list of entries at the top, found {kind_of(document)}")
    owner = {} if provider is None else {"provider": provider}
    for number, row in enumerate(document, start=1):
        if not isinstance(row, dict):
            raise CatalogError(f"{path}, entry {number}: expected a mapping, found {kind_of(row)}")
        yield fact(model, owner | row, f"{path}, entry {number} ({row.get('name', row.get('sku', 'unnamed'))})")


def _unique(named: Iterable[tuple[str, _ValueT]], path: Path) -> dict[str, _ValueT]:
    found: dict[str, _ValueT] = {}
    for name, value in named:
        if name in found:
            raise CatalogError(f"{path}: {name} occurs twice; remove or rename one")
        found[name] = value
    return found


def _unknown(field: str, value: str, known: Iterable[str]) -> str:
    names = sorted(known)
    return f"unknown {field} {value!r}; {did_you_mean(value, names)}known: {', '.join(names)}"
