"""Options of a managed Lustre file system, beyond its size and SKU."""

from typing import Literal

from pydantic import Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.text import BucketUrl, MountFolder

METADATA_IOPS = (1500, 3000, 6000, *range(12_000, 192_001, 12_000))
"""FSx API reference, FileSystemLustreMetadataConfiguration, Iops of SSD file systems."""

DataRepositoryEvent = Literal["new", "changed", "deleted"]


class DataRepository(SpecModel):
    """A bucket whose objects appear as files below a path of the file system."""

    bucket: BucketUrl = Field(description="s3://bucket or s3://bucket/prefix")
    path: MountFolder = Field(default="/data", description="Folder of the file system")
    import_events: tuple[DataRepositoryEvent, ...] = Field(
        default=("new", "changed", "deleted"), description="What happens in the bucket and is followed in the folder"
    )
    export_events: tuple[DataRepositoryEvent, ...] = Field(
        default=(), description="What happens in the folder and is written to the bucket"
    )


class Lustre(SpecModel):
    """FSx for Lustre. What a deployment type does not have is refused."""

    compression: Literal["lz4", "none"] = Field(default="lz4", description="Of files, as they are written")
    metadata_iops: int | None = Field(
        default=None, description="PERSISTENT_2: disk operations of the metadata server; None: what comes with the size"
    )
    efa: bool = Field(default=False, description="PERSISTENT_2: clients reach the file servers over EFA")
    backup_days: int = Field(
        default=0, ge=0, le=90, description="Persistent types: days that daily backups are kept; 0: none are made"
    )
    data_repositories: tuple[DataRepository, ...] = Field(
        default=(), max_length=8, description="Buckets whose objects appear as files; at most 8"
    )

    @model_validator(mode="after")
    def _legal(self) -> "Lustre":
        if self.metadata_iops is not None and self.metadata_iops not in METADATA_IOPS:
            raise ValueError(
                f"metadata_iops {self.metadata_iops} is not on sale: 1500, 3000, 6000, and multiples of 12000 up to "
                "192000 are"
            )
        if self.backup_days and self.data_repositories:
            raise ValueError(
                "backup_days and data_repositories exclude each other: a file system linked to a bucket has no "
                "backups, the bucket keeps the data; leave one out"
            )
        paths = [repository.path.rstrip("/") for repository in self.data_repositories]
        for index, path in enumerate(paths):
            others = paths[:index] + paths[index + 1 :]
            if any(f"{path}/".startswith(f"{other}/") for other in others):
                raise ValueError(
                    f"data_repositories[{index}].path {path or '/'} is inside that of another one; give each a folder "
                    "apart"
                )
        return self
