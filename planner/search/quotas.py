"""Notes on the account quotas that the nodes of a plan count against."""

from dataclasses import dataclass
from typing import Literal

from planner.market.place import Place
from planner.plan.choice import Purchase


@dataclass(frozen=True)
class NeededQuota:
    """A quota, and the share of it that the nodes of a plan take."""

    name: str
    code: str
    market: Literal["on-demand", "spot"]
    """Market of the nodes that it limits; reservations count as on-demand."""
    nodes: int
    vcpus: int
    """Virtual CPUs of all these nodes."""


def needed_quotas(purchase: Purchase, place: Place, instance_type: str) -> tuple[NeededQuota, ...]:
    """Returns the quotas that the nodes count against; empty where the catalog knows none.

    Nodes of a Capacity Block count against no quota (EC2 user guide, "Capacity Blocks for ML").
    """
    defaults, sold = place.defaults, place.instance_type(instance_type)
    if defaults is None or sold is None:
        return ()
    family = sold.name.partition(".")[0]
    nodes = {"on-demand": purchase.on_demand_nodes + purchase.reserved_nodes, "spot": purchase.spot_nodes}
    return tuple(
        NeededQuota(quota.name, quota.code, quota.market, nodes[quota.market], nodes[quota.market] * sold.vcpus)
        for quota in defaults.vcpu_quotas
        if family in quota.families and nodes[quota.market]
    )


def quota_notes(purchase: Purchase, place: Place, instance_type: str, region: str) -> list[str]:
    """Returns a note for each quota that the nodes count against; none where the catalog has no quotas."""
    return [
        f"{quota.nodes} x {instance_type} use {quota.vcpus:,} vCPUs of the"
        f' account\'s quota "{quota.name}" ({quota.code}) in {region}; nodes fail to start if the quota is lower'
        for quota in needed_quotas(purchase, place, instance_type)
    ]
