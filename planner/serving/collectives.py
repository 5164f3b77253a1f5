"""Time of the collectives of one forward pass: all-reduces of tensor parallelism, dispatch of expert parallelism."""

from dataclasses import dataclass

from planner.plan.layout import Layout
from planner.sizing.communication import Link, links, peer_bytes_per_s
from provider_catalog.hardware import NodeTopology

PCIE_PAIR_BYTES_PER_S = 20e9
"""Between two GPUs on PCIe 4.0 x16, of 32 GB/s nominal. Estimate, 15 to 25."""
PCIE_BRIDGE_BYTES_PER_S = 18e9
"""What the host's bridge carries for all of more than two GPUs together. Estimate, 10 to 25."""

NODES_PER_TOKEN = 4
"""Nodes that the experts of one token may lie on: DeepSeek-V3, arXiv 2412.19437, section 2.1.2."""


@dataclass(frozen=True, slots=True)
class CollectiveRates:
    """What all-reduces over NVLink reach."""

    one_shot_share: float
    """Of the link, when every rank reads the whole payload of all others at once: small messages."""
    one_shot_latency_s: float
    rank_latency_s: float
    """For each other rank."""
    ring_share: float
    """Of the link, by ring all-reduces: large messages."""
    ring_latency_s: float
    switch_share: float | None = None
    """Of the link, when the NVSwitch adds up (NVLink SHARP); None where it cannot."""


class Links:
    """The collectives of one replica."""

    def __init__(self, node: NodeTopology, layout: Layout, rates: CollectiveRates) -> None:
        self._node, self._layout, self._rates = node, layout, rates
        self._between: Link = links(node)[1]
        self._attention_ranks = layout.tensor // layout.attention_data

    def sum_of_group_s(self, payload_bytes: float) -> float:
        """Sum over the ranks that share a sequence's heads and the width of its dense blocks."""
        return self.all_reduce_s(payload_bytes, self._attention_ranks)

    def around_experts_s(self, payload_bytes: float, experts_per_token: int, *, prompts: bool) -> float:
        """What a mixture-of-experts block exchanges over all ranks; `payload_bytes`: hidden states of all tokens.

        With tensor-parallel attention every rank holds all tokens, and the outputs are summed. With data-parallel
        attention tokens go to the ranks of their experts and back: all-to-all, or, where that is less, all-gather
        and reduce-scatter, which together move what an all-reduce does. Across nodes a token of a prompt crosses once
        to each node, at most four (DeepSeek-V3, arXiv 2412.19437, section 3.2.2), and spreads over NVLink there; a
        decoded one goes to each expert directly (section 3.4.2). Dispatch in 8 bits, combine in 16 (section 3.3.2):
        1.5 times the 16-bit payload.
        """
        ranks, nodes = self._layout.tensor, self._layout.tensor / self._node.gpus
        if ranks == 1:
            return 0.0
        gathered = self.all_reduce_s(payload_bytes, ranks)
        if self._layout.attention_data == 1:
            return gathered
        copies = float(experts_per_token)
        if nodes > 1:
            copies = min(copies, NODES_PER_TOKEN) * (1 - 1 / nodes) if prompts else copies * (1 - 1 / nodes)
        sent = 1.5 * payload_bytes / ranks * copies
        return min(gathered, 2 * self._latency_s(ranks) + sent / self._bytes_per_s(ranks))

    @property
    def overlap(self) -> bool:
        """Whether two micro-batches take turns, one exchanging while the other computes.

        Expert parallelism across nodes runs so (DeepSeek-V3, sections 3.4.1 and 3.4.2).
        """
        return self._layout.attention_data > 1 and self._layout.tensor > self._node.gpus

    def between_stages_s(self, payload_bytes: float) -> float:
        """Hand-over of the hidden states from stage to stage."""
        layout = self._layout
        if layout.pipeline == 1:
            return 0.0
        across = layout.gpus_per_replica > self._node.gpus
        rate = self._between.bytes_per_s if across else self._bytes_per_s(2)
        latency = self._between.hop_latency_s if across else self._rates.one_shot_latency_s
        return (layout.pipeline - 1) * (payload_bytes / layout.tensor / rate + latency)

    def all_reduce_s(self, payload_bytes: float, ranks: int) -> float:
        """The fastest of the algorithms that serving engines choose from by message size."""
        if ranks <= 1:
            return 0.0
        rates, bandwidth = self._rates, self._bytes_per_s(ranks)
        # Ring: 2·(n-1)/n of the payload crosses each link (Thakur et al. 2005, section 3.4.3).
        ring_s = rates.ring_latency_s + 2 * (ranks - 1) / ranks * payload_bytes / (bandwidth * rates.ring_share)
        one_shot_s = self._latency_s(ranks) + (ranks - 1) * payload_bytes / (bandwidth * rates.one_shot_share)
        if ranks > self._node.gpus:
            return ring_s + 2 * (ranks // self._node.gpus) * self._between.hop_latency_s
        if rates.switch_share is None or not peer_bytes_per_s(self._node, ranks) or ranks < 8:
            return min(ring_s, one_shot_s)
        switch_s = rates.ring_latency_s + payload_bytes / (bandwidth * rates.switch_share)
        return min(ring_s, one_shot_s, switch_s)

    def _latency_s(self, ranks: int) -> float:
        return self._rates.one_shot_latency_s + (ranks - 1) * self._rates.rank_latency_s

    def _bytes_per_s(self, ranks: int) -> float:
        """Of one GPU, one direction."""
        if ranks > self._node.gpus:
            return self._between.bytes_per_s
        pcie = PCIE_PAIR_BYTES_PER_S if ranks == 2 else PCIE_BRIDGE_BYTES_PER_S / ranks
        return max(peer_bytes_per_s(self._node, ranks), pcie)
