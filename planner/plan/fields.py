"""Constrained types of plan fields.

A plan may come from an edited lock, and its fields reach documents and scripts, so each has the pattern of its source.
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
"""Role of a line of the bill."""
Sku = Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._:/+-]{0,128}$")]
