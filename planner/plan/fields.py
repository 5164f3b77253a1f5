"""Constrained types of plan fields.

A plan may be read from an edited lock, and its fields are written to documents and scripts. Each text field therefore
allows only the characters that its source allows.
"""

from typing import Annotated

from pydantic import Field

from planner.spec.text import GpuName

Count = Annotated[int, Field(ge=0, le=10**9)]
OneOrMore = Annotated[int, Field(ge=1, le=10**9)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MachineName = GpuName
"""An instance type, or an on-premises node such as `8x H800`."""
Role = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
"""Role of an item of the bill."""
Sku = Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._:/+-]{0,128}$")]
