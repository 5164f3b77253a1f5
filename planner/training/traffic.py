"""Communication inside a replica: tensor, context and expert parallelism, and activations between stages."""

from dataclasses import dataclass
from typing import Final

from planner.sizing.communication import HOP_LATENCY_S, Ring, inside_bytes_per_s, network_bytes_per_s
from planner.spec.training_software import DEFAULT_SOFTWARE, TrainingSoftware
from planner.training.layer_time import LayerTime, Split
from provider_catalog.architecture import LayerGroup
from provider_catalog.hardware import NodeTopology

TENSOR_EXPOSED: Final = {"Ampere": 1.0, "Ada Lovelace": 1.0}
OVERLAPPED_EXPOSED: Final = 0.5
"""Share of tensor-parallel communication that products do not hide. Training software of Hopper and later splits both
and overlaps the pieces (Transformer Engine's userbuffers, Megatron-Core's tp-comm-overlap; asynchronous tensor
parallelism of PyTorch). Estimate, 0.3 to 0.7; runs on Ampere published in 2021 and 2022 did not overlap."""
EXPERT_EXPOSED: Final = 0.63
"""Share of the all-to-all of experts that computation does not hide on Hopper and later. Megatron-Core 0.14 and later
overlap it with another micro-batch; 36.6 % of the communication was hidden so in Qwen3 30B-A3B on 16 H100 (Megatron
Bridge, performance notes of MoE hardware configurations, 2026). Estimate, 0.3 to 1."""
VALUE_BYTES: Final = 2
"""Activations and their gradients travel in 16 bits."""


@dataclass(frozen=True, slots=True)
class LayerTraffic:
    """Seconds of communication of one micro-batch in one layer, (forward, backward)."""

    tensor: tuple[float, float] = (0.0, 0.0)
    context: tuple[float, float] = (0.0, 0.0)
    """What attention does not hide."""
    expert: tuple[float, float] = (0.0, 0.0)

    @property
    def seconds(self) -> float:
        """Seconds of all of it that the layer waits for."""
        return sum((*self.tensor, *self.context, *self.expert))


