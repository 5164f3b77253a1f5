"""Operations our stacks call and moto 5.2.5 lacks, written as moto writes its own.

Added: EC2 placement groups and capacity reservations (create, describe, modify, delete or cancel), offerings of
Capacity Blocks, the default key of EBS as it is read (moto only sets it), and the life cycle of FSx for Lustre file
systems, which moto creates without one. Shapes and error codes follow the EC2 and FSx API references. Mended: a delete
marker can be removed from a bucket whose versioning is suspended; moto answers such a request with an error of its own.
An Auto Scaling group keeps its mixed instances policy when an update does not name one; moto drops it.
"""

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from moto.autoscaling.models import FakeAutoScalingGroup
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.responses import EC2Response
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX, generic_filter, random_id
from moto.fsx.exceptions import FileSystemNotFound
from moto.fsx.models import FileSystem, FSxBackend
from moto.s3.models import FakeDeleteMarker

PREFIXES = {"placement-group": "pg", "capacity-reservation": "cr"}


class PlacementGroup(TaggedEC2Resource):
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_PlacementGroup.html."""

    def __init__(
        self,
        name: str,
        strategy: str,
        partition_count: int | None,
        spread_level: str | None,
        tags: dict[str, str],
        ec2_backend: Any,
    ) -> None:
        self.id = self.group_id = random_id(PREFIXES["placement-group"])
        self.group_name = name
        self.strategy = strategy
        self.partition_count = partition_count
        self.spread_level = spread_level
        self.state = "available"
        self.group_arn = f"arn:aws:ec2:{ec2_backend.region_name}:{ec2_backend.account_id}:placement-group/{name}"
        self.ec2_backend = ec2_backend
        self.add_tags(tags)

    @property
    def tags(self) -> list[dict[str, str]]:
        return self.tag_set


class PlacementGroupBackend:
    """State of one region."""

    def __init__(self) -> None:
        self.placement_groups: dict[str, PlacementGroup] = {}

    def create_placement_group(
        self, name: str, strategy: str, partition_count: int | None, spread_level: str | None, tags: dict[str, str]
    ) -> PlacementGroup:
        if name in self.placement_groups:
            raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
        if strategy not in {"cluster", "spread", "partition"}:
            raise EC2ClientError("InvalidParameterValue", f"Value ({strategy}) for parameter strategy is invalid.")
        group = PlacementGroup(name, strategy, partition_count, spread_level, tags, ec2_backend=self)
        self.placement_groups[name] = group
        return group

    def describe_placement_groups(
        self, names: list[str], group_ids: list[str], filters: dict[str, Any]
    ) -> list[PlacementGroup]:
        known_ids = {group.group_id for group in self.placement_groups.values()}
        unknown = [name for name in names if name not in self.placement_groups]
        unknown += [group_id for group_id in group_ids if group_id not in known_ids]
        if unknown:
            raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The placement group '{unknown[0]}' is unknown.")
        groups = [
            group
            for group in self.placement_groups.values()
            if (not names or group.group_name in names) and (not group_ids or group.group_id in group_ids)
        ]
        return generic_filter(filters, groups)

    def delete_placement_group(self, name: str) -> None:
        if name not in self.placement_groups:
            raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The placement group '{name}' is unknown.")
        del self.placement_groups[name]


class PlacementGroups(EC2BaseResponse):
    """The request handlers."""

    def create_placement_group(self) -> ActionResult:
        self.error_on_dryrun()
        strategy = self._get_param("Strategy", "cluster")
        group = self.ec2_backend.create_placement_group(
            name=self._get_param("GroupName"),
            strategy=strategy,
            partition_count=self._get_param("PartitionCount") or (2 if strategy == "partition" else None),
            spread_level=self._get_param("SpreadLevel") or ("rack" if strategy == "spread" else None),
            tags=self._parse_tag_specification("placement-group").get("placement-group", {}),
        )
        return ActionResult({"PlacementGroup": group})

    def describe_placement_groups(self) -> ActionResult:
        groups = self.ec2_backend.describe_placement_groups(
            names=self._get_param("GroupNames", []),
            group_ids=self._get_param("GroupIds", []),
            filters=self._filters_from_querystring(),
        )
        return ActionResult({"PlacementGroups": groups})

    def delete_placement_group(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.delete_placement_group(self._get_param("GroupName"))
        return ActionResult({})


class CapacityReservation(TaggedEC2Resource):
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservation.html."""

    def __init__(self, tags: dict[str, str], ec2_backend: Any, **attributes: Any) -> None:
        self.id = self.capacity_reservation_id = random_id(PREFIXES["capacity-reservation"])
        self.owner_id = ec2_backend.account_id
        self.capacity_reservation_arn = (
            f"arn:aws:ec2:{ec2_backend.region_name}:{self.owner_id}:capacity-reservation/{self.id}"
        )
        self.availability_zone: str = attributes["availability_zone"]
        self.instance_type: str = attributes["instance_type"]
        self.instance_platform: str = attributes["instance_platform"]
        self.tenancy: str = attributes["tenancy"]
        self.total_instance_count: int = attributes["instance_count"]
        self.available_instance_count = self.total_instance_count
        self.ebs_optimized: bool = attributes["ebs_optimized"]
        self.ephemeral_storage: bool = attributes["ephemeral_storage"]
        self.end_date = attributes["end_date"]
        self.end_date_type: str = attributes["end_date_type"]
        self.instance_match_criteria: str = attributes["instance_match_criteria"]
        self.placement_group_arn = attributes["placement_group_arn"]
        self.reservation_type = "default"
        self.state = "active"
        self.create_date = self.start_date = utcnow()
        self.ec2_backend = ec2_backend
        self.add_tags(tags)

    @property
    def tags(self) -> list[dict[str, str]]:
        return self.tag_set


