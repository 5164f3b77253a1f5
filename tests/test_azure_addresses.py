"""Subnets of an Azure cluster lie in its virtual network and hold its nodes."""

from ipaddress import IPv4Network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdk.azure.addresses import address_plan, lustre_prefix


@given(
    prefix=st.integers(8, 26),
    third_octet=st.integers(0, 255),
    nodes=st.integers(1, 1000),
    lustre_tib=st.one_of(st.none(), st.integers(4, 800)),
)
def test_subnets_lie_in_the_network_do_not_overlap_and_hold_the_nodes(
    prefix: int, third_octet: int, nodes: int, lustre_tib: int | None
) -> None:
    network = IPv4Network(f"10.42.{third_octet}.0/{prefix}", strict=False)
    try:
        plan = address_plan(str(network), nodes, lustre_tib)
    except ValueError as error:
        assume("too small" not in str(error))
        raise
    subnets = [IPv4Network(block) for block in (plan.compute, plan.lustre, plan.endpoints) if block]
    assert all(subnet.subnet_of(network) for subnet in subnets)
    assert not any(a.overlaps(b) for a in subnets for b in subnets if a is not b)
    # Azure keeps five addresses of every subnet.
    assert subnets[0].num_addresses - 5 >= nodes


@given(nodes=st.integers(1, 4000), tib=st.integers(4, 400))
def test_growing_a_cluster_moves_neither_nodes_nor_endpoints(nodes: int, tib: int) -> None:
    small, grown = address_plan("10.42.0.0/16", 1, 4), address_plan("10.42.0.0/16", nodes, tib)
    assert (grown.compute, grown.endpoints) == (small.compute, small.endpoints)


@pytest.mark.parametrize(("tib", "largest_prefix"), [(16, 27), (40, 26), (92, 25), (196, 24), (400, 23)])
def test_z6_lustre_subnet_is_at_least_what_the_service_recommends(tib: int, largest_prefix: int) -> None:
    # learn.microsoft.com, Azure Managed Lustre file system prerequisites, "Network size requirements".
    assert lustre_prefix(tib) <= largest_prefix


@pytest.mark.parametrize(
    ("cidr", "nodes", "why"),
    [
        ("10.42.0.0/28", 1, "no room"),
        ("10.42.0.0/24", 200, "usable addresses"),
        ("10.42.0.0/24", 4, "16 TiB need a /24"),
        ("8.8.0.0/16", 4, "not private"),
        ("10.42.0.1/16", 4, "not a network"),
        ("300.1.0.0/16", 4, "not a network"),
    ],
)
def test_an_unfit_network_is_refused_with_the_reason(cidr: str, nodes: int, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        address_plan(cidr, nodes, 16)
    assert "network.cidr" in str(refused.value)
