"""Live prices of Azure from the Retail Prices API, and the sizes of a subscription from azure-mgmt-compute.

May import `provider_catalog`, but not another cloud's folder.
"""

from provider_catalog.live.azure import retail, skus
from provider_catalog.live.source import Source

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
