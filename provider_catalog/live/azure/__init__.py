"""Live prices of Azure: the Retail Prices API, and azure-mgmt-compute for what a subscription may have."""

from provider_catalog.live.azure import retail, skus
from provider_catalog.live.live_source import Source

SOURCES = (
    Source(
        "prices",
        "pay-as-you-go, Spot and reservation prices",
        retail.PERMISSION,
        retail.fetch_instances,
        options=frozenset({"on-demand", "spot", "reserved-1y", "reserved-3y"}),
    ),
    Source("services", "service prices", retail.PERMISSION, retail.fetch_services),
    Source("instance-types", "hardware facts", skus.PERMISSION, skus.check),
)
