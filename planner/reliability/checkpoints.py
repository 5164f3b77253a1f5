"""Checkpoints of a training run: their size, the store they are written to, and the time to write and read them."""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from planner.sizing.optimizer_state import OPTIMIZERS, WEIGHT_BYTES, StateRules, adapter_parameters, state_bytes
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import rank_parameters

Target = Literal["shared_file_system", "object_store", "own_storage"]
Mode = Literal["async", "sync"]

STORE_EFFICIENCY: Final = 0.8
"""Share of a shared file system's nominal rate that many nodes attain when they write at once. Estimate, 0.6 to 1."""
ON_PREM_NODE_BYTES_PER_S: Final = 1e9
"""Rate of on-premises storage for each node: 2 TB/s sustained and 7 TB/s at peak for clusters of up to 2,048 nodes of
Llama 3 (arXiv 2407.21783, section 3.3.1). Estimate, 0.2e9 to 3.5e9."""
HOST_COPY_BYTES_PER_S: Final = 10e9
"""Rate from one GPU to pinned host memory while all GPUs of the node copy. Estimate, 5e9 to 25e9: PCI Express 4.0 x16
carries 25e9 from one GPU alone, and the memory of a host accepts some 100e9 from all."""
COORDINATION_S: Final = 5.0
"""Stop of training for every checkpoint: steps drain, the save is planned and ranks synchronise. Estimate, 1 to 10:
PyTorch's asynchronous checkpoint of a 7B model stops training for 6.3 s
(pytorch.org/blog/reducing-checkpointing-times)."""
HOST_MEMORY_SHARE: Final = 0.5
"""Share of host memory that an asynchronous checkpoint may take; data loaders and page cache need the rest. Our own
choice."""
KEPT_CHECKPOINTS: Final = 2
"""Checkpoints that a store has to hold at least: the one being written and the one before."""


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """Storage that checkpoints are written to."""

    target: Target
    name: str
    """Name in messages."""
    write_bytes_per_s: float
    """Write rate of all nodes together; infinite where only the nodes limit it."""
    read_bytes_per_s: float
    """Read rate of all nodes together."""
    node_bytes_per_s: float
    """Rate of one node in either direction."""
    room_bytes: float = inf
    """Capacity for checkpoints."""

    def write_s(self, checkpoint_bytes: float, nodes: int) -> float:
        """Return the seconds from the first to the last byte of a write."""
        return checkpoint_bytes / min(self.write_bytes_per_s, nodes * self.node_bytes_per_s)

    def read_s(self, checkpoint_bytes: float, nodes: int) -> float:
        """Return the seconds to read every shard once.

        The other replicas receive their shards over the network between GPUs (Megatron-LM, ckpt-fully-parallel-load).
        """
        return checkpoint_bytes / min(self.read_bytes_per_s, nodes * self.node_bytes_per_s)

    def holds(self, checkpoint_bytes: float) -> bool:
        """Return whether the capacity is sufficient for the checkpoints that are kept."""
        return KEPT_CHECKPOINTS * checkpoint_bytes <= self.room_bytes


ON_PREM_STORAGE: Final = CheckpointStore("own_storage", "on-premises storage", inf, inf, ON_PREM_NODE_BYTES_PER_S)


def checkpoint_bytes(profile: ModelProfile, rules: StateRules) -> int:
    """Return the size of one checkpoint: one copy of weights and optimizer state.

    With adapters only their weights and state are saved, because the frozen weights do not change. AdamW takes 14 bytes
    a parameter: 16-bit weights, fp32 master weights and two fp32 moments. A checkpoint of BLOOM's 176B parameters took
    2.3 TB, of which 329 GB were 16-bit weights (arXiv 2211.05100 and the run's published checkpoints).
    """
    held = rank_parameters(profile, profile.stages(1), 1, 1)
    state = state_bytes(held, rules)
    weights = sum(state.weights) if rules.method == "full" else WEIGHT_BYTES * sum(adapter_parameters(held, rules))
    paged = OPTIMIZERS[rules.optimizer].paged * sum(adapter_parameters(held, rules))
    return round(weights + sum(state.optimizer) + paged)


def stall_s(size_bytes: float, write_s: float, gpus: int, mode: Mode) -> float:
    """Return the seconds that one checkpoint stops training: the whole write, or, if async, the copy to host memory."""
    copy_s = size_bytes / gpus / HOST_COPY_BYTES_PER_S
    return COORDINATION_S + (min(copy_s, write_s) if mode == "async" else write_s)


def fits_host_memory(size_bytes: float, nodes: int, host_memory_bytes: float | None) -> bool:
    """Return whether the host memory of each node can hold the node's part of a checkpoint."""
    return host_memory_bytes is None or size_bytes / nodes <= HOST_MEMORY_SHARE * host_memory_bytes
