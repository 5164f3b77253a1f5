"""Bootstrap of a node at every boot, as cloud-init user data. Knows no cloud and no cdktf.

May import provider_catalog.
"""

from cdk.bootstrap.metrics import GPU_EXPORTER_IMAGE, METRICS_DIR, NODE_EXPORTER_IMAGE, Metrics, mirrored
from cdk.bootstrap.node import (
    AWS_INSTANCE_STORE,
    BatchBurnIn,
    BetweenNodes,
    BurnIn,
    Health,
    LustreMount,
    NodeBootstrap,
    NodeServices,
)
from cdk.bootstrap.render import (
    READY_MARKER,
    all_reduce,
    burn_in_job,
    cloud_init,
    services_cloud_init,
    services_script,
)
from cdk.bootstrap.repair import FATAL_XIDS, Repair

__all__ = [
    "AWS_INSTANCE_STORE",
    "FATAL_XIDS",
    "GPU_EXPORTER_IMAGE",
    "METRICS_DIR",
    "NODE_EXPORTER_IMAGE",
    "READY_MARKER",
    "BatchBurnIn",
    "BetweenNodes",
    "BurnIn",
    "Health",
    "LustreMount",
    "Metrics",
    "NodeBootstrap",
    "NodeServices",
    "Repair",
    "all_reduce",
    "burn_in_job",
    "cloud_init",
    "mirrored",
    "services_cloud_init",
    "services_script",
]
