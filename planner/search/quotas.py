"""Notes on the account quotas that the nodes of a plan count against."""

from planner.market.place import Place
from planner.plan.choice import Purchase


def quota_notes(purchase: Purchase, place: Place, instance_type: str, region: str) -> list[str]:
    """Returns a note for each quota that the nodes count against; none where the catalog has no quotas.

    Nodes of a Capacity Block count against no quota (EC2 user guide, "Capacity Blocks for ML").
    """
    defaults, sold = place.defaults, place.instance_type(instance_type)
    if defaults is None or sold is None:
        return []
    family = sold.name.partition(".")[0]
    nodes = {"on-demand": purchase.on_demand_nodes + purchase.reserved_nodes, "spot": purchase.spot_nodes}
    return [
        f"{nodes[quota.market]} x {sold.name} use {nodes[quota.market] * sold.vcpus:,} vCPUs of the"
        f' account\'s quota "{quota.name}" ({quota.code}) in {region}; nodes fail to start if the quota is lower'
        for quota in defaults.vcpu_quotas
        if family in quota.families and nodes[quota.market]
    ]
