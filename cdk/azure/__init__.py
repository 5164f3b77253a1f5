"""Constructs for Azure. The provider binding is registered here, before the first import of one of its submodules."""

from cdk.providers import register

register("cdktf_cdktf_provider_azurerm")
