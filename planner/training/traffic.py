"""Communication inside a replica: tensor, context and expert parallelism, and transfers between pipeline stages."""

from dataclasses import dataclass
from typing import Final

from planner.sizing.communication import HOP_LATENCY_S, Ring, inside_bytes_per_s, network_bytes_per_s
from planner.spec.training_software import DEFAULT_SOFTWARE, TrainingSoftware
from planner.training.layer_time import LayerTime, Split
from provider_catalog.architecture import LayerGroup
from provider_catalog.hardware import NodeTopology

TENSOR_EXPOSED: Final = {"Ampere": 1.0, "Ada Lovelace": 1.0}
OVERLAPPED_EXPOSED: Final = 0.5
"""Share of tensor-parallel communication that products do not hide on Hopper and later. Training software splits
products and communication and overlaps the pieces (Transformer Engine's userbuffers, Megatron-Core's tp-comm-overlap,
PyTorch's asynchronous tensor parallelism). Estimate, 0.3 to 0.7. Runs on Ampere published in 2021 and 2022 did not
overlap them, as `TENSOR_EXPOSED` says."""
EXPERT_EXPOSED: Final = 0.63
"""Share of the experts' all-to-all that computation does not hide on Hopper and later. Megatron-Core 0.14 and later
overlap it with another micro-batch, which hid 36.6 % of the communication in Qwen3 30B-A3B on 16 H100 (Megatron Bridge,
performance notes of MoE hardware configurations, 2026). Estimate, 0.3 to 1."""
VALUE_BYTES: Final = 2
"""Bytes of an activation or of its gradient on a link: they are sent in 16 bits."""


@dataclass(frozen=True, slots=True)
class LayerTraffic:
    """Exposed seconds of communication of one micro-batch in one layer, each (forward, backward)."""

    tensor: tuple[float, float] = (0.0, 0.0)
    context: tuple[float, float] = (0.0, 0.0)
    """Ring communication that attention does not hide."""
    expert: tuple[float, float] = (0.0, 0.0)

    @property
    def seconds(self) -> float:
        """Seconds that the layer waits for communication."""
        return sum((*self.tensor, *self.context, *self.expert))


@dataclass(frozen=True, slots=True)
class ReplicaTraffic:
    """Times the communication of one model's layers on one kind of node.

    Ranks are mapped tensor first, then context and expert, so that the groups with most communication share NVLink.
    """

    node: NodeTopology
    hidden: int
    sequence_length: int
    dispatch_bytes: float
    """Bytes of one value sent to an expert: 1 in 8-bit training (DeepSeek-V3, arXiv 2412.19437, section 3.3.3)."""
    software: TrainingSoftware = DEFAULT_SOFTWARE

    def layer(self, group: LayerGroup, split: Split, time: LayerTime) -> LayerTraffic:
        """Return the communication of one layer."""
        return LayerTraffic(
            tensor=self._tensor(group, split),
            context=self._context(group, split, time),
            expert=self._expert(group, split),
        )

    def _tokens(self, split: Split) -> float:
        return split.micro_batch * self.sequence_length / split.context

    def tensor_bytes(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        """Return the all-reduce payload of one micro-batch in one layer in bytes, (forward, backward).

        Each layer has two all-reduces of s·b·h values in the forward and two in the backward pass (Narayanan et al.
        2021, arXiv 2104.04473, section 3.2); full recompute repeats the forward ones. Sequence parallelism moves the
        same bytes by all-gather and reduce-scatter (Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.2). Routed
        experts use all-to-all instead.
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
        """Return the bytes of keys and values that a rank sends per step of the ring (arXiv 2310.01889, section 3)."""
        attention = group.attention
        if split.context == 1 or not attention.training_kv_heads:
            return 0.0
        width = max(attention.training_kv_heads / split.tensor, 1) * (attention.head_dim + attention.value_dim)
        return VALUE_BYTES * width * self._tokens(split)

    def _context(self, group: LayerGroup, split: Split, time: LayerTime) -> tuple[float, float]:
        """Return the seconds of the ring that attention on the previous block does not hide, (forward, backward).

        The backward pass sends keys and values again, and their gradients as well.
        """
        block_bytes = self.context_bytes(group, split)
        if not block_bytes:
            return 0.0, 0.0
        if self.node.gpus // split.tensor >= split.context:
            bytes_per_s, hop_s = inside_bytes_per_s(self.node, split.context, split.tensor), HOP_LATENCY_S["nvlink"]
        else:
            bytes_per_s, hop_s = network_bytes_per_s(self.node), HOP_LATENCY_S["network"]
        sent_s = (split.context - 1) * (block_bytes / bytes_per_s + hop_s)
        # The first block is local; attention on the other blocks hides their transfer.
        forward = max(0.0, sent_s - time.attention_forward * (1 - 1 / split.context))
        backward = max(0.0, 2 * sent_s - time.attention_backward * (1 - 1 / split.context))
        if split.recompute == "full":
            backward += forward
        return forward, backward

    def expert_values(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        """Return the values that a rank sends to experts per layer and micro-batch, (inside its node, between nodes).

        With deduplication a copy crosses the network once for every node that holds experts of the token, and NVLink
        distributes it there (DeepSeek-V3, arXiv 2412.19437, section 3.2.2). Node-limited routing bounds the number of
        those nodes. Without it, NCCL's all-to-all sends a copy to every expert (Megatron-Core's alltoall dispatcher).
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
        """Return the bytes of a value to the experts and back, (forward, backward)."""
        once = self.dispatch_bytes + VALUE_BYTES
        return once, 2 * VALUE_BYTES + (once if split.recompute == "full" else 0.0)

    def _expert(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        """Return the seconds of dispatch and combine of top-k copies, (forward, backward), on the slower network."""
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
        """Return the bytes of activations that a tensor-parallel rank sends to the next stage for a micro-batch.

        Each rank sends its part: Narayanan et al. 2021 (arXiv 2104.04473), section 4.1.
        """
        return VALUE_BYTES * self._tokens(split) * self.hidden / split.tensor

    def transfer_s(self, split: Split, inside: bool) -> float:
        """Return the seconds to send `transfer_bytes`.

        Args:
            split: How a layer is divided.
            inside: Whether all stages lie in one node.
        """
        payload = self.transfer_bytes(split)
        if inside:
            return payload / inside_bytes_per_s(self.node, 2, split.tensor * split.context) + HOP_LATENCY_S["nvlink"]
        return payload / network_bytes_per_s(self.node) + HOP_LATENCY_S["network"]


def _summed_blocks(group: LayerGroup, split: Split) -> int:
    """Return the blocks of a layer whose outputs an all-reduce over tensor-parallel ranks sums."""
    if split.tensor == 1:
        return 0
    return group.attention.mixes_tokens + (group.feed_forward.intermediate_size > 0)
