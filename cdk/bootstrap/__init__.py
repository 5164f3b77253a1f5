"""What a node does at its first boot and at every later one, as cloud-init user data."""

from cdk.bootstrap.metrics import Metrics
from cdk.bootstrap.render import READY_MARKER, BurnIn, Health, LustreMount, NodeBootstrap, cloud_init

__all__ = ["READY_MARKER", "BurnIn", "Health", "LustreMount", "Metrics", "NodeBootstrap", "cloud_init"]
