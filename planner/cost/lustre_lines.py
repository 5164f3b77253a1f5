"""Lines of the bill for options of the shared file system: metadata IOPS and backups."""

from typing import Final

from planner.cost.bill import ServiceLine
from planner.plan.choice import SharedStorage
from planner.spec import Lustre

METADATA_IOPS_OF_SIZE: Final = ((1_200, 1_500), (2_400, 3_000), (9_600, 6_000), (45_600, 12_000))
"""(Largest size in GiB, included metadata IOPS); above the last size, 12000 IOPS for every 24000 GiB (FSx for Lustre
guide, "File system metadata performance")."""


def lustre_lines(lustre: Lustre, storage: SharedStorage | None) -> tuple[ServiceLine, ...]:
    """Returns the lines for metadata IOPS beyond the included ones, and for backups at the size of the file system."""
    if storage is None:
        return ()
    lines = []
    more_iops = (lustre.metadata_iops or 0) - included_metadata_iops(storage.size_gib)
    if more_iops > 0:
        lines.append(
            ServiceLine(
                "metadata IOPS beyond the included ones",
                "shared_metadata",
                "storage",
                "lustre_metadata_iops_month",
                more_iops,
                "IOPS-month",
            )
        )
    if lustre.backup_days:
        # Backups are incremental and cover stored data, so one full size is an upper bound for slowly changing files.
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
    """Returns the metadata IOPS that are included in a PERSISTENT_2 file system of that size."""
    for largest_gib, iops in METADATA_IOPS_OF_SIZE:
        if size_gib <= largest_gib:
            return iops
    return size_gib // 24_000 * 12_000
