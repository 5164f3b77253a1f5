"""Interface layouts against the EC2 user guide, "Maximize network bandwidth ... with multiple network cards"."""

import pytest

from cdk.aws.interfaces import Interface, interfaces
from provider_catalog.catalog import Catalog

CATALOG = Catalog.load()
AWS_TYPES = [kind for (provider, _), kind in CATALOG.instance_types.items() if provider == "aws"]


@pytest.mark.parametrize(
    ("instance_type", "efa_cards"),
    [
        ("p4d.24xlarge", 4),
        ("p5.48xlarge", 32),
        ("p5en.48xlarge", 16),
        ("p6-b200.48xlarge", 8),
        ("p6-b300.48xlarge", 16),
        ("g6e.48xlarge", 4),
    ],
)
def test_a3_an_ena_primary_and_an_efa_only_interface_on_every_efa_card(instance_type: str, efa_cards: int) -> None:
    facts = CATALOG.instance_type("aws", instance_type)
    primary, *others = interfaces(facts.network_cards, facts.rdma_cards)

    assert primary == Interface(card=0, device=0, kind="interface")
    assert {interface.kind for interface in others} == {"efa-only"}
    assert len({interface.card for interface in others}) == len(others) == efa_cards
    assert all(interface.device == (1 if interface.card == 0 else 0) for interface in others)


def test_a3_card_0_of_p6_b300_carries_no_efa() -> None:
    facts = CATALOG.instance_type("aws", "p6-b300.48xlarge")

    layout = interfaces(facts.network_cards, facts.rdma_cards)

    assert [interface.card for interface in layout if interface.kind == "efa-only"] == list(range(1, 17))


def test_a3_a_single_card_takes_one_interface_of_both_kinds() -> None:
    facts = CATALOG.instance_type("aws", "g5.8xlarge")
    assert interfaces(facts.network_cards, facts.rdma_cards) == (Interface(0, 0, "efa"),)


def test_a3_without_efa_there_is_one_plain_interface() -> None:
    facts = CATALOG.instance_type("aws", "g6.xlarge")
    assert interfaces(facts.network_cards, facts.rdma_cards) == (Interface(0, 0, "interface"),)


@pytest.mark.parametrize("facts", AWS_TYPES, ids=lambda facts: facts.name)
def test_a4_every_instance_type_takes_one_address_a_node(facts) -> None:  # type: ignore[no-untyped-def]
    layout = interfaces(facts.network_cards, facts.rdma_cards)

    assert sum(interface.has_address for interface in layout) == 1
    assert layout[0].has_address, "an EFA-only interface cannot be the primary one"
    assert len({(interface.card, interface.device) for interface in layout}) == len(layout)


@pytest.mark.parametrize(("network_cards", "efa_cards"), [(0, 0), (4, 2), (4, 5), (1, -1)])
def test_counts_of_no_known_instance_type_are_refused(network_cards: int, efa_cards: int) -> None:
    with pytest.raises(ValueError, match=r"Correct the row of the instance type"):
        interfaces(network_cards, efa_cards)
