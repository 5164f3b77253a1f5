"""Constructs for Azure. The provider binding is registered here, before one of its submodules is imported.

May import provider_catalog, cdk.bootstrap and the modules at the top of cdk.
"""

from cdk.providers import register

register("cdktf_cdktf_provider_azurerm")
