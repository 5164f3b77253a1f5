"""Findings of a scanner (checkov) that are accepted, each with the reason beside the resource."""

from typing import Final

from cdktf import TerraformResource

KEY: Final = "checkov"
"""Below `//`, where Terraform's JSON holds comments."""


def accept(resource: TerraformResource, **reasons: str) -> None:
    """Writes into the document of `resource` which findings are accepted, and why.

    The JSON holds them as a comment, the HCL as the comments that checkov reads.
    """
    resource.add_override(f"//.{KEY}", reasons)
