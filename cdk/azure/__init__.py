"""Constructs for Azure. The provider binding is registered here, before one of its submodules is imported."""

from cdk.providers import register

register("cdktf_cdktf_provider_azurerm")
