"""The subnets of a cluster's address range (rule A4)."""

import ipaddress
from dataclasses import dataclass
from typing import Final

RESERVED_ADDRESSES: Final = 5
"""Addresses that AWS keeps in every subnet (VPC user guide, "Subnet CIDR blocks")."""
LARGEST_PREFIX: Final = 16
"""Largest VPC; VPCs and subnets are between /16 and /28 (VPC user guide, "VPC CIDR blocks", "Subnet CIDR blocks")."""
SMALLEST_PREFIX: Final = 28
CONTROL_PLANE_PREFIX: Final = 27
"""EKS recommends 16 addresses in each subnet of a cluster (EKS user guide, "View Amazon EKS networking requirements for
VPC and subnets")."""
_ROOMY_PUBLIC_PREFIX: Final = 26
_ROOMY_NETWORK_PREFIX: Final = 22


@dataclass(frozen=True)
class Subnets:
    """The two subnets of a cluster. The addresses between them stay free."""

    network: str
    public: str
    """Subnet of the NAT gateway: the start of the range."""
    compute: str
    """Subnet of nodes and file servers: the upper half of the range, in which a cluster can grow."""


def cut(cidr: str, needed_addresses: int) -> Subnets:
    """Divides `cidr` into subnets; that of the nodes has room for `needed_addresses`.

    Args:
        cidr: IPv4 range of the cluster's network.
        needed_addresses: Addresses that nodes and file servers need.

    Raises:
        ValueError: `cidr` is not an IPv4 network, is larger or smaller than AWS allows, or is too small.
    """
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(f"{cidr!r} is not an IPv4 network: {error}; give one such as 10.42.0.0/16") from error
    smallest = SMALLEST_PREFIX - 1  # two subnets have to fit
    if not LARGEST_PREFIX <= network.prefixlen <= smallest:
        raise ValueError(
            f"{cidr}: an AWS network with two subnets is between /{LARGEST_PREFIX} and /{smallest}; choose one of these"
        )
    lower, compute = network.subnets()
    room = compute.num_addresses - RESERVED_ADDRESSES
    if needed_addresses > room:
        raise ValueError(
            f"{cidr} is too small: nodes and file servers take {needed_addresses} addresses, "
            f"and the compute subnet {compute} (the upper half) has {room}; {_remedy(needed_addresses)}"
        )
    public_prefix = _ROOMY_PUBLIC_PREFIX if network.prefixlen <= _ROOMY_NETWORK_PREFIX else SMALLEST_PREFIX
    public = next(lower.subnets(new_prefix=public_prefix))
    return Subnets(network=str(network), public=str(public), compute=str(compute))


def control_plane_ranges(subnets: Subnets, zones: int) -> list[str]:
    """Ranges for interfaces of a Kubernetes control plane, from the end of the lower half downwards.

    Args:
        subnets: The other subnets.
        zones: Number of zones beside that of the nodes in which the control plane has a subnet.

    Raises:
        ValueError: the network is too small to hold it beside the public subnet.
    """
    network, public = ipaddress.IPv4Network(subnets.network), ipaddress.IPv4Network(subnets.public)
    lower = next(network.subnets())
    parts = list(lower.subnets(new_prefix=CONTROL_PLANE_PREFIX)) if lower.prefixlen < CONTROL_PLANE_PREFIX else [lower]
    found = parts[-zones:][::-1]
    if len(found) < zones or any(part.overlaps(public) for part in found):
        raise ValueError(
            f"{subnets.network} is too small: the control plane of Kubernetes takes {_subnets(zones)}; "
            f"give a /{CONTROL_PLANE_PREFIX - 1 - zones} or larger, up to /{LARGEST_PREFIX}"
        )
    return [str(part) for part in found]


def _subnets(zones: int) -> str:
    return "a subnet of its own in a second zone" if zones == 1 else f"subnets of its own in {zones} other zones"


def _remedy(needed_addresses: int) -> str:
    subnet_bits = (needed_addresses + RESERVED_ADDRESSES - 1).bit_length()
    prefix = 32 - subnet_bits - 1
    if prefix < LARGEST_PREFIX:
        return f"no AWS network holds them (the largest is a /{LARGEST_PREFIX}): plan fewer nodes"
    return f"give a /{prefix} or larger, up to /{LARGEST_PREFIX}"
