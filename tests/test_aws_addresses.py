"""Subnets of a cluster. AWS keeps five addresses of every subnet; networks and subnets are /16 to /28."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk.aws.addresses import cut


@given(prefix=st.integers(16, 27), base=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_a4_subnets_hold_the_need_lie_inside_and_never_overlap(prefix: int, base: int, share: float) -> None:
    network = ipaddress.IPv4Network((base >> (32 - prefix) << (32 - prefix), prefix))
    needed = round(share * (2 ** (31 - prefix) - 5))

    subnets = cut(str(network), needed)

    public, compute = ipaddress.IPv4Network(subnets.public), ipaddress.IPv4Network(subnets.compute)
    assert compute.num_addresses - 5 >= needed
    assert public.subnet_of(network)
    assert compute.subnet_of(network)
    assert not public.overlaps(compute)
    assert public.prefixlen <= 28


def test_a4_a_network_that_is_too_small_names_the_one_that_fits() -> None:
    with pytest.raises(ValueError, match="too small") as refused:
        cut("10.0.0.0/24", 200)

    advised = re.search(r"give a (/\d+)", str(refused.value))
    assert advised
    assert cut(f"10.0.0.0{advised[1]}", 200)
    # ... and nothing smaller would do.
    smaller = f"/{int(advised[1][1:]) + 1}"
    with pytest.raises(ValueError, match="too small"):
        cut(f"10.0.0.0{smaller}", 200)


def test_a4_more_nodes_than_any_network_holds() -> None:
    with pytest.raises(ValueError, match="plan fewer nodes"):
        cut("10.0.0.0/16", 40_000)


@pytest.mark.parametrize("cidr", ["10.999.0.0/16", "10.0.0.1/16", "10.0.0.0/33", "10.0.0.0/15", "10.0.0.0/28"])
def test_networks_that_aws_does_not_take(cidr: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cidr)):
        cut(cidr, 1)
