"""How resources are called in the HCL and in the bill."""

from typing import TypeVar

from cdktf import TerraformElement, TerraformResource

_ElementT = TypeVar("_ElementT", bound=TerraformElement)


def named(element: _ElementT, name: str) -> _ElementT:
    """Calls `element` just `name` in the HCL. Construct ids are unique in a stack, HCL names only for each type."""
    element.override_logical_id(name)
    return element


def address(resource: TerraformResource) -> str:
    """Terraform address within the resource's stack, such as `azurerm_virtual_network.cluster`."""
    return f"{resource.terraform_resource_type}.{resource.friendly_unique_id}"
