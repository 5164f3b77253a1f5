"""What of an account's quotas a purchase takes."""

from planner.plan.plan import Purchase
from provider_catalog.defaults import ProviderDefaults
from provider_catalog.hardware import InstanceType


def quota_notes(purchase: Purchase, instance_type: InstanceType, region: str, defaults: ProviderDefaults) -> list[str]:
    """A note for each quota that the nodes count against; none where the catalog knows no quota.

    Nodes of a Capacity Block count against none (EC2 user guide, "Capacity Blocks for ML").
    """
    family = instance_type.name.partition(".")[0]
    nodes = {"on-demand": purchase.on_demand_nodes + purchase.reserved_nodes, "spot": purchase.spot_nodes}
    return [
        f"{nodes[quota.market]} x {instance_type.name} count {nodes[quota.market] * instance_type.vcpus:,} vCPUs of the"
        f' account\'s quota "{quota.name}" ({quota.code}) in {region}; where it is lower, nodes do not start'
        for quota in defaults.vcpu_quotas
        if family in quota.families and nodes[quota.market]
    ]