@dataclass(frozen=True, slots=True)
class ReplicaTraffic:
    """Times the communication of one model's layers on one kind of node.

    Ranks are mapped tensor first, then context and expert, so that what talks most shares NVLink.
    """

    node: NodeTopology
    hidden: int
    sequence_length: int
    dispatch_bytes: float
    """Of one value sent to an expert: 1 in 8-bit training (DeepSeek-V3, arXiv 2412.19437, section 3.3.3)."""
    software: TrainingSoftware = DEFAULT_SOFTWARE

    def layer(self, group: LayerGroup, split: Split, time: LayerTime) -> LayerTraffic:
        """One layer of a group."""
        return LayerTraffic(
            tensor=self._tensor(group, split),
            context=self._context(group, split, time),
            expert=self._expert(group, split),
        )

    def _tokens(self, split: Split) -> float:
        return split.micro_batch * self.sequence_length / split.context

    def tensor_bytes(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        """What the all-reduces of one micro-batch in one layer sum up, (forward, backward).

        Two all-reduces of s·b·h values a layer going forward and two going back: Narayanan et al. 2021 (arXiv
        2104.04473), section 3.2; full recompute repeats those going forward. Sequence parallelism moves the same bytes
        as all-gather and reduce-scatter (Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.2). Routed experts are
        reached by all-to-all instead.
        """
        once = _summed_blocks(group, split) * VALUE_BYTES * self._tokens(split) * self.hidden
        return once, once * (2 if split.recompute == "full" else 1)

    def _tensor(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        blocks = _summed_blocks(group, split)
        if not blocks:
            return 0.0, 0.0
        ring = Ring.of(self.node, split.tensor, self.node.gpus)
        exposed = TENSOR_EXPOSED.get(self.node.gpu.generation, OVERLAPPED_EXPOSED)
        once = exposed * blocks * ring.all_reduce_s(VALUE_BYTES * self._tokens(split) * self.hidden)
        return once, once * (2 if split.recompute == "full" else 1)

    def context_bytes(self, group: LayerGroup, split: Split) -> float:
        """Keys and values that a rank hands on in each step around the ring (arXiv 2310.01889, section 3)."""
        attention = group.attention
        if split.context == 1 or not attention.training_kv_heads:
            return 0.0
        width = max(attention.training_kv_heads / split.tensor, 1) * (attention.head_dim + attention.value_dim)
        return VALUE_BYTES * width * self._tokens(split)

    def _context(self, group: LayerGroup, split: Split, time: LayerTime) -> tuple[float, float]:
        """The ring, which attention on the previous block hides.

        The backward pass sends keys and values again, and their gradients.
        """
        block_bytes = self.context_bytes(group, split)
        if not block_bytes:
            return 0.0, 0.0
        if self.node.gpus // split.tensor >= split.context:
            bytes_per_s, hop_s = inside_bytes_per_s(self.node, split.context, split.tensor), HOP_LATENCY_S["nvlink"]
        else:
            bytes_per_s, hop_s = network_bytes_per_s(self.node), HOP_LATENCY_S["network"]
        sent_s = (split.context - 1) * (block_bytes / bytes_per_s + hop_s)
        # The first block is at hand; what is left of attention hides the others.
        forward = max(0.0, sent_s - time.attention_forward * (1 - 1 / split.context))
        backward = max(0.0, 2 * sent_s - time.attention_backward * (1 - 1 / split.context))
        if split.recompute == "full":
            backward += forward
        return forward, backward

    def expert_values(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        """Values that a rank sends to experts of one layer for a micro-batch, (inside its node, between nodes).

        Deduplicated, a copy crosses the network once for every node that holds experts of the token and is handed on
        over NVLink (DeepSeek-V3, arXiv 2412.19437, section 3.2.2); node-limited routing bounds those nodes. NCCL's
        all-to-all sends a copy to every expert (Megatron-Core's alltoall dispatcher).
        """
        block, ranks = group.feed_forward, split.tensor * split.expert
        if ranks == 1 or not block.experts:
            return 0.0, 0.0
        values = self._tokens(split) / split.tensor * self.hidden
        per_node = min(ranks, self.node.gpus)
        nodes = -(-ranks // per_node)
        if self.software.expert_dispatch == "alltoall":
            copies = values * block.experts_per_token
            return copies * (per_node - 1) / ranks, copies * (1 - per_node / ranks)
        reached = nodes * (1 - (1 - 1 / nodes) ** block.experts_per_token)
        if block.expert_groups > 1:
            reached = min(reached, max(block.groups_per_token * nodes / block.expert_groups, block.groups_per_token))
        remote = min(reached, nodes) * (1 - 1 / nodes)
        return values * block.experts_per_token * (1 - 1 / per_node), values * remote

    def expert_bytes(self, split: Split) -> tuple[float, float]:
        """Bytes of a value on its way to the experts and back, (forward, backward)."""
        once = self.dispatch_bytes + VALUE_BYTES
        return once, 2 * VALUE_BYTES + (once if split.recompute == "full" else 0.0)

    def _expert(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        """Dispatch and combine of every token's top-k copies; the slower of both networks counts."""
        inside, between = self.expert_values(group, split)
        ranks = split.tensor * split.expert
        if not inside and not between:
            return 0.0, 0.0
        per_node = min(ranks, self.node.gpus)
        nodes = -(-ranks // per_node)
        latency_s = HOP_LATENCY_S["nvlink"] * per_node + (nodes - 1) * HOP_LATENCY_S["network"]
        one_byte_s = max(
            inside / inside_bytes_per_s(self.node, per_node),
            between / network_bytes_per_s(self.node),
        )
        if self.software.expert_overlap and self.node.gpu.generation not in TENSOR_EXPOSED:
            one_byte_s *= EXPERT_EXPOSED
        once = one_byte_s * (self.dispatch_bytes + VALUE_BYTES) + 2 * latency_s
        backward = one_byte_s * 2 * VALUE_BYTES + 2 * latency_s
        return once, backward + (once if split.recompute == "full" else 0.0)

    def transfer_bytes(self, split: Split) -> float:
        """Activations of one micro-batch to the next stage, each tensor-parallel rank sending its part.

        Narayanan et al. 2021 (arXiv 2104.04473), section 4.1.
        """
        return VALUE_BYTES * self._tokens(split) * self.hidden / split.tensor

    def transfer_s(self, split: Split, inside: bool) -> float:
        """Time of `transfer_bytes`.

        Args:
            split: how a layer is divided.
            inside: whether all stages lie in one node.
        """
        payload = self.transfer_bytes(split)
        if inside:
            return payload / inside_bytes_per_s(self.node, 2, split.tensor * split.context) + HOP_LATENCY_S["nvlink"]
        return payload / network_bytes_per_s(self.node) + HOP_LATENCY_S["network"]


def _summed_blocks(group: LayerGroup, split: Split) -> int:
    """Blocks of a layer whose outputs the tensor-parallel ranks sum up."""
    if split.tensor == 1:
        return 0
    return group.attention.mixes_tokens + (group.feed_forward.intermediate_size > 0)
