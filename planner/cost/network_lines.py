"""Lines of the bill for the network: private endpoints and flow logs."""

from typing import Final

from planner.cost.bill import NAT_GB_PER_NODE_MONTH, ServiceLine
from planner.spec import ClusterSpec
from provider_catalog.defaults import ProviderDefaults

FLOW_LOG_GB_PER_NODE_MONTH: Final = 0.1
"""Estimate, 0.01 to 2 GB: 200 concurrent flows (Lustre servers, services, peers), each with a record of about 120 bytes
every 10 minutes. EFA traffic bypasses the network stack and leaves no records."""

FILE_SYSTEM_SERVICES: Final = ("fsx",)
"""Services that only clusters with a shared file system use."""

NAT_ROLES: Final = frozenset({"nat_gateway", "nat_data", "public_ip"})


def endpoint_services(spec: ClusterSpec, defaults: ProviderDefaults) -> tuple[str, ...]:
    """Returns the services that need a private endpoint in this cluster; none unless egress is endpoints-only."""
    if spec.network.egress != "endpoints-only":
        return ()
    # The managed collector of Kubernetes sends its samples without an endpoint in the VPC.
    metrics = {"metrics"} if spec.observability.metrics and spec.orchestrator != "kubernetes" else set()
    users = {"nodes", spec.orchestrator, *metrics}
    without = () if spec.storage.shared_tib else FILE_SYSTEM_SERVICES
    return tuple(
        endpoint.service
        for endpoint in defaults.private_endpoints
        if endpoint.used_by in users and endpoint.service not in without
    )


def unbuilt_roles(spec: ClusterSpec) -> frozenset[str]:
    """Returns the roles of bill lines that this network does not have."""
    existing_vpc = spec.network.vpc_id is not None
    return NAT_ROLES if existing_vpc or spec.network.egress == "endpoints-only" else frozenset()


def network_lines(spec: ClusterSpec, defaults: ProviderDefaults, nodes: int) -> tuple[ServiceLine, ...]:
    """Returns the lines for endpoints and flow logs. The bill drops lines of services that the cloud does not sell."""
    lines: list[ServiceLine] = []
    if endpoints := len(endpoint_services(spec, defaults)):
        lines += [
            ServiceLine(
                "private endpoints of services", "interface_endpoints", "network", "interface_endpoint_hour",
                endpoints, "hour",
            ),
            ServiceLine(
                "data through private endpoints, an estimate", "interface_endpoint_data", "network",
                "interface_endpoint_gb", nodes * NAT_GB_PER_NODE_MONTH, "GB-month",
            ),
        ]  # fmt: skip
    if spec.network.flow_logs and spec.network.vpc_id is None and "flow-logs" in defaults.features:
        lines += [
            ServiceLine(
                "flow logs, an estimate",
                "flow_logs",
                "network",
                "flow_log_gb",
                nodes * FLOW_LOG_GB_PER_NODE_MONTH,
                "GB-month",
            ),
            ServiceLine("encryption key of flow logs", "log_key", "network", "encryption_key_month", 1, "key-month"),
        ]
    return tuple(lines)
