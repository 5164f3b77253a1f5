"""How many addresses of its subnet a cluster takes."""

from typing import Final

from cdk.aws.interfaces import Interface
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog

POD_ADDRESSES_PER_NODE: Final = 32
"""Addresses of a Kubernetes node's pods: a prefix of 16 in use and one more held ready (VPC CNI, WARM_PREFIX_TARGET=1).
GPU nodes run few pods."""

CONTROL_PLANE_ADDRESSES: Final = 4
"""EKS places two to four interfaces in the subnets of a cluster (EKS user guide, "View Amazon EKS networking
requirements for VPC and subnets")."""

GIB_PER_FILE_SERVER: Final = 1200
"""Storage for which one address is kept free in the subnet. AWS publishes no count of interfaces per file system;
1200 GiB is the smallest step in which it sells storage."""


def node_addresses(plan: Plan, catalog: Catalog, node_interfaces: tuple[Interface, ...]) -> int:
    """Addresses of all nodes, with those that have no GPUs; under Kubernetes also of their pods."""
    per_node = sum(interface.has_address for interface in node_interfaces)
    service_nodes = catalog.provider_defaults("aws").orchestrators[plan.spec.orchestrator].service_nodes
    if plan.spec.orchestrator != "kubernetes":
        return plan.choice.nodes * per_node + service_nodes
    # While a system node is replaced there is one more.
    system = (service_nodes + 1) * (1 + POD_ADDRESSES_PER_NODE)
    return plan.choice.nodes * (per_node + POD_ADDRESSES_PER_NODE) + system + CONTROL_PLANE_ADDRESSES


def file_server_addresses(plan: Plan) -> int:
    """Addresses that the shared file system takes in the subnet of the nodes; 0 without one."""
    storage = plan.choice.shared_storage
    # One more for the metadata server.
    return -(-storage.size_gib // GIB_PER_FILE_SERVER) + 1 if storage else 0
