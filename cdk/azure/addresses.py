"""The address plan of a virtual network. Blocks keep their place when nodes or storage are added."""

from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Final

AZURE_RESERVED_ADDRESSES: Final = 5
"""Addresses that Azure keeps in every subnet: network, broadcast, gateway and two for DNS (learn.microsoft.com, Virtual
Network FAQ)."""

# learn.microsoft.com, Azure Managed Lustre prerequisites, "Network size requirements": largest capacity by prefix. The
# table begins at /27, but the provider's documentation asks for at least a /24. Each further bit doubles the capacity.
_LUSTRE_PREFIX_BY_MAX_TIB: Final = ((196, 24), (400, 23), (800, 22), (1600, 21))

_ENDPOINTS_PREFIX: Final = 28
"""A /28 has eleven usable addresses for private endpoints; the cluster has one endpoint."""

_PRIVATE_BLOCKS: Final = (ip_network("10.0.0.0/8"), ip_network("172.16.0.0/12"), ip_network("192.168.0.0/16"))


@dataclass(frozen=True)
class AddressPlan:
    """CIDR blocks of the network and of its subnets."""

    network: str
    compute: str
    lustre: str | None
    endpoints: str


def address_plan(cidr: str, nodes: int, lustre_tib: int | None) -> AddressPlan:
    """Divides `cidr`: the lower half for nodes, the third quarter for Lustre, the last /28 for private endpoints.

    Args:
        cidr: Block of the whole network.
        nodes: Nodes of all purchase kinds; each needs an address.
        lustre_tib: Capacity of the shared file system in TiB, which sets the size of its subnet; None without one.

    Raises:
        ValueError: `cidr` is not a private network, or is too small.
    """
    network = _network(cidr)
    lower, upper = _halves(network, nodes)
    usable = lower.num_addresses - AZURE_RESERVED_ADDRESSES
    if nodes > usable:
        raise _too_small(cidr, f"its lower half has {usable} usable addresses for {nodes} nodes")
    endpoints = IPv4Network((int(upper.broadcast_address) + 1 - 2 ** (32 - _ENDPOINTS_PREFIX), _ENDPOINTS_PREFIX))
    lustre = None
    if lustre_tib is not None:
        prefix = lustre_prefix(lustre_tib)
        quarter = next(upper.subnets(prefixlen_diff=1))
        if prefix < quarter.prefixlen:
            raise _too_small(cidr, f"a quarter of it is a /{quarter.prefixlen}, and {lustre_tib} TiB need a /{prefix}")
        lustre = str(next(quarter.subnets(new_prefix=prefix)))
    return AddressPlan(network=str(network), compute=str(lower), lustre=lustre, endpoints=str(endpoints))


def lustre_prefix(capacity_tib: int) -> int:
    """Prefix length of the subnet that a Managed Lustre file system of `capacity_tib` needs.

    Raises:
        ValueError: the capacity is larger than every documented size.
    """
    for largest_tib, prefix in _LUSTRE_PREFIX_BY_MAX_TIB:
        if capacity_tib <= largest_tib:
            return prefix
    raise ValueError(
        f"storage.shared_tib: {capacity_tib} TiB is more than {_LUSTRE_PREFIX_BY_MAX_TIB[-1][0]} TiB, the largest "
        "capacity for which Azure documents the size of a subnet; ask for less"
    )


def _network(cidr: str) -> IPv4Network:
    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(f"network.cidr {cidr!r} is not a network: {error}; give one such as 10.42.0.0/16") from error
    if not any(isinstance(block, IPv4Network) and network.subnet_of(block) for block in _PRIVATE_BLOCKS):
        raise ValueError(
            f"network.cidr {cidr!r} is not private; give a block inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
        )
    return network


def _halves(network: IPv4Network, nodes: int) -> tuple[IPv4Network, IPv4Network]:
    # The upper half begins with the quarter of Lustre and ends with the endpoints: only a /26 or larger has both.
    if network.prefixlen > _ENDPOINTS_PREFIX - 2:
        raise _too_small(str(network), f"it has no room for the subnets of {nodes} nodes")
    lower, upper = network.subnets(prefixlen_diff=1)
    return lower, upper


def _too_small(cidr: str, why: str) -> ValueError:
    return ValueError(f"network.cidr {cidr!r} is too small: {why}; give a larger block, such as 10.42.0.0/16")
