"""Checkpoints of a training run: their size, where they go, and how long writing and reading takes."""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from planner.sizing.optimizer_state import OPTIMIZERS, WEIGHT_BYTES, StateRules, adapter_parameters, state_bytes
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import rank_parameters

Target = Literal["shared_file_system", "object_store", "own_storage"]
Mode = Literal["async", "sync"]

STORE_EFFICIENCY: Final = 0.8
"""Share of the rate on sale of a shared file system that many nodes writing at once reach. Estimate, 0.6 to 1."""
ON_PREM_NODE_BYTES_PER_S: Final = 1e9
"""What storage of one's own takes from each node: Llama 3 (arXiv 2407.21783, section 3.3.1), 2 TB/s sustained and
7 TB/s at peak for clusters of up to 2,048 nodes. Estimate, 0.2e9 to 3.5e9."""
HOST_COPY_BYTES_PER_S: Final = 10e9
"""From one GPU to pinned host memory while all GPUs of the node copy. Estimate, 5e9 to 25e9: PCI Express 4.0 x16 takes
25e9 from one GPU alone, and the memory of a host some 100e9 from all."""
COORDINATION_S: Final = 5.0
"""Every checkpoint: training drained, the save planned, ranks joined. Estimate, 1 to 10: PyTorch's asynchronous
checkpoint of a 7B model stops training for 6.3 s (pytorch.org/blog/reducing-checkpointing-times)."""
HOST_MEMORY_SHARE: Final = 0.5
"""Of a host's memory that a checkpoint on its way may take; loaders and page cache have the rest. Our own choice."""
KEPT_CHECKPOINTS: Final = 2
"""The one being written and the one before: what a file system has to hold at least."""


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """What checkpoints are written to."""

    target: Target
    name: str
    write_bytes_per_s: float
    """Of all nodes together; infinite where only the nodes limit it."""
    read_bytes_per_s: float
    node_bytes_per_s: float
    room_bytes: float = inf

    def write_s(self, checkpoint_bytes: float, nodes: int) -> float:
        """From the first byte to the last."""
        return checkpoint_bytes / min(self.write_bytes_per_s, nodes * self.node_bytes_per_s)

    def read_s(self, checkpoint_bytes: float, nodes: int) -> float:
        """Every shard once; replicas get theirs over the fabric (Megatron-LM, ckpt-fully-parallel-load)."""
        return checkpoint_bytes / min(self.read_bytes_per_s, nodes * self.node_bytes_per_s)

    def holds(self, checkpoint_bytes: float) -> bool:
        """Whether there is room for as many as are kept."""
        return KEPT_CHECKPOINTS * checkpoint_bytes <= self.room_bytes


ON_PREM_STORAGE: Final = CheckpointStore("own_storage", "storage of one's own", inf, inf, ON_PREM_NODE_BYTES_PER_S)


def checkpoint_bytes(profile: ModelProfile, rules: StateRules) -> int:
    """Weights and optimizer state, everything once; of adapters theirs only, as the weights below do not change.

    With AdamW 14 bytes a parameter: 16-bit weights, fp32 master weights and two fp32 moments. BLOOM's 176B took 2.3 TB,
    of which 329 GB were 16-bit weights (arXiv 2211.05100 and the run's published checkpoints).
    """
    held = rank_parameters(profile, profile.stages(1), 1, 1)
    state = state_bytes(held, rules)
    weights = sum(state.weights) if rules.method == "full" else WEIGHT_BYTES * sum(adapter_parameters(held, rules))
    paged = OPTIMIZERS[rules.optimizer].paged * sum(adapter_parameters(held, rules))
    return round(weights + sum(state.optimizer) + paged)


def stall_s(size_bytes: float, write_s: float, gpus: int, mode: Mode) -> float:
    """What one checkpoint stops training for: all of the write, or the copy to host memory, every GPU its share."""
    copy_s = size_bytes / gpus / HOST_COPY_BYTES_PER_S
    return COORDINATION_S + (min(copy_s, write_s) if mode == "async" else write_s)


def fits_host_memory(size_bytes: float, nodes: int, host_memory_bytes: float | None) -> bool:
    """Whether each node can hold its part of a checkpoint beside what it does."""
    return host_memory_bytes is None or size_bytes / nodes <= HOST_MEMORY_SHARE * host_memory_bytes
