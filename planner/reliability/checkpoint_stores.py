"""Checkpoint stores on shared file systems and object stores, with the rates that nodes attain."""

from math import inf

from planner.reliability.checkpoints import STORE_EFFICIENCY, CheckpointStore
from provider_catalog.storage import FileSystemSku, ObjectStore


def file_system_store(system: FileSystemSku, size_gib: int, nic_gbit_per_s: float, efa: bool) -> CheckpointStore:
    """Return a shared file system of a size as a checkpoint store for nodes with a network rate."""
    tib = size_gib / 1024
    client = (system.efa_client_gbit_per_s if efa else None) or system.client_gbit_per_s
    write = system.write_mb_per_s_per_tib or system.throughput_mb_per_s_per_tib
    return CheckpointStore(
        target="shared_file_system",
        name=system.sku,
        write_bytes_per_s=tib * write * 1e6 * STORE_EFFICIENCY,
        read_bytes_per_s=tib * system.throughput_mb_per_s_per_tib * 1e6 * STORE_EFFICIENCY,
        node_bytes_per_s=min(client, nic_gbit_per_s) / 8 * 1e9 * STORE_EFFICIENCY,
        room_bytes=size_gib * 2**30,
    )


def object_store(store: ObjectStore, nic_gbit_per_s: float) -> CheckpointStore:
    """Return an object store as a checkpoint store for nodes with a network rate."""
    return CheckpointStore(
        target="object_store",
        name=store.name,
        write_bytes_per_s=store.write_gb_per_s * 1e9,
        read_bytes_per_s=store.read_gb_per_s * 1e9,
        node_bytes_per_s=min(store.node_gb_per_s, nic_gbit_per_s / 8) * 1e9,
        room_bytes=inf,
    )
