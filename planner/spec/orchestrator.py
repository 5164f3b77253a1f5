"""What hands out the nodes to jobs, and the settings of those that have some."""

from ipaddress import IPv4Network
from typing import Literal

from pydantic import Field, field_validator

from planner.spec.base import SpecModel
from planner.spec.text import Cidr, RoleArn

Orchestrator = Literal["none", "kubernetes", "slurm"]


class Kubernetes(SpecModel):
    """Settings of `orchestrator: kubernetes`."""

    version: str = Field(
        default="1.35",
        pattern=r"^1\.[0-9]{2}$",
        description="Minor version; 1.35 is under standard support of EKS until 2027-03-27",
    )
    public_api_cidrs: tuple[Cidr, ...] = Field(
        default=(),
        description="Ranges that may reach the API from the Internet; empty: the API is reachable from inside only",
    )
    administrators: tuple[RoleArn, ...] = Field(
        default=(),
        description="AWS: ARNs of the IAM roles that administer the cluster; empty: whoever applies the stack",
    )

    @field_validator("public_api_cidrs")
    @classmethod
    def _named_ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for given in value:
            try:
                network = IPv4Network(given)
            except ValueError as error:
                raise ValueError(
                    f"{given!r} is not an IPv4 range ({error}); give one such as 203.0.113.0/24"
                ) from error
            if network.prefixlen == 0:
                raise ValueError(f"{given} opens the API to everybody; name the ranges that administer the cluster")
        return value
