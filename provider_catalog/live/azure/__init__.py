"""Live prices of Azure from the Retail Prices API, and the sizes of a subscription from azure-mgmt-compute."""

from provider_catalog.live.azure import retail, skus
from provider_catalog.live.live_source import LiveSource

SOURCES = (
    LiveSource(
        "prices",
        "pay-as-you-go, Spot and reservation prices",
        retail.PERMISSION,
        retail.fetch_instances,
        options=frozenset({"on-demand", "spot", "reserved-1y", "reserved-3y"}),
    ),
    LiveSource("services", "service prices", retail.PERMISSION, retail.fetch_services),
    LiveSource(
        "instance-types",
        "hardware facts",
        skus.PERMISSION,
        skus.check,
        missing_credentials=skus.missing_sign_in,
    ),
)
