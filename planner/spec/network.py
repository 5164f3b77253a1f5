"""The network of a cluster: its own, or one that is there already."""

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
"""CloudWatch Logs API reference, PutRetentionPolicy, retentionInDays."""


class Network(SpecModel):
    """Addresses of the cluster and its way out."""

    cidr: Cidr = Field(
        default="10.42.0.0/16",
        description="Range of the cluster's own network; nothing is made of it where vpc_id is given",
    )
    connected_cidrs: tuple[Cidr, ...] = Field(
        default=(), description="Ranges that nodes must reach (peered networks, offices); cidr may not overlap them"
    )
    vpc_id: str | None = Field(
        default=None, pattern=r"^vpc-[0-9a-f]{8,17}$", description="AWS: a network of your own instead of a new one"
    )
    subnet_id: str | None = Field(
        default=None,
        pattern=r"^subnet-[0-9a-f]{8,17}$",
        description="AWS: with vpc_id, the private subnet of nodes and file servers; it brings its own way out",
    )
    control_plane_subnet_id: str | None = Field(
        default=None,
        pattern=r"^subnet-[0-9a-f]{8,17}$",
        description="AWS: with vpc_id and orchestrator kubernetes, a private subnet in another zone than subnet_id",
    )
    egress: Literal["nat", "endpoints-only"] = Field(
        default="nat", description="endpoints-only: no way to the Internet, private endpoints of the services in use"
    )
    image_registry: Registry | None = Field(
        default=None,
        exclude_if=lambda registry: registry is None,
        description=(
            "AWS: registry that holds copies of the public images below their own paths "
            "(123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror), where nodes cannot reach the public ones"
        ),
    )
    flow_logs: bool = Field(default=True, description="AWS: records of the network's traffic, kept for flow_log_days")
    flow_log_days: int = Field(default=365, description="Days that flow logs are kept")

    @model_validator(mode="after")
    def _one_network(self) -> "Network":
        if (self.vpc_id is None) != (self.subnet_id is None):
            missing = "network.subnet_id" if self.subnet_id is None else "network.vpc_id"
            raise ValueError(f"a network of your own takes both vpc_id and subnet_id; {missing} is missing")
        if self.control_plane_subnet_id is not None and self.vpc_id is None:
            raise ValueError("control_plane_subnet_id belongs to a network of your own; give vpc_id and subnet_id too")
        if self.vpc_id is not None:
            for name in ("cidr", "egress", "connected_cidrs"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} belongs to a network that is made for the cluster, and vpc_id names one of your own; "
                        "give one of the two"
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
                    "choose a private range (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16) outside of it"
                )
        return self

    @model_validator(mode="after")
    def _retention(self) -> "Network":
        if self.flow_log_days not in LOG_RETENTION_DAYS:
            allowed = ", ".join(str(days) for days in LOG_RETENTION_DAYS)
            raise ValueError(f"flow_log_days {self.flow_log_days} is not a retention of CloudWatch Logs: {allowed}")
        return self


def _network(field: str, given: str) -> IPv4Network:
    try:
        return IPv4Network(given)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise ValueError(f"{field} {given!r} is not an IPv4 network: {error}; give one such as 10.42.0.0/16") from error
