"""What the options of a shared file system put on the bill, and which of them a deployment type has."""

from typing import Final

from planner.cost.bill import ServiceLine
from planner.plan.plan import SharedStorage
from planner.spec import Lustre

METADATA_IOPS_OF_SIZE: Final = ((1_200, 1_500), (2_400, 3_000), (9_600, 6_000), (45_600, 12_000))
"""Up to a size in GiB, and the metadata IOPS that come with it; above, 12000 for every 24000 GiB (FSx for Lustre guide,
"File system metadata performance")."""


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
