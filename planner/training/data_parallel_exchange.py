"""Time of data-parallel communication (gradient reduction, weight gathering) and of the optimizer step."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from planner.plan.layout import Layout
from planner.sizing.communication import Ring
from planner.sizing.efficiency import KernelRates
from planner.sizing.optimizer_state import NF4_BYTES, OPTIMIZERS, StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import trainable_parameters
from planner.training.compression import Compression
from planner.training.pipeline_schedule import StageTime
from planner.training.replica_layout import ReplicaLayout
from provider_catalog.hardware import NodeTopology

OVERLAP_COST: Final = 0.3
"""Share of its time that overlapped communication still costs, because NCCL kernels take multiprocessors and memory
bandwidth from computation. Estimate, 0.2 to 1, from the time that full sharding adds to the runs of docs/training.md
with and without recompute."""
GATHERED_BYTES: Final = 2
"""Bytes of a gathered weight: weights are gathered in 16 bits."""
HOST_BYTES_PER_S: Final = 12e9
"""Bandwidth between a GPU and its host by page faults in unified memory. Estimate, 3e9 to 25e9; PCIe 4.0 x16 carries
32e9."""


class Exchange(NamedTuple):
    """Seconds of the collectives between replicas, without overlap."""

    scatter: float
    """Reduce-scatter of gradients."""
    gather: float
    """All-gather of weights."""
    again: float
    """All-gather of weights for the backward pass of full sharding."""
    packing: float
    """Compression and decompression."""


@dataclass(frozen=True)
class ReplicaExchange:
    """Times communication between the replicas of one model on one kind of node.

    It memoises results that layouts share.
    """

    profile: ModelProfile
    node: NodeTopology
    rules: StateRules
    rates: KernelRates
    compression: Compression | None = None
    interleaved_overlap: bool = True
    """Whether the interleaved schedule hides the exchange behind several micro-batches."""

    @cached_property
    def _exchanges(self) -> dict[tuple[object, ...], Exchange]:
        return {}

    @cached_property
    def _rings(self) -> dict[tuple[int, int], Ring]:
        return {}

    @cached_property
    def _trainable(self) -> tuple[float, float]:
        return trainable_parameters(self.profile, self.rules)

    def least_exposed_s(self, replica: ReplicaLayout, data: int) -> float:
        """Return a lower bound on `exposed_s` over all schedules, micro-batches and ZeRO stages."""
        if self.compression is not None:
            return 0.0
        plain = self._known(replica, data, None)
        exposed = OVERLAP_COST + (1 - OVERLAP_COST) * self._edge(replica.pipeline)
        return exposed * (plain.scatter + plain.gather)

    def packing_s(self, layout: Layout, micro_batches: int) -> float:
        """Return the seconds of packing and unpacking in a compressed step; 0 without compression."""
        replica = ReplicaLayout.of(layout)
        each = self._collectives(replica, layout.data, self.compression).packing
        return each * (micro_batches if layout.zero_stage >= 2 else 1)

    def optimizer_s(self, replica: ReplicaLayout, data: int, zero_stage: int) -> float:
        """Return the seconds of the optimizer step.

        It reads and writes the optimizer state, reads gradients and writes weights; under ZeRO each rank its share.
        """
        dense, experts = self._trainable
        split = replica.split
        replicas = data * split.context
        state, paged = self._state_bytes
        ranks = split.tensor * replica.pipeline
        if zero_stage >= 1:
            held = (dense + experts) / (ranks * replicas)
        else:
            held = (dense + experts / min(split.expert, replicas)) / ranks * (2 if replica.bidirectional else 1)
        return self.rates.streaming_s(held * (state + paged)) + held * paged / HOST_BYTES_PER_S

    @cached_property
    def _state_bytes(self) -> tuple[float, float]:
        """Bytes that the optimizer moves per parameter, (in GPU memory, between GPU and host)."""
        optimizer = OPTIMIZERS[self.rules.optimizer]
        return 2 * optimizer.matrix + self.rules.gradient_bytes + GATHERED_BYTES, 2 * optimizer.paged

    def exposed_s(
        self, replica: ReplicaLayout, data: int, zero_stage: int, time: StageTime, micro_batches: int
    ) -> float:
        """Return the mean seconds that exposed data-parallel communication adds to a step, compression included."""
        plain = self._plain_or_compressed_s(replica, data, zero_stage, time, micro_batches, None)
        method = self.compression
        if method is None or not plain:
            return plain
        compressed = method.rounds * self._plain_or_compressed_s(replica, data, zero_stage, time, micro_batches, method)
        return method.warm_up * plain + (1 - method.warm_up) * compressed

    def _plain_or_compressed_s(
        self,
        replica: ReplicaLayout,
        data: int,
        zero_stage: int,
        time: StageTime,
        micro_batches: int,
        method: Compression | None,
    ) -> float:
        """Return the seconds of gradient reduction and weight gathering that computation does not hide.

        ZeRO 0 all-reduces gradients. ZeRO 1 reduce-scatters them and gathers weights once per step. ZeRO 2 scatters
        after every micro-batch, and ZeRO 3 also gathers weights for each forward and backward pass (arXiv 1910.02054,
        section 7). The backward pass hides the scattering and the forward pass the gathering (Megatron-LM's
        overlap_grad_reduce and overlap_param_gather; FSDP, arXiv 2304.11277, section 3.3), except for the first or last
        layer. Under the interleaved schedule a rank works on one virtual stage for as many micro-batches as there are
        pipeline stages before it comes to the next one (arXiv 2104.04473, section 2.2.2), and all of them hide what the
        finished or awaited virtual stages exchange.
        """
        split = replica.split
        scatter, gather, again, packing = self._known(replica, data, method)
        if not scatter:
            return 0.0
        if self.rules.method != "full" and zero_stage == 3:
            ring = self._ring(data * split.context, max(1, self.node.gpus // split.tensor))
            # Frozen weights never change, so they are kept and sent in the format of the products.
            frozen_bytes = NF4_BYTES if self.rules.method == "qlora" else self.rates.value_bytes
            frozen_s = ring.gather_s(frozen_bytes * self._frozen_parameters() / (split.tensor * replica.pipeline))
            gather, again = gather + frozen_s, again + frozen_s
        # No computation overlaps with the first or last bucket or layer of a pass.
        edge = self._edge(replica.pipeline)
        late = edge if method is None or method.overlaps else 1.0
        window = min(micro_batches, replica.pipeline) if replica.chunks > 1 and self.interleaved_overlap else 1
        forward, backward = time.forward, time.backward + time.weights
        if zero_stage <= 1:
            forward, backward = window * forward, window * backward
        if zero_stage == 0:
            return _exposed(2 * scatter, backward, late) + packing
        if zero_stage == 1:
            return _exposed(scatter, backward, late) + _exposed(gather, forward, edge) + packing
        if zero_stage == 2:
            return micro_batches * (_exposed(scatter, backward, late) + packing) + _exposed(gather, forward, edge)
        both = _exposed(gather, forward, edge) + _exposed(again + scatter, backward, late)
        return micro_batches * (both + packing)

    def _edge(self, pipeline: int) -> float:
        """Return one layer as a share of the layers of a stage."""
        return 1 / max(1, -(-len(self.profile.layers) // pipeline))

    def _known(self, replica: ReplicaLayout, data: int, method: Compression | None) -> Exchange:
        split = replica.split
        key = (split.tensor, replica.pipeline, split.context, split.expert, data, replica.bidirectional, method is None)
        known = self._exchanges.get(key)
        if known is None:
            known = self._exchanges[key] = self._collectives(replica, data, method)
        return known

    def _ring(self, ranks: int, per_node: int) -> Ring:
        key = (ranks, per_node)
        if key not in self._rings:
            self._rings[key] = Ring.of(self.node, ranks, per_node)
        return self._rings[key]

    def _collectives(self, replica: ReplicaLayout, data: int, method: Compression | None) -> Exchange:
        """Return the collectives over all replicas; those of experts run among the ranks with the same experts."""
        split = replica.split
        holders = data * split.context
        replicas = holders * (2 if replica.bidirectional else 1)
        if replicas == 1:
            return Exchange(0.0, 0.0, 0.0, 0.0)
        dense, experts = self._trainable
        ranks, among = split.tensor * replica.pipeline, min(split.expert, holders)
        shares = [(dense / ranks, self._ring(replicas, max(1, self.node.gpus // split.tensor)))]
        if experts:
            per_node = max(1, self.node.gpus // (split.tensor * among))
            shares.append((experts / (ranks * among), self._ring(max(1, replicas // among), per_node)))
        scattered = self.rules.gradient_bytes if method is None else method.gradient_bits / 8
        gathered = GATHERED_BYTES if method is None else method.weight_bits / 8
        scatter = gather = packing = 0.0
        for share, ring in shares:
            scatter += ring.gather_s(scattered * share)
            gather += ring.gather_s(gathered * share)
        again = gather
        if method is not None:
            packing = self.rates.streaming_s(method.passes_bytes * sum(share for share, _ in shares))
            if method.gathers_backward_inside:
                again = sum(ring.inside(self.node).gather_s(GATHERED_BYTES * share) for share, ring in shares)
        return Exchange(scatter, gather, again, packing)

    def replica_bytes(self, layout: Layout, micro_batches: int) -> tuple[float, float]:
        """Return the bytes that a GPU sends per step to GPUs with the same weights, (dense layers, experts).

        They are those of the scatters and gathers that `exposed_s` times.
        """
        split, pipeline, zero = ReplicaLayout.of(layout).split, layout.pipeline, layout.zero_stage
        holders = layout.data * split.context
        dense, experts = self._trainable
        among = min(split.expert, holders)
        scatters = {0: 2, 1: 1}.get(zero, micro_batches)
        gathers = {0: 0, 3: 2 * micro_batches}.get(zero, 1)
        of_parameter = scatters * self.rules.gradient_bytes + gathers * GATHERED_BYTES
        adapters = self.rules.method != "full" and zero == 3
        frozen = 2 * micro_batches * GATHERED_BYTES * self._frozen_parameters() if adapters else 0.0
        ranks = split.tensor * pipeline
        return (
            (dense * of_parameter + frozen) / ranks * (holders - 1) / holders,
            experts / among * of_parameter / ranks * (1 - among / holders),
        )

    def _frozen_parameters(self) -> float:
        trained = sum(self._trainable)
        return max(self.profile.architecture.total_parameters - trained, 0.0)


def _exposed(communication_s: float, computing_s: float, edge: float) -> float:
    hidden = min(communication_s * (1 - edge), computing_s)
    return communication_s - hidden * (1 - OVERLAP_COST)
