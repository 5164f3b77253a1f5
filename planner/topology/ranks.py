"""Process groups of a layout: the global ranks that communicate with each other.

Ranks are numbered in the default order of Megatron-Core, `tp-cp-ep-dp-pp`: the tensor index varies fastest, the
pipeline index slowest (Megatron-LM, megatron/core/parallel_state.py, initialize_model_parallel). Experts use the order
`tp-ep-dp` within a stage: their groups span context and data ranks, and each expert is split over the tensor ranks.
Serving engines place pipeline stages next to each other, `tp-pp-dp` (vLLM, vllm/distributed/parallel_state.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from planner.plan.layout import Layout
from planner.plan.topology import GroupKind

TRAINING_ORDER: Final = "tp-cp-ep-dp-pp"
SERVING_ORDER: Final = "tp-pp-dp"


@dataclass(frozen=True, slots=True)
class ProcessGroups:
    """Process groups of one kind: `size` ranks each, `stride` apart.

    Each span of size x stride consecutive ranks holds `stride` groups.
    """

    kind: GroupKind
    size: int
    stride: int
    ranks: int
    """Ranks of the whole job."""

    @property
    def count(self) -> int:
        """Number of groups."""
        return self.ranks // self.size

    def members(self) -> Iterator[range]:
        """Yield the global ranks of every group."""
        span = self.size * self.stride
        for start in range(0, self.ranks, span):
            for first in range(start, start + self.stride):
                yield range(first, first + span, self.stride)


def training_groups(layout: Layout) -> tuple[ProcessGroups, ...]:
    """Return the process groups of a training job that have more than one rank.

    Data-parallel groups include the context ranks, because gradients are reduced over both.
    """
    tensor, context, data, expert = layout.tensor, layout.context, layout.data, layout.expert
    replicas = context * data
    among = min(expert, replicas)
    stage = tensor * replicas
    return _larger_than_one(
        ProcessGroups("tensor", tensor, 1, layout.gpus),
        ProcessGroups("context", context, tensor, layout.gpus),
        ProcessGroups("expert", among, tensor, layout.gpus),
        ProcessGroups("data", replicas, tensor, layout.gpus),
        ProcessGroups("expert-data", replicas // among if expert > 1 else 1, tensor * among, layout.gpus),
        ProcessGroups("pipeline", layout.pipeline, stage, layout.gpus),
    )


def serving_groups(layout: Layout) -> tuple[ProcessGroups, ...]:
    """Return the process groups of one replica; replicas do not communicate with each other."""
    ranks, attention = layout.gpus_per_replica, layout.tensor // layout.attention_data
    return _larger_than_one(
        ProcessGroups("tensor", attention, 1, ranks),
        ProcessGroups("expert", layout.expert if layout.tensor % layout.expert == 0 else layout.tensor, 1, ranks),
        ProcessGroups("pipeline", layout.pipeline, layout.tensor, ranks),
    )


def _larger_than_one(*groupings: ProcessGroups) -> tuple[ProcessGroups, ...]:
    return tuple(grouping for grouping in groupings if grouping.size > 1)
