"""From a layout to process groups: which global ranks work together.

Ranks count in the order of Megatron-Core's default, `tp-cp-ep-dp-pp`: tensor fastest, pipeline slowest (Megatron-LM,
megatron/core/parallel_state.py, initialize_model_parallel). Experts lie over the ranks of a stage in their own way,
`tp-ep-dp`: their groups run over context and data ranks, and an expert is split as the tensor ranks are. Serving
engines put pipeline stages next to each other, `tp-pp-dp` (vLLM, vllm/distributed/parallel_state.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from planner.plan.layout import Layout
from planner.plan.topology import GroupKind

TRAINING_ORDER: Final = "tp-cp-ep-dp-pp"
SERVING_ORDER: Final = "tp-pp-dp"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Groups of one kind: `size` ranks, `stride` apart; inside one span of size x stride ranks lie `stride` groups."""

    kind: GroupKind
    size: int
    stride: int
    ranks: int
    """Of the whole job."""

    @property
    def count(self) -> int:
        """How many groups there are."""
        return self.ranks // self.size

    def members(self) -> Iterator[range]:
        """The global ranks of every group."""
        span = self.size * self.stride
        for start in range(0, self.ranks, span):
            for first in range(start, start + self.stride):
                yield range(first, first + span, self.stride)


def training_groups(layout: Layout) -> tuple[Grouping, ...]:
    """The process groups of a training job, those of one rank left out.

    Data-parallel groups hold the context ranks too, as gradients are reduced over both.
    """
    tensor, context, data, expert = layout.tensor, layout.context, layout.data, layout.expert
    replicas = context * data
    among = min(expert, replicas)
    stage = tensor * replicas
    return _several(
        Grouping("tensor", tensor, 1, layout.gpus),
        Grouping("context", context, tensor, layout.gpus),
        Grouping("expert", among, tensor, layout.gpus),
        Grouping("data", replicas, tensor, layout.gpus),
        Grouping("expert-data", replicas // among if expert > 1 else 1, tensor * among, layout.gpus),
        Grouping("pipeline", layout.pipeline, stage, layout.gpus),
    )


def serving_groups(layout: Layout) -> tuple[Grouping, ...]:
    """The process groups of one replica; replicas do not talk to each other."""
    ranks, attention = layout.gpus_per_replica, layout.tensor // layout.attention_data
    return _several(
        Grouping("tensor", attention, 1, ranks),
        Grouping("expert", layout.expert if layout.tensor % layout.expert == 0 else layout.tensor, 1, ranks),
        Grouping("pipeline", layout.pipeline, layout.tensor, ranks),
    )


def _several(*groupings: Grouping) -> tuple[Grouping, ...]:
    return tuple(grouping for grouping in groupings if grouping.size > 1)
