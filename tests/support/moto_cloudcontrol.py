"""GetResource of the Cloud Control API, which moto 5.2.5 lacks, for capacity reservations and resource groups.

Shapes and error codes follow the Cloud Control API reference; properties follow the CloudFormation types
AWS::EC2::CapacityReservation and AWS::ResourceGroups::Group.
"""

import json
import re
import sys
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final

from moto import backend_index
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.exceptions import JsonRESTError
from moto.core.responses import BaseResponse
from moto.ec2.models import ec2_backends
from moto.resourcegroups.models import resourcegroups_backends

HOST: Final = r"https?://cloudcontrolapi\.(.+)\.amazonaws\.com"


class ResourceNotFoundError(JsonRESTError):
    """https://docs.aws.amazon.com/cloudcontrolapi/latest/APIReference/API_GetResource.html, Errors."""

    def __init__(self, type_name: str, identifier: str) -> None:
        super().__init__(
            "ResourceNotFoundException", f"Resource of type '{type_name}' with identifier '{identifier}' was not found."
        )


def _rfc3339(end: datetime | str) -> str:
    return end if isinstance(end, str) else end.strftime("%Y-%m-%dT%H:%M:%SZ")


class CloudControlBackend(BaseBackend):
    """Resources of other backends under the names of their CloudFormation types."""

    @property
    def _url_module(self) -> Any:
        return SimpleNamespace(url_bases=[HOST], url_paths={"{0}/$": CloudControlResponse.dispatch})

    def get_resource(self, type_name: str, identifier: str) -> dict[str, Any]:
        found = {
            "AWS::EC2::CapacityReservation": self._reservation,
            "AWS::ResourceGroups::Group": self._group,
        }[type_name](identifier)
        if found is None:
            raise ResourceNotFoundError(type_name, identifier)
        return found

    def _reservation(self, identifier: str) -> dict[str, Any] | None:
        backend: Any = ec2_backends[self.account_id][self.region_name]
        found = backend.capacity_reservations.get(identifier)
        if found is None:
            return None
        properties = {
            "Id": found.id,
            "InstanceType": found.instance_type,
            "InstancePlatform": found.instance_platform,
            "AvailabilityZone": found.availability_zone,
            "InstanceCount": found.total_instance_count,
            "TotalInstanceCount": found.total_instance_count,
            "AvailableInstanceCount": found.available_instance_count,
            "InstanceMatchCriteria": found.instance_match_criteria,
            "Tenancy": found.tenancy,
            "EndDateType": found.end_date_type,
            "EndDate": _rfc3339(found.end_date) if found.end_date_type == "limited" else None,
            "PlacementGroupArn": found.placement_group_arn,
        }
        return {name: value for name, value in properties.items() if value is not None}

    def _group(self, identifier: str) -> dict[str, Any] | None:
        groups = resourcegroups_backends[self.account_id][self.region_name].groups
        group = groups.by_name.get(identifier)
        return None if group is None else {"Name": group.name, "Configuration": group.configuration or []}


class CloudControlResponse(BaseResponse):
    """The request handlers."""

    def __init__(self) -> None:
        super().__init__(service_name="cloudcontrol")

    def get_resource(self) -> str:
        type_name, identifier = self._get_param("TypeName"), self._get_param("Identifier")
        backend = cloudcontrol_backends[self.current_account][self.region]
        properties = json.dumps(backend.get_resource(type_name, identifier))
        return json.dumps(
            {"TypeName": type_name, "ResourceDescription": {"Identifier": identifier, "Properties": properties}}
        )


cloudcontrol_backends = BackendDict(CloudControlBackend, "cloudcontrol")
"""moto looks for this name in the module of a service."""


def install() -> None:
    """Add the service to moto in this process; a second call changes nothing."""
    if "moto.cloudcontrol" in sys.modules:
        return
    sys.modules["moto.cloudcontrol"] = sys.modules[__name__]
    backend_index.backend_url_patterns.append(("cloudcontrol", re.compile(HOST)))