class CapacityReservationBackend:
    """State of one region."""

    def __init__(self) -> None:
        self.capacity_reservations: dict[str, CapacityReservation] = {}

    def create_capacity_reservation(self, tags: dict[str, str], **attributes: Any) -> CapacityReservation:
        if attributes["instance_count"] < 1:
            raise EC2ClientError("InvalidParameterValue", "The instance count must be greater than 0.")
        reservation = CapacityReservation(tags, ec2_backend=self, **attributes)
        self.capacity_reservations[reservation.id] = reservation
        return reservation

    def describe_capacity_reservations(self, ids: list[str], filters: dict[str, Any]) -> list[CapacityReservation]:
        for reservation_id in ids:
            self._get_capacity_reservation(reservation_id)
        reservations = [cr for cr in self.capacity_reservations.values() if not ids or cr.id in ids]
        return generic_filter(filters, reservations)

    def modify_capacity_reservation(self, reservation_id: str, instance_count: int | None) -> None:
        reservation = self._get_capacity_reservation(reservation_id)
        if instance_count is not None:
            reservation.available_instance_count += instance_count - reservation.total_instance_count
            reservation.total_instance_count = instance_count

    def cancel_capacity_reservation(self, reservation_id: str) -> None:
        # A cancelled reservation stays visible for a while, as in EC2.
        self._get_capacity_reservation(reservation_id).state = "cancelled"

    def _get_capacity_reservation(self, reservation_id: str) -> CapacityReservation:
        if reservation_id not in self.capacity_reservations:
            raise EC2ClientError(
                "InvalidCapacityReservationId.NotFound",
                f"The capacity reservation '{reservation_id}' could not be found.",
            )
        return self.capacity_reservations[reservation_id]


