"""Settings of the repair of a node: how it reports that it may take work, or that another has to take its place."""

from dataclasses import dataclass
from typing import Final

FATAL_XIDS: Final = (46, 48, 54, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 142, 143, 151, 155, 156, 158)
"""Xid errors after which a GPU or its node has to be reset or replaced: those for which NVIDIA's Xid catalog says
RESET_GPU, RESTART_VM or CONTACT_SUPPORT, as the node monitoring agent of EKS selects them (WellKnownXidCodes, v1.7.0).
63 is left out: it announces a repair that waits for the next reset."""


@dataclass(frozen=True)
class Repair:
    """The Auto Scaling group to which a node reports."""

    region: str
    hook: str
    """Lifecycle hook of the group that holds a new node until it reports."""
    fatal_xids: tuple[int, ...] = FATAL_XIDS
    """Xid errors after which another node has to take the place of this one."""
