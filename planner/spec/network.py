"""Spec model for the network of a cluster: a new network, or an existing one."""

from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Literal

from pydantic import Field, model_validator

from planner.spec.base import SpecModel
from planner.spec.text import Cidr, Registry

LOG_RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
"""Allowed retentions of CloudWatch Logs (API reference, PutRetentionPolicy, retentionInDays)."""


class Network(SpecModel):
    """Address range, egress and flow logs of the cluster, or an existing network."""

    cidr: Cidr = Field(
        default="10.42.0.0/16",
        description="IPv4 range of the new network; unused if vpc_id names an existing network",
    )
    connected_cidrs: tuple[Cidr, ...] = Field(
        default=(),
        description=(
            "IPv4 ranges that nodes must reach, such as peered networks and offices; cidr must not overlap them"
        ),
    )
    vpc_id: str | None = Field(
        default=None,
        pattern=r"^vpc-[0-9a-f]{8,17}$",
        description="AWS: id of an existing network to use, together with subnet_id. Default: a new network is created",
    )
    subnet_id: str | None = Field(
        default=None,
        pattern=r"^subnet-[0-9a-f]{8,17}$",
        description=(
            "AWS: id of the private subnet for nodes and file servers in vpc_id. The subnet must provide its own egress"
        ),
    )
    control_plane_subnet_id: str | None = Field(
        default=None,
        pattern=r"^subnet-[0-9a-f]{8,17}$",
        description=(
            "AWS: id of a private subnet of vpc_id in another zone than subnet_id, for the control plane of "
            "orchestrator: kubernetes"
        ),
    )
    egress: Literal["nat", "endpoints-only"] = Field(
        default="nat",
        description=(
            "nat: nodes reach the Internet through a NAT gateway; endpoints-only: nodes reach only private endpoints "
            "of the cloud services in use"
        ),
    )
    image_registry: Registry | None = Field(
        default=None,
        exclude_if=lambda registry: registry is None,
        description=(
            "AWS: registry with copies of the public container images under the same paths, such as "
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror, for nodes that cannot reach public registries. "
            "Default: the public registries"
        ),
    )
    flow_logs: bool = Field(default=True, description="AWS: whether VPC flow logs record the traffic of the network")
    flow_log_days: int = Field(
        default=365, description="Retention of flow logs in days, one of those that CloudWatch Logs allows"
    )

    @model_validator(mode="after")
    def _one_network(self) -> "Network":
        if (self.vpc_id is None) != (self.subnet_id is None):
            missing = "network.subnet_id" if self.subnet_id is None else "network.vpc_id"
            raise ValueError(f"an existing network needs both vpc_id and subnet_id; {missing} is missing")
        if self.control_plane_subnet_id is not None and self.vpc_id is None:
            raise ValueError(
                "control_plane_subnet_id is a subnet of an existing network; give vpc_id and subnet_id too"
            )
        if self.vpc_id is not None:
            for name in ("cidr", "egress", "connected_cidrs"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} applies to a new network, but vpc_id names an existing one; give one of the two"
                    )
        return self

    @model_validator(mode="after")
    def _no_overlap(self) -> "Network":
        own = _network("cidr", self.cidr)
        for index, given in enumerate(self.connected_cidrs):
            other = _network(f"connected_cidrs[{index}]", given)
            if own.overlaps(other):
                raise ValueError(
                    f"cidr {own} overlaps connected_cidrs[{index}] {other}: nodes could not reach it; "
                    "choose a private range that does not overlap it (in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16)"
                )
        return self

    @model_validator(mode="after")
    def _retention(self) -> "Network":
        if self.flow_log_days not in LOG_RETENTION_DAYS:
            allowed = ", ".join(str(days) for days in LOG_RETENTION_DAYS)
            raise ValueError(f"flow_log_days is {self.flow_log_days}; CloudWatch Logs allows {allowed}")
        return self


def _network(field: str, given: str) -> IPv4Network:
    try:
        return IPv4Network(given)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise ValueError(f"{field} {given!r} is not an IPv4 network: {error}; give one such as 10.42.0.0/16") from error