class CapacityReservations(EC2BaseResponse):
    """The request handlers."""

    def create_capacity_reservation(self) -> ActionResult:
        self.error_on_dryrun()
        reservation = self.ec2_backend.create_capacity_reservation(
            tags=self._parse_tag_specification("capacity-reservation").get("capacity-reservation", {}),
            availability_zone=self._get_param("AvailabilityZone"),
            instance_type=self._get_param("InstanceType"),
            instance_platform=self._get_param("InstancePlatform"),
            instance_count=self._get_int_param("InstanceCount", 0),
            tenancy=self._get_param("Tenancy", "default"),
            ebs_optimized=self._get_bool_param("EbsOptimized", False),
            ephemeral_storage=self._get_bool_param("EphemeralStorage", False),
            end_date=self._get_param("EndDate"),
            end_date_type=self._get_param("EndDateType", "unlimited"),
            instance_match_criteria=self._get_param("InstanceMatchCriteria", "open"),
            placement_group_arn=self._get_param("PlacementGroupArn"),
        )
        return ActionResult({"CapacityReservation": reservation})

    def describe_capacity_reservations(self) -> ActionResult:
        reservations = self.ec2_backend.describe_capacity_reservations(
            ids=self._get_param("CapacityReservationIds", []), filters=self._filters_from_querystring()
        )
        return ActionResult({"CapacityReservations": reservations})

    def modify_capacity_reservation(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.modify_capacity_reservation(
            self._get_param("CapacityReservationId"), self._get_int_param("InstanceCount", None)
        )
        return ActionResult({"Return": True})

    def cancel_capacity_reservation(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.cancel_capacity_reservation(self._get_param("CapacityReservationId"))
        return ActionResult({"Return": True})


class CapacityBlockOffering:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityBlockOffering.html."""

    def __init__(self, instance_type: str, instance_count: int, hours: int, start: datetime, zone: str) -> None:
        self.capacity_block_offering_id = random_id("cb")
        self.instance_type = instance_type
        self.instance_count = instance_count
        self.capacity_block_duration_hours = hours
        # Blocks begin and end at 11:30 UTC.
        self.start_date = start.replace(hour=11, minute=30, second=0, microsecond=0)
        self.end_date = self.start_date + timedelta(hours=hours)
        self.availability_zone = zone
        self.currency_code = "USD"
        self.upfront_fee = "1000.00"
        self.tenancy = "default"


class CapacityBlockBackend:
    """The backend answers every request with one offering, in the first zone."""

    region_name: str

    def describe_capacity_block_offerings(
        self, instance_type: str, instance_count: int, hours: int, start: datetime
    ) -> list[CapacityBlockOffering]:
        if instance_count not in (1, 2, 4, 8, 16, 32, 64):
            raise EC2ClientError("InvalidParameterValue", f"Instance count {instance_count} is not supported.")
        days = hours / 24
        if days not in range(1, 15) and days not in range(21, 183, 7):
            raise EC2ClientError("InvalidParameterValue", f"Duration {hours} is not supported.")
        return [CapacityBlockOffering(instance_type, instance_count, hours, start, f"{self.region_name}a")]


class CapacityBlocks(EC2BaseResponse):
    """The request handlers."""

    def describe_capacity_block_offerings(self) -> ActionResult:
        start = self._get_param("StartDateRange")
        offerings = self.ec2_backend.describe_capacity_block_offerings(
            instance_type=self._get_param("InstanceType"),
            instance_count=self._get_int_param("InstanceCount", 0),
            hours=self._get_int_param("CapacityDurationHours", 0),
            start=datetime.fromisoformat(start) if isinstance(start, str) else start or utcnow(),
        )
        return ActionResult({"CapacityBlockOfferings": offerings})


_file_system_init = FileSystem.__init__
_file_system_to_dict = FileSystem.to_dict
_create_file_system = FSxBackend.create_file_system
_describe_file_systems = FSxBackend.describe_file_systems
_delete_file_system = FSxBackend.delete_file_system
_update_group = FakeAutoScalingGroup.update


def _init_file_system(self: Any, *args: Any, **kwargs: Any) -> None:
    _file_system_init(self, *args, **kwargs)
    self.lifecycle = "CREATING"
    self.creation_time = time.time()
    self.mount_name = uuid4().hex[:8]
    self.file_system_type_version = "2.10"


def _describe_file_system(self: Any) -> dict[str, Any]:
    described = _file_system_to_dict(self)
    subnet = ec2_backends[self.backend.account_id][self.backend.region_name].get_subnet(self.subnet_ids[0])
    described |= {
        "OwnerId": self.backend.account_id,
        "CreationTime": self.creation_time,
        "Lifecycle": self.lifecycle,
        "VpcId": subnet.vpc_id,
        "NetworkInterfaceIds": [],
        "StorageType": self.storage_type or "SSD",
    }
    if self.file_system_type == "LUSTRE":
        # What FSx fills in when the request leaves it out.
        defaults = {
            "DeploymentType": "SCRATCH_1",
            "DataCompressionType": "NONE",
            "WeeklyMaintenanceStartTime": "1:00:00",
            "CopyTagsToBackups": False,
            "AutomaticBackupRetentionDays": 0,
        }
        configuration = defaults | (self.lustre_configuration or {}) | {"MountName": self.mount_name}
        metadata = configuration.get("MetadataConfiguration")
        if metadata and metadata.get("Mode") == "AUTOMATIC" and "Iops" not in metadata:
            configuration["MetadataConfiguration"] = metadata | {
                "Iops": max(1500, self.storage_capacity // 1200 * 1500)
            }
        log = configuration.get("LogConfiguration") or {"Level": "DISABLED"}
        configuration["LogConfiguration"] = log
        described["LustreConfiguration"] = configuration
        described["FileSystemTypeVersion"] = self.file_system_type_version
    return described


def _create_with_version(self: FSxBackend, **kwargs: Any) -> FileSystem:
    file_system: Any = _create_file_system(self, **kwargs)
    file_system.file_system_type_version = kwargs.get("file_system_type_version") or "2.10"
    return file_system  # type: ignore[no-any-return]


def _describe_until_available(self: FSxBackend, file_system_ids: list[str] | None = None, **page: Any) -> Any:
    for file_system_id in file_system_ids or []:
        if file_system_id not in self.file_systems:
            raise FileSystemNotFound(file_system_id)
    answer: Any = _describe_file_systems(self, file_system_ids=file_system_ids, **page)
    for file_system in answer[0]:
        file_system.lifecycle = "AVAILABLE"
    return answer


def _delete_and_answer_as_to_a_repeated_call(self: FSxBackend, **kwargs: Any) -> Any:
    # After an accepted delete the AWS provider sleeps for minutes before it looks for the first time. What FSx answers
    # to a second call makes it look at once: the file system is gone either way.
    _delete_file_system(self, **kwargs)
    raise FileSystemNotFound(kwargs["file_system_id"])


def _update_and_keep_the_policy(self: FakeAutoScalingGroup, **kwargs: Any) -> None:
    policy = self.mixed_instances_policy
    _update_group(self, **kwargs)
    if not any(kwargs.get(name) for name in ("launch_config_name", "launch_template", "mixed_instances_policy")):
        self.mixed_instances_policy = policy


def _dispose_of_nothing(self: FakeDeleteMarker) -> None:
    """A marker has no content to close."""


class DefaultKeyOfVolumes(EC2BaseResponse):
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetEbsDefaultKmsKeyId.html."""

    def get_ebs_default_kms_key_id(self) -> ActionResult:
        self.error_on_dryrun()
        chosen = self.ec2_backend.default_kms_key_id
        return ActionResult({"KmsKeyId": chosen or self.ec2_backend.modify_ebs_default_kms_key_id("")})


def install() -> None:
    """Extend moto's EC2, FSx and S3 in this process; a second call changes nothing."""
    if PlacementGroupBackend in EC2Backend.__mro__:
        return
    EC2_RESOURCE_TO_PREFIX.update(PREFIXES)
    EC2_PREFIX_TO_RESOURCE.update({prefix: resource for resource, prefix in PREFIXES.items()})
    # EC2Backend initialises every class it inherits from, so that new ones join as moto's own do.
    EC2Backend.__bases__ = (
        *EC2Backend.__bases__,
        PlacementGroupBackend,
        CapacityReservationBackend,
        CapacityBlockBackend,
    )
    EC2Response.__bases__ = (
        *EC2Response.__bases__,
        PlacementGroups,
        CapacityReservations,
        CapacityBlocks,
        DefaultKeyOfVolumes,
    )
    patches: dict[type, dict[str, Any]] = {
        FakeAutoScalingGroup: {"update": _update_and_keep_the_policy},
        FakeDeleteMarker: {"dispose": _dispose_of_nothing},
        FileSystem: {"__init__": _init_file_system, "to_dict": _describe_file_system},
        FSxBackend: {
            "create_file_system": _create_with_version,
            "describe_file_systems": _describe_until_available,
            "delete_file_system": _delete_and_answer_as_to_a_repeated_call,
        },
    }
    for owner, methods in patches.items():
        for name, method in methods.items():
            setattr(owner, name, method)
