"""Items in the shape of the Azure Retail Prices API.

Microsoft Learn, "Azure Retail Prices overview", sample API response (Consumption, Spot and Reservation rows).
"""

from typing import Any

URL = "https://prices.azure.com/api/retail/prices"


def item(sku: str, price: float, **fields: Any) -> dict[str, Any]:
    """Return a pay-as-you-go row; `fields` override its values."""
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": "eastus",
        "location": "US East",
        "effectiveStartDate": "2024-08-01T00:00:00Z",
        "meterId": "000a794b-bdb0-58be-a0cd-0c3a0f222923",
        "meterName": sku.removeprefix("Standard_").replace("_", " "),
        "productId": "DZH318Z0BQ4L",
        "skuId": "DZH318Z0BQ4L/00G1",
        "productName": "Virtual Machines NDsr H100 v5 Series",
        "skuName": sku.removeprefix("Standard_").replace("_", " "),
        "serviceName": "Virtual Machines",
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": sku,
        **fields,
    }


def page(*items: dict[str, Any], next_page: str | None = None) -> dict[str, Any]:
    """Return one page of a list."""
    return {
        "BillingCurrency": "USD",
        "CustomerEntityId": "Default",
        "CustomerEntityType": "Retail",
        "Items": list(items),
        "NextPageLink": next_page,
        "Count": len(items),
    }
