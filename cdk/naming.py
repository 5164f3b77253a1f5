"""Names of resources in the HCL and on the bill: a resource is named after its role, whatever construct made it."""

import re
from hashlib import sha256
from typing import Final, TypeVar

from cdktf import TerraformElement, TerraformResource

_ElementT = TypeVar("_ElementT", bound=TerraformElement)

LABEL_CHARACTERS: Final = 40
"""Longest readable part of a name that comes from content."""
DIGEST_CHARACTERS: Final = 8
"""Characters of the digest that keeps such names apart: 32 bits, for lists of at most a few hundred entries."""


def named(element: _ElementT, name: str) -> _ElementT:
    """Names `element` in the HCL, without the path of constructs and the hash that cdktf would add.

    Ids of constructs are unique in a stack; names in the HCL have to be unique only among resources of one type.
    """
    element.override_logical_id(name)
    return element


def content_name(role: str, content: str) -> str:
    """Name of one of several resources with a role, which depends on their content and not on their order.

    An index would change when an entry before it is removed, and Terraform would replace all resources after it.

    Args:
        role: Role of the resources.
        content: Text that identifies the resource among them: an ARN, a mail address, a path.
    """
    label = re.sub(r"[^a-z0-9]+", "_", content.rsplit(":", 1)[-1].lower()).strip("_")[:LABEL_CHARACTERS]
    digest = sha256(content.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return "_".join(part for part in (role, label, digest) if part)


def address(resource: TerraformResource) -> str:
    """Terraform address of a resource within its stack, such as `aws_vpc.cluster`."""
    return f"{resource.terraform_resource_type}.{resource.friendly_unique_id}"
