"""Spec models for the orchestrator, the software that assigns jobs to nodes."""

from ipaddress import IPv4Network
from typing import Literal

from pydantic import Field, field_validator

from planner.spec.base import SpecModel
from planner.spec.text import Cidr, RoleArn

Orchestrator = Literal["none", "kubernetes", "slurm"]


class Kubernetes(SpecModel):
    """Settings of the Kubernetes cluster, only with `orchestrator: kubernetes`."""

    version: str = Field(
        default="1.35",
        pattern=r"^1\.[0-9]{2}$",
        description="Minor version of Kubernetes. Amazon EKS supports 1.35 until 2027-03-27 (standard support)",
    )
    public_api_cidrs: tuple[Cidr, ...] = Field(
        default=(),
        description=(
            "IPv4 ranges that may reach the Kubernetes API from the Internet. Empty: only the network of the cluster "
            "may"
        ),
    )
    administrators: tuple[RoleArn, ...] = Field(
        default=(),
        description=(
            "AWS: ARNs of the IAM roles that administer the cluster. Empty: the identity that first applies the stack"
        ),
    )

    initial_nodes: int | None = Field(
        default=None,
        ge=0,
        le=16384,
        exclude_if=lambda nodes: nodes is None,
        description=(
            "AWS: number of GPU nodes with which the node groups are created; the others follow within a quarter of an "
            "hour. With 0 no node group waits for capacity when it is created. Default: all nodes"
        ),
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
                raise ValueError(
                    f"{given} opens the API to everybody; give the ranges from which the cluster is administered"
                )
        return value
