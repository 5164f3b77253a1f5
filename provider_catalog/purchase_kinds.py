"""Purchase kinds: the ways in which nodes are bought, named once for plans, constructs, stacks, bills and the estimate.

A *kind* is a decision of a plan (`Purchase.reserved_nodes`, role `compute_reserved` on the bill). An *option* is a row
of the price list (`PurchaseOption`). A kind is billed at one option; reserved nodes may have the rate of a commitment.
"""

from collections.abc import Mapping
from typing import Final, Literal

from provider_catalog.prices import CommittedOption, MarketOption

PurchaseKind = Literal["reserved", "on_demand", "spot", "capacity_block"]

PURCHASE_KINDS: Final[tuple[PurchaseKind, ...]] = ("reserved", "on_demand", "spot", "capacity_block")
"""All kinds, in the order in which stacks start their nodes."""
MARKETS: Final[Mapping[PurchaseKind, MarketOption]] = {
    "reserved": "on-demand",
    "on_demand": "on-demand",
    "spot": "spot",
    "capacity_block": "capacity-block",
}
"""Market in which the nodes of a kind are sold, and the price option that they have without a commitment. A capacity
reservation is sold at the on-demand rate."""
COMMITTED_OPTIONS: Final[Mapping[str, CommittedOption]] = {"1-year": "reserved-1y", "3-year": "reserved-3y"}
"""Price options of reserved nodes, by the term of `capacity.commitment`."""
COMMITMENT_YEARS: Final[Mapping[str, int]] = {"1-year": 1, "3-year": 3}
TITLES: Final[Mapping[PurchaseKind, str]] = {
    "reserved": "reserved",
    "on_demand": "on-demand",
    "spot": "Spot",
    "capacity_block": "Capacity Block",
}
"""Kinds as they stand in a sentence."""


def slug(kind: PurchaseKind) -> str:
    """The kind with hyphens, as names of resources and items of a bill spell it: `on-demand`, `capacity-block`."""
    return kind.replace("_", "-")


def compute_role(kind: PurchaseKind) -> str:
    """Role of the nodes of a kind on the bill (`CostItem.role`), such as `compute_on_demand`."""
    return f"compute_{kind}"


COMPUTE_ROLES: Final = frozenset(compute_role(kind) for kind in PURCHASE_KINDS)
