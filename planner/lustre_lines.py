"""What the options of a shared file system put on the bill, and which of them a deployment type has."""

from typing import Final

from planner.cost import ServiceLine
from planner.errors import SpecError
from planner.plan import SharedStorage
from planner.spec import Lustre
from provider_catalog.hardware import NodeTopology
from provider_catalog.storage import FileSystemSku

METADATA_IOPS_OF_SIZE: Final = ((1_200, 1_500), (2_400, 3_000), (9_600, 6_000), (45_600, 12_000))
"""Up to a size in GiB, and the metadata IOPS that come with it; above, 12000 for every 24000 GiB (FSx for Lustre guide,
"File system metadata performance")."""


def check_lustre(lustre: Lustre, system: FileSystemSku) -> None:
    """Refuses options that the SKU does not have.

    Raises:
        SpecError: an option was changed that this deployment type, or this cloud, does not know.
    """
    for name, field in Lustre.model_fields.items():
        if getattr(lustre, name) != field.default and name not in system.options:
            allowed = ", ".join(system.options) or "none of storage.lustre"
            raise SpecError(
                f"storage.lustre.{name}: {system.sku} does not have it; it has {allowed}. Leave it out, or name "
                "another file system in storage.shared_sku"
            )


def no_efa_client(lustre: Lustre, system: FileSystemSku, instance_type: str, node: NodeTopology) -> str | None:
    """Why nodes of a type cannot reach the file system over EFA; None when they can or need not."""
    if not lustre.efa:
        return None
    family = instance_type.split(".")[0]
    if node.fabric == "efa" and family not in system.efa_not_from:
        return None
    return f"cannot be a client of {system.sku} over EFA, which storage.lustre.efa asks for"


def lustre_lines(lustre: Lustre, storage: SharedStorage | None) -> tuple[ServiceLine, ...]:
    """Metadata operations beyond those of the size, and backups at the size of the file system."""
    if storage is None:
        return ()
    lines = []
    more_iops = (lustre.metadata_iops or 0) - included_metadata_iops(storage.size_gib)
    if more_iops > 0:
        lines.append(
            ServiceLine(
                "metadata IOPS beyond those of the size",
                "shared_metadata",
                "storage",
                "lustre_metadata_iops_month",
                more_iops,
                "IOPS-month",
            )
        )
    if lustre.backup_days:
        # Incremental, and of what is stored: the full size once is an upper bound for slowly changing files.
        lines.append(
            ServiceLine(
                "backups of the shared file system, at its full size",
                "shared_backups",
                "storage",
                "lustre_backup_gb_month",
                storage.size_gib,
                "GiB-month",
            )
        )
    return tuple(lines)


def included_metadata_iops(size_gib: int) -> int:
    """Metadata IOPS that a PERSISTENT_2 file system of that size has without paying for more."""
    for largest_gib, iops in METADATA_IOPS_OF_SIZE:
        if size_gib <= largest_gib:
            return iops
    return size_gib // 24_000 * 12_000
