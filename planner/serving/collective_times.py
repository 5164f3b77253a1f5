"""Times of the collectives in one forward pass: all-reduce, expert all-to-all and transfers between stages."""

from dataclasses import dataclass
from math import log2

from planner.plan.layout import Layout
from planner.sizing.communication import Link, links, peer_bytes_per_s
from provider_catalog.hardware import NodeTopology

PCIE_PAIR_BYTES_PER_S = 20e9
"""Bandwidth between two GPUs on PCIe 4.0 x16, which is nominally 32e9. Estimate, 15e9 to 25e9."""
PCIE_GROUP_BYTES_PER_S = 16e9
"""Bandwidth of each of more than two PCIe GPUs in one direction. A ring passes every link once, so the GPUs do not
share it. Geometric mean of what NCCL counts for PCIe 4.0: 24e9 between root ports of a socket, 10e9 between sockets
(topology in the log of NVIDIA/nccl-tests issue 307). Estimate, 11e9 to 20e9; TensorRT-LLM 0.14 on four L40S implies
11e9 to 17e9."""

ACROSS_NODES_LATENCY_S = 63e-6
"""Time that a second node adds to a small all-reduce. nccl-tests on two nodes of H100 take 75 us for 4 kB, three times
what NCCL's own tuning model expects (NVIDIA/nccl issue 1453); a ring in one node takes 12 us. Estimate, 40 to 80 us."""

NODES_PER_TOKEN = 4
"""Most nodes that hold the experts of one token: DeepSeek-V3, arXiv 2412.19437, section 2.1.2."""


@dataclass(frozen=True, slots=True)
class CollectiveRates:
    """Bandwidth shares and latencies of all-reduce algorithms over NVLink."""

    one_shot_share: float
    """Share of the link bandwidth in a one-shot all-reduce, where every rank reads the payloads of all others. This is
    the fastest algorithm for small messages."""
    one_shot_latency_s: float
    """Fixed latency of a one-shot all-reduce."""
    rank_latency_s: float
    """Latency that each further rank adds to a one-shot all-reduce."""
    ring_share: float
    """Share of the link bandwidth in a ring all-reduce, which is the fastest algorithm for large messages."""
    ring_latency_s: float
    """Fixed latency of a ring or in-switch all-reduce."""
    switch_share: float | None = None
    """Share of the link bandwidth when the NVSwitch reduces (NVLink SHARP); None where the switch cannot."""
    pcie_bytes_per_s: float = PCIE_GROUP_BYTES_PER_S
    """Bandwidth of each of more than two GPUs without links of their own."""


class CollectiveTimes:
    """Times the collectives of one replica."""

    def __init__(self, node: NodeTopology, layout: Layout, rates: CollectiveRates) -> None:
        self._node, self._layout, self._rates = node, layout, rates
        self._between: Link = links(node)[1]
        self._attention_ranks = layout.tensor // layout.attention_data

    def attention_all_reduce_s(self, payload_bytes: float) -> float:
        """Return the time of an all-reduce over the ranks that share the heads of a sequence and its dense blocks."""
        return self.all_reduce_s(payload_bytes, self._attention_ranks)

    def expert_exchange_s(self, payload_bytes: float, experts_per_token: int, *, prompts: bool) -> float:
        """Return the time of the communication around a mixture-of-experts block.

        With tensor-parallel attention every rank holds all tokens, and an all-reduce sums the outputs. With
        data-parallel attention tokens travel to the ranks of their experts and back: by all-to-all, or, where that is
        faster, by all-gather and reduce-scatter, which together move as much as an all-reduce. A prompt token crosses
        the network once per node, to at most four nodes (DeepSeek-V3, arXiv 2412.19437, section 3.2.2), and spreads
        over NVLink there. A decoded token is sent to each expert directly (section 3.4.2). Dispatch uses 8 bits and
        combine 16 (section 3.3.2), which is 1.5 times the 16-bit payload.

        Args:
            payload_bytes: Hidden states of all tokens, in 16 bits.
            experts_per_token: Routed experts of a token.
            prompts: Whether the tokens belong to prompts; they are decoded tokens otherwise.
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
        """Whether one micro-batch communicates while another one computes.

        Expert parallelism across nodes overlaps two micro-batches this way (DeepSeek-V3, arXiv 2412.19437, sections
        3.4.1 and 3.4.2).
        """
        return self._layout.attention_data > 1 and self._layout.tensor > self._node.gpus

    def stage_transfer_s(self, payload_bytes: float) -> float:
        """Return the time to send the hidden states through all pipeline stages."""
        layout = self._layout
        if layout.pipeline == 1:
            return 0.0
        across = layout.gpus_per_replica > self._node.gpus
        rate = self._between.bytes_per_s if across else self._bytes_per_s(2)
        latency = self._between.hop_latency_s if across else self._rates.one_shot_latency_s
        return (layout.pipeline - 1) * (payload_bytes / layout.tensor / rate + latency)

    def all_reduce_s(self, payload_bytes: float, ranks: int) -> float:
        """Return the time of an all-reduce by the fastest algorithm; serving engines choose it by message size."""
        if ranks <= 1:
            return 0.0
        rates, bandwidth = self._rates, self._bytes_per_s(ranks)
        # Ring: 2·(n-1)/n of the payload crosses each link (Thakur et al. 2005, section 3.4.3).
        ring_s = rates.ring_latency_s + 2 * (ranks - 1) / ranks * payload_bytes / (bandwidth * rates.ring_share)
        one_shot_s = self._latency_s(ranks) + (ranks - 1) * payload_bytes / (bandwidth * rates.one_shot_share)
        if ranks > self._node.gpus:
            # Doubling the nodes adds a level to the tree that NCCL uses for small messages.
            return ring_s + ACROSS_NODES_LATENCY_S * log2(ranks / self._node.gpus)
        if rates.switch_share is None or not peer_bytes_per_s(self._node, ranks) or ranks < 8:
            return min(ring_s, one_shot_s)
        switch_s = rates.ring_latency_s + payload_bytes / (bandwidth * rates.switch_share)
        return min(ring_s, one_shot_s, switch_s)

    def _latency_s(self, ranks: int) -> float:
        return self._rates.one_shot_latency_s + (ranks - 1) * self._rates.rank_latency_s

    def _bytes_per_s(self, ranks: int) -> float:
        """Return the bandwidth of one GPU in one direction."""
        if ranks > self._node.gpus:
            return self._between.bytes_per_s
        pcie = PCIE_PAIR_BYTES_PER_S if ranks == 2 else self._rates.pcie_bytes_per_s
        return max(peer_bytes_per_s(self._node, ranks), pcie)
