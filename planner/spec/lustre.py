"""Spec models for a managed Lustre file system, except its size and SKU."""

from typing import Literal

from pydantic import Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.text import BucketUrl, MountFolder

METADATA_IOPS = (1500, 3000, 6000, *range(12_000, 192_001, 12_000))
"""Allowed metadata IOPS of SSD file systems (FSx API reference, FileSystemLustreMetadataConfiguration, Iops)."""

DataRepositoryEvent = Literal["new", "changed", "deleted"]


class DataRepository(SpecModel):
    """An S3 bucket whose objects appear as files in a folder of the file system."""

    bucket: BucketUrl = Field(description="URL of the bucket: s3://bucket or s3://bucket/prefix")
    path: MountFolder = Field(default="/data", description="Folder of the file system in which the objects appear")
    import_events: tuple[DataRepositoryEvent, ...] = Field(
        default=("new", "changed", "deleted"), description="Changes of objects that are applied to the files"
    )
    export_events: tuple[DataRepositoryEvent, ...] = Field(
        default=(), description="Changes of files that are applied to the objects. Empty: none"
    )


class Lustre(SpecModel):
    """Options of FSx for Lustre. Options that the deployment type does not support are refused."""

    compression: Literal["lz4", "none"] = Field(default="lz4", description="Compression of files when they are written")
    metadata_iops: int | None = Field(
        default=None,
        description=(
            "PERSISTENT_2: provisioned IOPS of the metadata server: 1500, 3000, 6000 or a multiple of 12000 up to "
            "192000. Default: the IOPS that the size includes"
        ),
    )
    efa: bool = Field(default=False, description="PERSISTENT_2: whether nodes reach the file servers over EFA")
    backup_days: int = Field(
        default=0, ge=0, le=90, description="Persistent types: retention of daily backups in days; 0: no backups"
    )
    data_repositories: tuple[DataRepository, ...] = Field(
        default=(), max_length=8, description="Buckets whose objects appear as files, at most 8"
    )

    @model_validator(mode="after")
    def _legal(self) -> "Lustre":
        if self.metadata_iops is not None and self.metadata_iops not in METADATA_IOPS:
            raise ValueError(
                f"metadata_iops is {self.metadata_iops}; allowed are 1500, 3000, 6000 and multiples of 12000 up to "
                "192000"
            )
        if self.backup_days and self.data_repositories:
            raise ValueError(
                "backup_days and data_repositories exclude each other: a file system linked to a bucket has no "
                "backups, because the bucket keeps the data; leave one out"
            )
        paths = [repository.path.rstrip("/") for repository in self.data_repositories]
        for index, path in enumerate(paths):
            others = paths[:index] + paths[index + 1 :]
            if any(f"{path}/".startswith(f"{other}/") for other in others):
                raise ValueError(
                    f"data_repositories[{index}].path {path or '/'} is inside the folder of another repository; give "
                    "each repository a separate folder"
                )
        return self
