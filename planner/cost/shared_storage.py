"""The shared file system to provision: its SKU and a purchasable size."""

from planner.errors import SpecError
from planner.market.lustre import check_lustre
from planner.market.machines import OWN, Machine
from planner.plan.plan import SharedStorage
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError


def shared_storage(spec: ClusterSpec, catalog: Catalog, machine: Machine) -> SharedStorage | None:
    """The file system on order, at the smallest size on sale that holds the request; None on one's own hardware.

    Raises:
        SpecError: the provider sells no such SKU.
    """
    if machine.provider == OWN:
        return None
    sku = spec.storage.shared_sku or catalog.provider_defaults(machine.provider).shared_file_system
    try:
        system = catalog.shared_file_system(machine.provider, sku)
    except CatalogError as error:
        raise SpecError(f"storage.shared_sku: {error}") from error
    check_lustre(spec.storage.lustre, system)
    requested_gib = spec.storage.shared_tib * 1024
    size_gib = system.legal_size_gib(requested_gib, efa=spec.storage.lustre.efa)
    return SharedStorage(
        sku=sku,
        deployment_type=system.deployment_type,
        size_gib=size_gib,
        requested_gib=requested_gib,
        throughput_mb_per_s=size_gib / 1024 * system.throughput_mb_per_s_per_tib,
        throughput_mb_per_s_per_tib=system.throughput_mb_per_s_per_tib,
    )
