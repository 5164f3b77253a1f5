"""Shared file systems with their purchasable sizes, and object stores."""

from typing import Literal

from pydantic import Field

from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact


class ObjectStore(Fact):
    """The object store of a cloud, as a target of checkpoints."""

    name: str
    node_gb_per_s: float = Field(gt=0)
    """Rate at which one node writes or reads, in 10^9 bytes a second."""
    write_gb_per_s: float = Field(gt=0)
    """Rate at which all nodes together write to one bucket or account, in 10^9 bytes a second."""
    read_gb_per_s: float = Field(gt=0)
    """Rate at which all nodes together read, in 10^9 bytes a second."""
    source: str


class EfaClients(Fact):
    """Limits of clients that reach a managed Lustre file system over EFA."""

    connections: int = Field(gt=0)
    """Largest number of EFA connections of one file system; each interface of each client is one."""
    interfaces: dict[str, int]
    """Interfaces that a client uses, by instance type."""
    several_cards: int = Field(gt=0)
    """Interfaces of other instance types that have several network cards."""
    single_card: int = Field(gt=0)
    """Interfaces of other instance types that have one network card."""
    source: str

    def interfaces_of(self, instance_type: str, cards: int) -> int:
        """Return the number of EFA interfaces that a client of this type uses, of the EFA cards that it has."""
        others = self.several_cards if cards > 1 else self.single_card
        return min(cards, self.interfaces.get(instance_type, others))

    def most_clients(self, instance_type: str, cards: int) -> int:
        """Return the largest number of clients of this type that one file system accepts."""
        return self.connections // self.interfaces_of(instance_type, cards)


class FileSystemSku(Fact):
    """One SKU of a managed Lustre service: its throughput, its sizes and its features."""

    provider: str
    sku: str
    """Name of the SKU, which is the key of its price and is understood by the cloud's construct."""
    deployment_type: str
    throughput_mb_per_s_per_tib: int = Field(gt=0)
    """Baseline throughput in 10^6 bytes a second per TiB of storage."""
    write_mb_per_s_per_tib: int | None = Field(default=None, gt=0)
    """Write throughput in the same unit, where it is lower; None where it equals the baseline."""
    client_gbit_per_s: float = Field(default=100, gt=0)
    """Largest throughput of one node."""
    efa_client_gbit_per_s: float | None = Field(default=None, gt=0)
    """Largest throughput of one node over EFA; None without EFA."""
    sizes_gib: tuple[int, ...] = Field(min_length=1)
    """Purchasable sizes up to the largest of this list, smallest first."""
    step_gib: int = Field(gt=0)
    """Step of the purchasable sizes above the last of `sizes_gib`: all multiples of it."""
    max_gib: int | None = Field(default=None, gt=0)
    """Largest size without a support request; None where the provider states no limit."""
    persistent: bool
    """Whether data survives the failure of a file server."""
    options: tuple[Literal["compression", "metadata_iops", "efa", "backup_days", "data_repositories"], ...] = ()
    """Options of a spec's `storage.lustre` that the deployment type supports."""
    efa_step_gib: int | None = Field(default=None, gt=0)
    """Step of the purchasable sizes with EFA between clients and servers; None where EFA does not restrict sizes."""
    efa_not_from: tuple[str, ...] = ()
    """Instance families that cannot be clients over EFA."""
    source: str
    as_of: str

    def legal_size_gib(self, requested_gib: float, *, efa: bool = False) -> int:
        """Round `requested_gib` up to a purchasable size.

        Args:
            requested_gib: The capacity that is needed.
            efa: Whether clients connect over EFA.

        Raises:
            CatalogError: the request is not positive, or exceeds the largest purchasable size.
        """
        if requested_gib <= 0:
            raise CatalogError(f"{self.sku}: a file system needs a positive size, not {requested_gib} GiB")
        if self.max_gib is not None and requested_gib > self.max_gib:
            raise CatalogError(
                f"{self.sku}: {requested_gib:,.0f} GiB exceeds {self.max_gib:,} GiB, the largest size without a "
                "support request; use less, or choose a SKU with a larger maximum"
            )
        if efa and self.efa_step_gib is not None:
            return -int(-requested_gib // self.efa_step_gib) * self.efa_step_gib
        for size_gib in self.sizes_gib:
            if size_gib >= requested_gib:
                return size_gib
        return -int(-requested_gib // self.step_gib) * self.step_gib
