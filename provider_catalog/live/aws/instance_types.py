"""Comparison of the catalog's hardware facts with EC2 DescribeInstanceTypes.

People review facts before they enter the catalog, so this source only reports differences.
"""

from collections.abc import Iterator
from typing import Any, Final

from provider_catalog.hardware import InstanceType
from provider_catalog.live.aws.client import by_enabled_region, client, pages
from provider_catalog.live.live_source import Fetched, ReportProgress, Request

PERMISSION: Final = "ec2:DescribeInstanceTypes"
_FAMILIES: Final = ("p*", "g*")
"""Patterns of the instance families that have GPUs."""


def check(request: Request, advance: ReportProgress) -> Fetched:
    """Note the facts that differ, and the GPU instance types that the catalog lacks.

    Raises:
        LiveError: no region answered.
    """

    def ask(region: str, fetched: Fetched) -> None:
        ec2 = client("ec2", region, request.limits)
        described = pages(
            ec2, "describe_instance_types", "InstanceTypes", PERMISSION,
            Filters=[{"Name": "instance-type", "Values": list(_FAMILIES)}],
        )  # fmt: skip
        for found in described:
            name = found["InstanceType"]
            known = request.catalog.instance_types.get((request.provider, name))
            notes = (
                [*_differences(known, found)] if known else [f"{name}: AWS offers this type, and the catalog lacks it"]
            )
            fetched.notes += [note for note in notes if known or _is_current_gpu(found)]

    fetched = by_enabled_region(request, advance, ask)
    fetched.notes = sorted(set(fetched.notes))
    return fetched


def _is_current_gpu(found: Any) -> bool:
    return bool(found.get("CurrentGeneration")) and "GpuInfo" in found


def _differences(known: InstanceType, found: Any) -> Iterator[str]:
    network = found["NetworkInfo"]
    gpus = found.get("GpuInfo", {}).get("Gpus", [])
    pairs = (
        ("vcpus", known.vcpus, found["VCpuInfo"]["DefaultVCpus"]),
        ("memory_mib", known.memory_mib, found["MemoryInfo"]["SizeInMiB"]),
        ("gpus", known.gpus, sum(gpu["Count"] for gpu in gpus)),
        ("network_cards", known.network_cards, network.get("MaximumNetworkCards", 1)),
        ("rdma_cards", known.rdma_cards, network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0)),
        ("nvme_total_gb", known.nvme_total_gb, found.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0)),
    )
    for field, ours, theirs in pairs:
        if ours != theirs:
            yield f"{known.name}: {field} is {ours} in the catalog and {theirs} in the answer of EC2"
