"""Shared file systems and their legal sizes; object stores."""

from typing import Literal

from pydantic import Field

from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact


class ObjectStore(Fact):
    """A cloud's object store, as a target of checkpoints."""

    name: str
    node_gb_per_s: float = Field(gt=0)
    """What one node writes or reads, 10^9 bytes a second."""
    write_gb_per_s: float = Field(gt=0)
    """What all nodes together write to one bucket or account."""
    read_gb_per_s: float = Field(gt=0)
    source: str


class SharedFileSystem(Fact):
    """One SKU of a managed Lustre service."""

    provider: str
    sku: str
    """Key of its price, and the name the cloud's construct understands."""
    deployment_type: str
    throughput_mb_per_s_per_tib: int = Field(gt=0)
    """Baseline, 10^6 bytes a second per TiB of storage."""
    write_mb_per_s_per_tib: int | None = Field(default=None, gt=0)
    """Where writing is slower than reading."""
    client_gbit_per_s: float = Field(default=100, gt=0)
    """Most that one node exchanges with it."""
    efa_client_gbit_per_s: float | None = Field(default=None, gt=0)
    """The same over EFA."""
    sizes_gib: tuple[int, ...] = Field(min_length=1)
    """Legal sizes below the step, smallest first."""
    step_gib: int = Field(gt=0)
    """Above the last of sizes_gib: multiples of this."""
    max_gib: int | None = Field(default=None, gt=0)
    """Largest size without asking the provider; None where it states none."""
    persistent: bool
    """False: data is lost when a file server fails."""
    options: tuple[Literal["compression", "metadata_iops", "efa", "backup_days", "data_repositories"], ...] = ()
    """What of a spec's storage.lustre the deployment type has."""
    efa_step_gib: int | None = Field(default=None, gt=0)
    """With EFA between clients and servers: sizes are multiples of this."""
    efa_not_from: tuple[str, ...] = ()
    """Instance families that cannot be clients over EFA."""
    source: str
    as_of: str

    def legal_size_gib(self, requested_gib: float, *, efa: bool = False) -> int:
        """The smallest size on sale that holds `requested_gib`, without or with EFA to its clients.

        Raises:
            CatalogError: the request is not positive, or larger than the largest size on sale.
        """
        if requested_gib <= 0:
            raise CatalogError(f"{self.sku}: a file system needs a positive size, not {requested_gib} GiB")
        if self.max_gib is not None and requested_gib > self.max_gib:
            raise CatalogError(
                f"{self.sku}: {requested_gib:g} GiB is more than the {self.max_gib} GiB it holds without a support "
                "request; ask for less, or choose a SKU with a larger maximum"
            )
        if efa and self.efa_step_gib is not None:
            return -int(-requested_gib // self.efa_step_gib) * self.efa_step_gib
        for size_gib in self.sizes_gib:
            if size_gib >= requested_gib:
                return size_gib
        return -int(-requested_gib // self.step_gib) * self.step_gib
