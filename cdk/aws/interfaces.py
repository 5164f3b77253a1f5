"""Network interfaces of the nodes of an instance type (rule A3)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Interface:
    """One network interface of a node, as EC2 describes it in a launch request."""

    card: int
    """Network card index."""
    device: int
    """Device index on that card."""
    kind: Literal["interface", "efa", "efa-only"]
    """`interface` carries IP only (ENA), `efa-only` RDMA only, `efa` both."""

    @property
    def has_address(self) -> bool:
        """Whether it has a private IP address of its subnet; an EFA-only interface cannot have one."""
        return self.kind != "efa-only"

    @property
    def description(self) -> str:
        """Description that EC2 shows; interfaces of running nodes are found by it."""
        return f"Card {self.card}, device {self.device}"


def interfaces(network_cards: int, efa_cards: int) -> tuple[Interface, ...]:
    """Interfaces that give a node the full bandwidth of its cards and a single IP address.

    A node with several cards has an ENA interface on card 0 as its primary, an EFA-only interface beside it (device 1)
    if card 0 carries EFA, and an EFA-only interface (device 0) on every further card. An EFA-only interface cannot be
    the primary, so that a node with a single card has one interface of kind `efa`, which carries both.

    Source: EC2 user guide, "Maximize network bandwidth on Amazon EC2 instances with multiple network cards"
    (efa-acc-inst-types), read 2026-11-24. On p6-b300 card 0 carries no EFA (17 cards, 16 with EFA).

    Args:
        network_cards: Network cards of the instance type.
        efa_cards: Cards that carry EFA: all of them, all but card 0, or none.

    Raises:
        ValueError: the counts match none of these cases.
    """
    if network_cards < 1 or efa_cards not in {0, network_cards - 1, network_cards}:
        raise ValueError(
            f"{efa_cards} EFA cards of {network_cards} network cards: no known instance type has these; "
            "allowed are 0, all, or all but card 0. Correct the row of the instance type in the catalog"
        )
    if efa_cards == 0:
        return (Interface(0, 0, "interface"),)
    if network_cards == 1:
        return (Interface(0, 0, "efa"),)
    beside_primary = (Interface(0, 1, "efa-only"),) if efa_cards == network_cards else ()
    further = tuple(Interface(card, 0, "efa-only") for card in range(1, network_cards))
    return (Interface(0, 0, "interface"), *beside_primary, *further)
