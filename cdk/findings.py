"""Findings of checkov that we accept. The reason of each is in the document, beside the resource."""

from typing import Final

from cdktf import TerraformResource

KEY: Final = "checkov"
"""Key of the reasons below `//`, where Terraform's JSON holds comments."""


def accept(resource: TerraformResource, **reasons: str) -> None:
    """Writes the accepted findings of `resource`, and the reason of each, into its document.

    The JSON holds them as a comment, and the HCL as the comments that checkov reads.
    """
    resource.add_override(f"//.{KEY}", reasons)
