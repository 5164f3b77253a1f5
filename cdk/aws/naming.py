"""Names in the HCL: a resource is called by its role, whatever construct it was made in."""

from typing import TypeVar

from cdktf import TerraformElement, TerraformResource

_ElementT = TypeVar("_ElementT", bound=TerraformElement)


def named(element: _ElementT, name: str) -> _ElementT:
    """Calls `element` just `name` in the HCL, without the path of constructs and the hash that cdktf would add."""
    element.override_logical_id(name)
    return element


def address(resource: TerraformResource) -> str:
    """Terraform address within the resource's stack, such as `aws_vpc.cluster`."""
    return f"{resource.terraform_resource_type}.{resource.friendly_unique_id}"
