"""Places where nodes stand: a cloud of the catalog, or the premises of the user."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from planner.errors import SpecError
from planner.market.lustre import check_lustre
from planner.plan.choice import SharedStorage
from planner.reliability.checkpoint_stores import file_system_store, object_store
from planner.reliability.checkpoints import ON_PREM_STORAGE, CheckpointStore
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from provider_catalog.collective_environment import Variable
from provider_catalog.defaults import OrchestratorDefaults, ProviderDefaults
from provider_catalog.errors import CatalogError
from provider_catalog.hardware import InstanceType
from provider_catalog.storage import FileSystemSku

ON_PREM_PROVIDER: Final = "own"
"""Value of `provider` and `region` in a plan whose nodes are those of `pin.node`."""


class Place(Protocol):
    """Facts about the place where nodes stand that planning needs."""

    @property
    def owned(self) -> bool:
        """Whether the user owns the nodes, so that idle hours cost as much as busy ones."""
        ...

    @property
    def defaults(self) -> ProviderDefaults | None:
        """Services and defaults of the cloud; None on premises."""
        ...

    def instance_type(self, name: str) -> InstanceType | None:
        """Returns the instance type of that name; None on premises.

        Raises:
            CatalogError: the cloud sells no such type.
        """
        ...

    def orchestrator(self, name: str) -> OrchestratorDefaults | None:
        """Returns the nodes and services that the orchestrator adds to the bill; None on premises."""
        ...

    def shared_storage(self, spec: ClusterSpec) -> SharedStorage | None:
        """Returns the shared file system to provision, rounded up to a purchasable size; None on premises.

        Raises:
            SpecError: the cloud sells no such SKU, or the SKU lacks an option of `storage.lustre`.
        """
        ...

    def checkpoint_stores(self, spec: ClusterSpec, nic_gbit_per_s: float) -> tuple[CheckpointStore, ...]:
        """Returns the stores that checkpoints can be written to, the preferred one first.

        Raises:
            SpecError: the spec sends checkpoints to a store that this place does not have.
        """
        ...

    def network(self, name: str) -> tuple[str, tuple[Variable, ...]]:
        """Returns the network between nodes of a type in words, and the environment variables of its fabric."""
        ...


@dataclass(frozen=True, eq=False)
class CloudPlace:
    """A cloud of the catalog."""

    provider: str
    catalog: Catalog
    owned: Final = False

    @property
    def defaults(self) -> ProviderDefaults:
        """See `Place`."""
        return self.catalog.provider_defaults(self.provider)

    def instance_type(self, name: str) -> InstanceType:
        """See `Place`."""
        return self.catalog.instance_type(self.provider, name)

    def orchestrator(self, name: str) -> OrchestratorDefaults:
        """See `Place`."""
        return self.defaults.orchestrators[name]

    def file_system(self, spec: ClusterSpec) -> FileSystemSku:
        """Returns the shared file system that the spec names, else the default of the cloud.

        Raises:
            SpecError: the cloud sells no such SKU.
        """
        try:
            return self.catalog.shared_file_system(
                self.provider, spec.storage.shared_sku or self.defaults.shared_file_system
            )
        except CatalogError as error:
            raise SpecError(f"storage.shared_sku: {error}") from error

    def shared_storage(self, spec: ClusterSpec) -> SharedStorage | None:
        """See `Place`."""
        if not spec.storage.shared_tib:
            return None
        system = self.file_system(spec)
        check_lustre(spec.storage.lustre, system)
        requested_gib = spec.storage.shared_tib * 1024
        try:
            size_gib = system.legal_size_gib(requested_gib, efa=spec.storage.lustre.efa)
        except CatalogError as error:
            raise SpecError(f"storage.shared_tib is {spec.storage.shared_tib:g}: {error}") from error
        return SharedStorage(
            sku=system.sku,
            deployment_type=system.deployment_type,
            size_gib=size_gib,
            requested_gib=requested_gib,
            throughput_mb_per_s=size_gib / 1024 * system.throughput_mb_per_s_per_tib,
            throughput_mb_per_s_per_tib=system.throughput_mb_per_s_per_tib,
        )

    def checkpoint_stores(self, spec: ClusterSpec, nic_gbit_per_s: float) -> tuple[CheckpointStore, ...]:
        """See `Place`."""
        shared, stores = self.shared_storage(spec), []
        if shared is not None:
            system = self.file_system(spec)
            stores.append(file_system_store(system, shared.size_gib, nic_gbit_per_s, spec.storage.lustre.efa))
        if self.defaults.object_store is not None:
            stores.append(object_store(self.defaults.object_store, nic_gbit_per_s))
        _check_checkpoint_target(spec, self.provider, stores)
        return tuple(stores)

    def network(self, name: str) -> tuple[str, tuple[Variable, ...]]:
        """See `Place`."""
        instance_type = self.instance_type(name)
        known = self.catalog.fabric_wiring(instance_type)
        words = f"{known.note} ({known.source})" if known else "no published description"
        return words, self.catalog.collectives(instance_type)


@dataclass(frozen=True, eq=False)
class OnPremises:
    """The premises of the user: nothing is sold there, and the spec is the only source of facts."""

    owned: Final = True
    defaults: Final[None] = None

    def instance_type(self, name: str) -> None:
        """See `Place`."""

    def orchestrator(self, name: str) -> None:
        """See `Place`."""

    def shared_storage(self, spec: ClusterSpec) -> None:
        """See `Place`."""

    def checkpoint_stores(self, spec: ClusterSpec, nic_gbit_per_s: float) -> tuple[CheckpointStore, ...]:
        """See `Place`."""
        del nic_gbit_per_s
        _check_checkpoint_target(spec, ON_PREM_PROVIDER, (ON_PREM_STORAGE,))
        return (ON_PREM_STORAGE,)

    def network(self, name: str) -> tuple[str, tuple[Variable, ...]]:
        """See `Place`."""
        del name
        return "on-premises network, not described", ()


ON_PREMISES: Final = OnPremises()


def place_of(provider: str, catalog: Catalog) -> Place:
    """Returns the place for the provider of a plan."""
    return ON_PREMISES if provider == ON_PREM_PROVIDER else CloudPlace(provider, catalog)


def _check_checkpoint_target(spec: ClusterSpec, provider: str, stores: Iterable[CheckpointStore]) -> None:
    if spec.workload.kind == "inference":
        return
    target = spec.workload.fault_tolerance.checkpoint_to
    if not spec.storage.shared_tib and provider != ON_PREM_PROVIDER:
        _check_object_store(spec, provider, stores, target)
    wants_objects = target == "object_store"
    if wants_objects and all(store.target != "object_store" for store in stores):
        raise SpecError(
            f"workload.fault_tolerance.checkpoint_to is object_store, and {provider} has no known object store;"
            " use auto, and give the speed of on-premises storage in storage_gb_per_s"
        )


def _check_object_store(spec: ClusterSpec, provider: str, stores: Iterable[CheckpointStore], target: str) -> None:
    """Refuses a training run without a shared file system whose checkpoints have no object store either."""
    if target == "shared_file_system":
        raise SpecError(
            "workload.fault_tolerance.checkpoint_to is shared_file_system, and storage.shared_tib is 0, so that there"
            " is none; use auto or object_store, or give storage.shared_tib a size"
        )
    if not any(stores):
        raise SpecError(
            f"storage.shared_tib is 0, and nothing is known of an object store on {provider}: a training run has"
            " nowhere to write checkpoints; give storage.shared_tib a size"
        )
    if not spec.storage.checkpoints_tib:
        raise SpecError(
            "storage.shared_tib and storage.checkpoints_tib are both 0: a training run has nowhere to write"
            " checkpoints; give storage.checkpoints_tib the size of the checkpoints that are kept, or give"
            " storage.shared_tib a size"
        )
