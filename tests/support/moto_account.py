"""What an AWS account has before anything is created in it, and moto 5.2.5 lacks, written as moto writes its own.

Added: quotas of EC2, as Service Quotas answers (GetServiceQuota, GetAWSDefaultServiceQuota), and the public parameters
and images of GPU nodes. Shapes follow the Service Quotas, Systems Manager and EC2 API references.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from moto.ec2.models.amis import Ami, AmiBackend
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.models import ServiceQuotasBackend, servicequotas_backends
from moto.servicequotas.responses import ServiceQuotasResponse
from moto.ssm.models import Parameter, ParameterDict

EC2_QUOTAS: Final = {
    "L-417A185B": "Running On-Demand P instances",
    "L-7212CCBC": "All P4, P3 and P2 Spot Instance Requests",
    "L-C4BD4855": "All P5 Spot Instance Requests",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-3819A6DF": "All G and VT Spot Instance Requests",
}
"""Quotas by code (AWS General Reference, "Amazon EC2 endpoints and quotas")."""
GRANTED_VCPUS: Final = 1e6
"""What this account has been granted of each quota unless a test lowers it."""
IMAGE: Final = "ami-0123456789abcdef0"
RELEASED_AT: Final = datetime(2026, 9, 4, tzinfo=UTC).timestamp()
PUBLIC_PARAMETERS: Final = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
    "/aws/service/eks/optimized-ami/1.34/amazon-linux-2023/x86_64/nvidia/recommended/image_id",
    "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/nvidia/recommended/image_id",
)
PARALLELCLUSTER: Final = "aws-parallelcluster-3.16.1-amzn2023-hvm-x86_64-202609010000"

_load_amis = AmiBackend._load_amis
_check_loading_status = ParameterDict._check_loading_status
_get_service_quota = ServiceQuotasBackend.get_service_quota


def lower_quota(code: str, vcpus: float, account_id: str = "123456789012", region: str = "us-east-1") -> None:
    """Grant an account so many vCPUs of a quota, until moto is reset."""
    backend: Any = servicequotas_backends[account_id][region]
    backend.__dict__.setdefault("granted", {})[code] = vcpus


def _quota(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
    if service_code != "ec2":
        return _get_service_quota(self, service_code, quota_code)
    if quota_code not in EC2_QUOTAS:
        raise NoSuchResource
    return {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:ec2/{quota_code}",
        "QuotaCode": quota_code,
        "QuotaName": EC2_QUOTAS[quota_code],
        "Value": self.__dict__.get("granted", {}).get(quota_code, GRANTED_VCPUS),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


def _get_aws_default_service_quota(self: ServiceQuotasResponse) -> str:
    params = json.loads(self.body)
    quota = self.backend.get_service_quota(str(params["ServiceCode"]), str(params["QuotaCode"]))
    # A new account has none of the GPU instances.
    return json.dumps({"Quota": {**quota, "Value": 0.0}})


def _load_parameters_of_gpu_images(self: Any, key: str) -> None:
    _check_loading_status(self, key)
    if not str(key or "").startswith(("/aws/service/deeplearning", "/aws/service/eks")):
        return
    for name in PUBLIC_PARAMETERS:
        if dict.__contains__(self, name):
            continue
        parameter = Parameter(  # type: ignore[abstract]
            account_id=self.account_id,
            name=name,
            value=IMAGE,
            parameter_type="String",
            description=None,
            allowed_pattern=None,
            keyid=None,
            last_modified_date=RELEASED_AT,  # type: ignore[arg-type]
            version=1,
            data_type="text",
        )
        dict.__setitem__(self, name, [parameter])


def _load_images_of_parallelcluster(self: Any) -> None:
    _load_amis(self)
    self.amis[IMAGE] = Ami(
        self,
        IMAGE,
        name=PARALLELCLUSTER,
        description=PARALLELCLUSTER,
        owner_id="247102896272",
        owner_alias="amazon",
        public=True,
        architecture="x86_64",
        virtualization_type="hvm",
        root_device_name="/dev/xvda",
    )


def install() -> None:
    """Extend moto's account in this process; a second call changes nothing."""
    patches: dict[type, dict[str, Any]] = {
        AmiBackend: {"_load_amis": _load_images_of_parallelcluster},
        ParameterDict: {"_check_loading_status": _load_parameters_of_gpu_images},
        ServiceQuotasBackend: {"get_service_quota": _quota},
        ServiceQuotasResponse: {"get_aws_default_service_quota": _get_aws_default_service_quota},
    }
    for owner, methods in patches.items():
        for name, method in methods.items():
            setattr(owner, name, method)
