"""Account quotas that the nodes of a plan count against."""

from dataclasses import dataclass

from planner.market.place import Place
from planner.plan.choice import Purchase
from provider_catalog.defaults import ProviderDefaults, VcpuQuota
from provider_catalog.hardware import InstanceType


@dataclass(frozen=True, slots=True)
class QuotaNeed:
    """The part of one quota that the nodes of a plan use."""

    quota: VcpuQuota
    nodes: int
    vcpus: int
    """Virtual CPUs of all these nodes."""


def needed_quotas(purchase: Purchase, place: Place, instance_type: str) -> list[QuotaNeed]:
    """Returns the quotas that nodes in a place count against; empty where the catalog knows none."""
    defaults, sold = place.defaults, place.instance_type(instance_type)
    return [] if defaults is None or sold is None else quota_needs(purchase, defaults, sold)


def quota_needs(purchase: Purchase, defaults: ProviderDefaults, sold: InstanceType) -> list[QuotaNeed]:
    """Returns the quotas that nodes of a type count against; empty where the catalog knows none.

    Nodes of a Capacity Block count against no quota (EC2 user guide, "Capacity Blocks for ML").
    """
    family = sold.name.partition(".")[0]
    nodes = {"on-demand": purchase.on_demand_nodes + purchase.reserved_nodes, "spot": purchase.spot_nodes}
    return [
        QuotaNeed(quota, nodes[quota.market], nodes[quota.market] * sold.vcpus)
        for quota in defaults.vcpu_quotas
        if family in quota.families and nodes[quota.market]
    ]


def quota_notes(purchase: Purchase, place: Place, instance_type: str, region: str) -> list[str]:
    """Returns a note for each quota that the nodes count against; none where the catalog knows none."""
    return [
        f"{need.nodes} x {instance_type} use {need.vcpus:,} vCPUs of the account's quota"
        f' "{need.quota.name}" ({need.quota.code}) in {region}; nodes fail to start if the quota is lower'
        for need in needed_quotas(purchase, place, instance_type)
    ]
