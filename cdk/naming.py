"""Names of resources in the HCL and on the bill: a resource is named after its role, whatever construct made it."""

from typing import TypeVar

from cdktf import TerraformElement, TerraformResource

_ElementT = TypeVar("_ElementT", bound=TerraformElement)


def named(element: _ElementT, name: str) -> _ElementT:
    """Names `element` in the HCL, without the path of constructs and the hash that cdktf would add.

    Ids of constructs are unique in a stack; names in the HCL have to be unique only among resources of one type.
    """
    element.override_logical_id(name)
    return element


def address(resource: TerraformResource) -> str:
    """Terraform address of a resource within its stack, such as `aws_vpc.cluster`."""
    return f"{resource.terraform_resource_type}.{resource.friendly_unique_id}"
